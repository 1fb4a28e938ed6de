"""Putting notes on frets: what the head is told, what it learns from, and the script."""

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from safetensors.torch import load_file

from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration, TabHeroProcessor
from tabhero_hf.data.score import RESOLUTION
from tabhero_hf.modeling_tabhero import CHORD_SHAPES, TabHeroFingeringHead, TabHeroPitchHead
from tabhero_hf.tokenization_tabhero import LANE_SETS
from tabhero_hf.training import fingering
from tabhero_hf.training.fingering import (
    HeardCharts,
    Sounds,
    draw_example,
    hear_charted_songs,
    train_fingering_head,
    written_notes,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_fingering_head.py"
SECONDS = 5.0
LOWEST, PITCHES = TabHeroPitchHead.LOWEST_PITCH, TabHeroPitchHead.NUM_PITCHES


def odds(pitches: np.ndarray, frets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What somebody hears who is sure of pitches and of chord shapes, but of no lane."""
    shapes = np.array(CHORD_SHAPES)
    likely = (shapes[frets][:, None] == shapes).astype(np.float32)
    return np.eye(PITCHES, dtype=np.float32)[pitches - LOWEST], likely / likely.sum(axis=1, keepdims=True)


def heard(notes) -> HeardCharts:
    sounds = np.zeros(len(notes.charts), dtype=np.int64)
    return HeardCharts(*notes.columns().values(), sounds, *odds(notes.pitches.astype(int), notes.frets))


@pytest.fixture(scope="module")
def head() -> TabHeroFingeringHead:
    torch.manual_seed(0)
    return TabHeroFingeringHead(TabHeroConfig()).eval()


@pytest.fixture
def listening_model(small_model, tmp_path) -> Path:
    """One that names pitches, at random."""
    model = TabHeroForConditionalGeneration.from_pretrained(small_model)
    model.config.pitch_head = True
    model.pitch_head = TabHeroPitchHead(model.config)
    model.save_pretrained(tmp_path / "listening")
    TabHeroProcessor.from_pretrained(small_model).save_pretrained(tmp_path / "listening")
    return tmp_path / "listening"


def told(notes, dtype=torch.float32) -> list[torch.Tensor]:
    values = *odds(notes.pitches.astype(int), notes.frets), notes.seconds, notes.beats
    return [torch.from_numpy(value)[None].to(dtype) for value in values]


def test_what_is_learned_in_one_key_is_known_in_all(head):
    (chart, *_) = written_notes(3, 10.0).by_chart()
    higher = type(chart)(**{**chart.columns(), "pitches": chart.pitches + 5})
    ids = torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        assert torch.allclose(head(*told(chart), ids, ids), head(*told(higher), ids, ids), atol=1e-4)
        upside_down = type(chart)(**{**chart.columns(), "pitches": 120 - chart.pitches})
        assert not torch.allclose(head(*told(chart), ids, ids), head(*told(upside_down), ids, ids), atol=1e-2)


def test_a_riff_is_known_again_however_far_away_it_was():
    """By the intervals to all other notes, and not only to those around it."""
    torch.manual_seed(0)
    head = TabHeroFingeringHead(TabHeroConfig()).eval()
    (chart, *_) = written_notes(3, 40.0).by_chart()
    far = chart.beats > chart.beats[0] + 2 * max(head.AROUND)
    moved = type(chart)(**{**chart.columns(), "pitches": chart.pitches + np.where(far, 1, 0).astype(np.int16)})
    ids = torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        for layer in head.layers:
            layer.interval_values.normal_()
        first, second = (head(*told(each), ids, ids)[0, 0] for each in (chart, moved))
    assert far.sum() > 10 and not torch.allclose(first, second, atol=1e-3)


def test_a_chart_is_fingered_alone_as_beside_a_longer_one(head):
    longer, shorter, *_ = sorted(written_notes(3, 10.0).by_chart(), key=lambda chart: -len(chart.charts))
    count, most = len(shorter.charts), len(longer.charts)
    both = [
        torch.cat([torch.nn.functional.pad(few, [0, 0] * (few.ndim - 2) + [0, most - count]), many])
        for few, many in zip(told(shorter), told(longer))
    ]
    mask, ids = torch.arange(most) < torch.tensor([[count], [most]]), torch.tensor([1, 1])
    with torch.no_grad():
        alone, beside = head(*told(shorter), ids[:1], ids[:1])[0], head(*both, ids, ids, mask)[0, :count]
    assert torch.allclose(alone, beside, atol=1e-4)


def test_it_learns_where_charts_put_a_melody(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(TabHeroFingeringHead, "LAYERS", 1)
    songs = [written_notes(seed, 20.0) for seed in range(12)]
    head = TabHeroFingeringHead(TabHeroConfig())
    losses = train_fingering_head(head, songs, [heard(song) for song in songs[:2]], 80, 4)
    share = np.bincount(np.concatenate([song.frets for song in songs])) / sum(len(song.frets) for song in songs)
    without_listening = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert losses[0] > 4 and np.mean(losses[-10:]) < without_listening - 0.3


def test_notes_sound_as_others_of_their_pitch_and_chord_did():
    sounds, rng = Sounds([heard(written_notes(seed, 10.0)) for seed in range(3)]), np.random.default_rng(0)
    for chart in written_notes(50, 10.0).by_chart():
        pitches, frets = sounds.of(rng, chart, sound=0)
        assert (pitches.argmax(axis=1) + LOWEST == chart.pitches).all()
        assert (np.array(CHORD_SHAPES)[frets.argmax(axis=1)] == np.array(CHORD_SHAPES)[chart.frets]).mean() > 0.95
    songs = [written_notes(seed, 10.0).by_chart() for seed in range(50, 53)]
    for _ in range(100):
        (pitches, frets, seconds, beats), chart_of, target = draw_example(rng, songs, sounds)
        assert len(pitches) == len(frets) == len(seconds) == len(beats) == len(target) > 0
        assert (seconds.diff() >= 0).all() and (beats.diff() >= 0).all() and chart_of.shape == (2,)
        assert ((target == -100) | (target < len(LANE_SETS))).all() and (target >= 0).any()


def test_what_is_misheard_in_a_song_is_misheard_together(monkeypatch):
    monkeypatch.setattr(fingering, "OF_ONE_SONG", 1.0)
    right = heard(written_notes(0, 10.0))
    higher = dataclasses.replace(right, pitch_odds=np.roll(right.pitch_odds, 1, axis=1))
    sounds, rng, errors = Sounds([right, higher]), np.random.default_rng(0), set()
    for chart in written_notes(0, 10.0).by_chart():
        for _ in range(4):
            named = sounds.of(rng, chart, sound=0)[0].argmax(axis=1) + LOWEST
            (error,) = set((named - chart.pitches).tolist())
            errors.add(error)
    assert errors == {0, 1}


def test_charts_of_made_songs_are_heard_and_kept(listening_model, tmp_path, demo_song):
    model = TabHeroForConditionalGeneration.from_pretrained(listening_model)
    records = [demo_song / "song.ogg"]
    options = dict(seconds=SECONDS, records=records)
    (song,) = hear_charted_songs(tmp_path / "heard", [7], str(listening_model), model, **options)
    written = written_notes(7, SECONDS)
    band = song.where(song.sounds == 1)
    assert set(song.sounds.tolist()) == {0, 1, 2}
    assert (band.frets == written.frets).all() and (band.pitches == written.pitches).all()
    assert song.pitch_odds.astype(np.float32).sum(axis=1) == pytest.approx(1, abs=0.01)
    assert song.fret_odds.shape == (len(song.charts), len(LANE_SETS))
    for chart in song.by_chart():
        assert len(np.unique(chart.difficulties)) == len(np.unique(chart.instruments)) == 1
        assert (np.diff(chart.seconds) > 0).all() and (np.diff(chart.beats * RESOLUTION) > 0.5).all()
    kept = tmp_path / "heard" / "000000007.npz"
    written_at = kept.stat().st_mtime_ns
    hear_charted_songs(tmp_path / "heard", [7], str(listening_model), model, **options)
    assert kept.stat().st_mtime_ns == written_at
    torch.nn.init.ones_(model.pitch_head.out.weight)
    with pytest.raises(ValueError, match="records or weights"):
        hear_charted_songs(tmp_path / "heard", [7], str(listening_model), model, **options)


def test_the_script_gives_a_model_a_head_and_leaves_the_rest_as_it_is(listening_model, tmp_path):
    folders = ["--model", listening_model, "--output_dir", tmp_path / "out", "--notes_dir", tmp_path / "notes"]
    few = ["--heard", "2", "--songs", "3", "--seconds", "10", "--steps", "3"]
    done = subprocess.run([sys.executable, SCRIPT, *folders, *few], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "in the band:" in done.stdout and "on the right frets" in done.stdout and "record" not in done.stdout
    before, after = (load_file(folder / "model.safetensors") for folder in (listening_model, tmp_path / "out"))
    assert before.keys() < after.keys() and all((after[name] == weight).all() for name, weight in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"fingering_head"}
    model = TabHeroForConditionalGeneration.from_pretrained(tmp_path / "out")
    chart = written_notes(9, 20.0).by_chart()[-1]
    arguments = [value[0] for value in told(chart)]
    whole = model.finger_notes(*arguments, difficulty=3, instrument=0)
    assert whole.shape == (len(chart.charts), len(LANE_SETS)) and torch.allclose(whole.sum(dim=1), torch.ones(1))
    # In parts, whose notes are told of those beside them, it is nearly the same.
    parts = model.finger_notes(*arguments, difficulty=3, instrument=0, batch_size=16, context=64)
    assert (whole - parts).abs().mean() < 0.2 * (whole - whole.mean(dim=0)).abs().mean()
    nothing = model.finger_notes(*(value[:0] for value in arguments), difficulty=3, instrument=0)
    assert nothing.shape == (0, len(LANE_SETS))
    assert TabHeroProcessor.from_pretrained(tmp_path / "out")
    settings = "generation_config.json"
    assert (tmp_path / "out" / settings).read_text() == (listening_model / settings).read_text()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (["--model", "/nowhere"], "/nowhere"),
        (["--records", "/nowhere"], "no audio in /nowhere"),
        (["--heard", 1], "--heard 2"),
        (["--soundfont", "/nowhere.sf2"], "/nowhere.sf2"),
        (["--model", None], "names no pitches"),
    ],
)
def test_bad_input_is_one_clear_error(small_model, listening_model, tmp_path, monkeypatch, changed, reason):
    changed = [small_model if value is None else value for value in changed]
    flags = ["--model", listening_model, "--output_dir", tmp_path / "out", "--notes_dir", tmp_path / "notes"]
    flags += ["--heard", 2, "--songs", 2, "--seconds", SECONDS, *changed]
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *map(str, flags)])
    with pytest.raises(SystemExit, match=f"^error: .*{reason}"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not (tmp_path / "out").exists()


def test_a_model_without_the_head_says_so(small_model):
    model = TabHeroForConditionalGeneration.from_pretrained(small_model)
    with pytest.raises(ValueError, match="no fingering head"):
        model.finger_notes(*(torch.zeros(1, 1) for _ in range(4)), difficulty=0, instrument=0)
    with pytest.raises(StrictDataclassClassValidationError, match="fingering_head. needs"):
        TabHeroConfig(fingering_head=True)
