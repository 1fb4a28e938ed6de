"""Naming pitches: what the head learns from, what it makes of it, and the script."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration, TabHeroProcessor
from tabhero_hf.modeling_tabhero import TabHeroPitchHead
from tabhero_hf.training import made_notes
from tabhero_hf.training.pitch import DETUNED, PitchedNotes, augment, hear_songs, move, train_pitch_head

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_pitch_head.py"
SECONDS = 5.0


def strings(pitches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spectra of plucked strings of these pitches, each struck into another: (notes, 2, bins)."""
    _, bins, octave = TabHeroPitchHead.BINS
    spectra = np.zeros((len(pitches), 2, bins), np.float32)
    for note, others in zip(spectra, np.stack([pitches, rng.permutation(pitches)], axis=1)):
        for channel, pitch in zip(note, others):
            for partial in range(1, 9):
                at = round(octave * ((pitch - TabHeroPitchHead.LOWEST_PITCH) / 12 + np.log2(partial)))
                if at < bins:
                    channel[at] += rng.uniform(0.3, 1.5) / partial
    return spectra


def test_what_is_heard_of_low_pitches_is_known_of_high_ones():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = TabHeroPitchHead(TabHeroConfig())
    pitches = rng.integers(40, 52, 600)
    zeros = np.zeros(600, dtype=np.int64)
    losses = train_pitch_head(head, PitchedNotes(strings(pitches, rng), pitches, zeros, zeros), 60, batch_size=48)
    assert losses[0] > 3 and np.mean(losses[-10:]) < 0.3
    higher = rng.integers(55, 70, 200)
    with torch.no_grad():
        named = head(torch.from_numpy(strings(higher, rng)), torch.zeros(200, dtype=torch.long)).argmax(dim=1)
    assert (named.numpy() + head.LOWEST_PITCH == higher).mean() > 0.9


def test_notes_are_heard_through_equalizers_and_half_of_them_beside_others(monkeypatch):
    monkeypatch.setattr("tabhero_hf.training.pitch.DETUNED", 0.0)
    torch.manual_seed(0)
    spectra, others = torch.zeros(2000, 2, 252), torch.zeros(2000, 2, 252)
    spectra[..., ::3], others[..., 1::3] = 1.0, 1.0
    heard = augment(spectra, others)
    assert heard.shape == spectra.shape and not heard[..., 2::3].any()  # of nothing equalizers make nothing
    assert (heard[..., ::3] > 0.1).all() and 0.1 < heard[..., ::3].std(dim=2).mean() < 0.4
    beside = heard[..., 1::3].amax(dim=(1, 2)) > 0
    assert 0.45 < beside.float().mean() < 0.55 and heard[..., 1::3].max() <= 1.3


def test_notes_are_heard_out_of_tune_with_what_sounds_before_them():
    torch.manual_seed(0)
    spectra, others = torch.zeros(2000, 2, 252), torch.zeros(2000, 2, 252)
    spectra[..., 126], others[..., 180] = 1.0, 1.0
    heard = augment(spectra, others)

    def place(first: int, end: int) -> torch.Tensor:
        band = heard[..., first:end]
        return (band * torch.arange(first, end)).sum(dim=2) / band.sum(dim=2)

    at, beside = place(110, 150), place(160, 200)
    semitones = (at - 126) / TabHeroPitchHead.BINS[2] * 12
    assert semitones.std() == pytest.approx(DETUNED, rel=0.1) and abs(semitones.mean()) < 0.02
    assert (at[:, 0] - at[:, 1]).abs().max() < 1e-3
    both = heard[..., 160:].sum(dim=(1, 2)) > 0
    assert both.sum() > 900 and (beside - at)[both] == pytest.approx(54, abs=1e-3)

    told = torch.arange(10.0).expand(2, 2, 10)
    moved = move(told, torch.tensor([1.0, -0.25]))
    assert moved[0].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 9]] * 2
    assert moved[1].tolist() == [[0, 0.75, 1.75, 2.75, 3.75, 4.75, 5.75, 6.75, 7.75, 8.75]] * 2


def test_notes_are_heard_alone_in_the_band_and_before_a_record(tmp_path, demo_song, monkeypatch):
    records = [demo_song / "song.ogg"]
    (song,) = hear_songs(tmp_path, [7], SECONDS, records=records)
    count = len(song.pitches)
    assert song.spectra.shape == (count, 2, 252) and song.spectra.dtype == np.float16
    assert set(song.sounds.tolist()) == {0, 1, 2} and len(set(song.instruments[song.sounds == 1].tolist())) >= 2
    alone, band = song.where(song.sounds == 0), song.where(song.sounds == 1)
    same = band.where(band.instruments == alone.instruments[0])
    assert same.pitches.tolist() == alone.pitches.tolist() and (same.spectra != alone.spectra).any()
    # The spectrum is that of the pitch: its own partials are louder than those a tritone away.
    _, _, octave = TabHeroPitchHead.BINS
    partials = [round(octave * np.log2(partial)) for partial in (1, 2, 3)]
    at = (alone.pitches - TabHeroPitchHead.LOWEST_PITCH) * octave // 12
    own, other = (
        sum(alone.spectra[np.arange(len(at)), 0, at + shift + partial] for partial in partials)
        for shift in (0, octave // 2)
    )
    assert (own > other).mean() > 0.9
    # What is there is not made again, but not taken for songs that are heard in another way.
    kept = tmp_path / "000000007.npz"
    written = kept.stat().st_mtime_ns
    (again,) = hear_songs(tmp_path, [7], SECONDS, records=records)
    assert kept.stat().st_mtime_ns == written and (again.spectra == song.spectra).all()
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, "settings.json"}
    with pytest.raises(ValueError, match="other lengths, sounds, records or weights"):
        hear_songs(tmp_path, [7], SECONDS)
    monkeypatch.setattr(made_notes, "NOTES_VERSION", made_notes.NOTES_VERSION + 1)
    with pytest.raises(ValueError, match="of another version"):
        hear_songs(tmp_path, [7], SECONDS, records=records)


def test_the_script_gives_a_model_a_head_and_leaves_the_rest_as_it_is(small_model, tmp_path, monkeypatch):
    folders = ["--model", small_model, "--output_dir", tmp_path / "pitched", "--notes_dir", tmp_path / "notes"]
    settings = ["--songs", "2", "--seconds", str(SECONDS), "--steps", "3"]
    done = subprocess.run([sys.executable, SCRIPT, *folders, *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "in the band:" in done.stdout and "of pitches" in done.stdout and "in front of" not in done.stdout
    before, after = (load_file(folder / "model.safetensors") for folder in (small_model, tmp_path / "pitched"))
    assert before.keys() < after.keys() and all((after[name] == weight).all() for name, weight in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"pitch_head"}
    model = TabHeroForConditionalGeneration.from_pretrained(tmp_path / "pitched")
    told = model.tell_pitches(torch.rand(3, 2, 252), instrument=1, batch_size=2)
    assert told.shape == (3, 72) and told.sum(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert TabHeroProcessor.from_pretrained(tmp_path / "pitched")
    # A head that is there learns on: as slowly as can be, it stays what it was.
    folders = ["--model", tmp_path / "pitched", "--output_dir", tmp_path / "again", "--notes_dir", tmp_path / "notes"]
    monkeypatch.setattr("sys.argv", [str(each) for each in (SCRIPT, *folders, *settings, "--learning_rate", 1e-9)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.allclose(again[name], weight, atol=1e-4) for name, weight in after.items())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (["--model", "/nowhere"], "/nowhere"),
        (["--records", "/nowhere"], "no audio in /nowhere"),
        (["--songs", 1], "--songs 2"),
        (["--soundfont", "/nowhere.sf2"], "/nowhere.sf2"),
    ],
)
def test_bad_input_is_one_clear_error(small_model, tmp_path, monkeypatch, changed, reason):
    folders = ["--model", small_model, "--output_dir", tmp_path / "out", "--notes_dir", tmp_path / "notes"]
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *map(str, [*folders, "--songs", 2, "--seconds", SECONDS, *changed])])
    with pytest.raises(SystemExit, match=f"^error: .*{reason}"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not (tmp_path / "out").exists()
