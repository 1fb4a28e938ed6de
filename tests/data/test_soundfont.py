"""Instruments of a soundfont: in time with the chart, and clear about what is missing."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from onsets import onsets_heard

from tabhero_hf.charts import Difficulty, Instrument
from tabhero_hf.data import soundfont as sf
from tabhero_hf.data.made_library import make_library
from tabhero_hf.data.made_songs import render_training_song
from tabhero_hf.data.synthesis import SAMPLE_RATE
from tabhero_hf.data.synthetic import DRUM_LEVELS, Note

# Songs about each instrument whose stem comes from the soundfont.
SEEDS = {Instrument.LEAD: 10, Instrument.RHYTHM: 5}


@pytest.fixture(scope="module")
def soundfont() -> str:
    path = Path(os.environ.get("TABHERO_SOUNDFONT", "/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    if not path.is_file() or shutil.which("fluidsynth") is None:
        reason = f"no soundfont at {path} or no FluidSynth: apt-get install fluidsynth fluid-soundfont-gm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(path)


@pytest.mark.parametrize("instrument", list(SEEDS))
def test_a_song_has_its_chart_and_other_sounds_in_time(soundfont, instrument):
    modelled = render_training_song(SEEDS[instrument], 30.0)
    song = render_training_song(SEEDS[instrument], 30.0, soundfont)
    assert song.featured == instrument and song.notes == modelled.notes
    assert song.part.shape == modelled.part.shape and not np.array_equal(song.part, modelled.part)
    times = np.array([note[0] for note in song.notes[Difficulty.EXPERT, instrument]])
    times = times[times < len(song.part) / SAMPLE_RATE - 0.2]
    assert np.mean(onsets_heard(song.part, times)) > 0.6
    for late in (-0.03, 0.03):
        assert np.mean(onsets_heard(song.part, times)) > np.mean(onsets_heard(song.part, times + late)) + 0.15


@pytest.mark.parametrize("program", sorted({*sf.GUITARS, sf.MUTED_GUITAR, *sf.BASSES, *sf.KEYS}))
def test_instruments_sound_when_they_are_played(soundfont, program):
    struck = [0.5, 1.0, 1.75]
    part = [Note(time, 0.2, 45) for time in struck]
    sound = sf.play(soundfont, np.random.default_rng(0), part, [program], 3 * SAMPLE_RATE)
    assert sound.shape == (3 * SAMPLE_RATE,) and sound.dtype == np.float32
    peak = np.abs(sound).max()
    assert np.abs(sound[: int(0.45 * SAMPLE_RATE)]).max() < 0.01 * peak
    for time in struck:
        assert np.abs(sound[int(time * SAMPLE_RATE) :][: int(0.02 * SAMPLE_RATE)]).max() > 0.1 * peak


def test_a_kit_has_all_drums_from_their_first_moment(soundfont):
    kit = sf.draw_kit(soundfont, np.random.default_rng(0))
    assert kit.keys() == DRUM_LEVELS.keys()
    for sound in kit.values():
        assert np.abs(sound[: int(0.01 * SAMPLE_RATE)]).max() > 0.3 * np.abs(sound).max() > 0.0


def test_what_is_missing_is_said_before_anything_is_written(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no soundfont at .*none.sf2"):
        make_library(tmp_path / "songs", 1, soundfont=str(tmp_path / "none.sf2"))
    (tmp_path / "some.sf2").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no program fluidsynth"):
        make_library(tmp_path / "songs", 1, soundfont=str(tmp_path / "some.sf2"))
    assert not (tmp_path / "songs").exists()
    with pytest.raises(ValueError, match="no program fluidsynth"):
        render_training_song(SEEDS[Instrument.LEAD], 8.0, str(tmp_path / "some.sf2"))


def test_what_is_no_soundfont_is_named(soundfont, tmp_path):
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(ValueError, match="cannot play from .*broken.sf2"):
        make_library(tmp_path / "songs", 1, first_seed=10, seconds=8.0, workers=1, soundfont=str(broken))
    assert list((tmp_path / "songs").iterdir()) == []
