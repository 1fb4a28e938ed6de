"""Made songs: stems and labels that belong together."""

import numpy as np
import pytest
from onsets import onsets_heard

from tabhero_hf.charts import Difficulty, Instrument
from tabhero_hf.data.made_songs import STEMS, TAIL, MadeSong, render_song, render_training_song
from tabhero_hf.data.synthesis import SAMPLE_RATE, active_rms

# Songs about each instrument.
SEEDS = {Instrument.LEAD: 3, Instrument.BASS: 1, Instrument.RHYTHM: 4, Instrument.KEYS: 17}


@pytest.fixture(scope="module")
def song() -> MadeSong:
    return render_song(SEEDS[Instrument.LEAD], 30.0)


def test_stems_are_sound(song):
    assert {"lead", "bass", "rhythm", "drums"} <= set(song.stems) <= set(STEMS)
    lengths = {len(stem) for stem in song.stems.values()}
    assert len(lengths) == 1 and 30 * SAMPLE_RATE < lengths.pop() < 65 * SAMPLE_RATE
    for stem in song.stems.values():
        assert stem.dtype == np.float32 and stem.ndim == 1
        assert np.isfinite(stem).all() and np.abs(stem).max() > 0.01


def test_notes_lie_within_the_audio(song):
    seconds = len(song.stems["lead"]) / SAMPLE_RATE
    for key in song.chart.tracks:
        times = [(time, time + sustain) for time, _, _, sustain in song.chart.to_seconds(*key)]
        assert times[0][0] >= 1.0 and times[-1][1] <= seconds - TAIL + 1e-3


def test_a_training_song_is_the_same_song_in_two(song):
    training = render_training_song(SEEDS[Instrument.LEAD], 30.0)
    assert training.featured == song.featured == Instrument.LEAD
    assert np.array_equal(training.part, song.stems["lead"])
    np.testing.assert_allclose(training.part + training.backing, sum(song.stems.values()), atol=1e-6)
    assert training.notes == {(key[1], key[0]): song.chart.to_seconds(*key) for key in song.chart.tracks}
    assert not np.array_equal(render_training_song(6, 30.0).part, training.part)


def test_what_a_song_is_about_is_as_loud_as_guitars_are_in_real_ones():
    songs = [render_training_song(seed, 20.0) for seed in (*SEEDS.values(), 6, 7)]
    levels = [20 * np.log10(active_rms(song.part) / active_rms(song.backing)) for song in songs]
    assert -10 <= min(levels) < -6 < max(levels) <= -2


@pytest.mark.parametrize("instrument", list(SEEDS))
def test_labels_stand_where_the_sound_begins(instrument):
    song = render_training_song(SEEDS[instrument], 30.0)
    assert song.featured == instrument
    times = np.array([note[0] for note in song.notes[Difficulty.EXPERT, instrument]])
    times = times[times < len(song.part) / SAMPLE_RATE - 0.2]
    shuffled = times + np.random.default_rng(0).uniform(0.035, 0.05, len(times))
    assert np.mean(onsets_heard(song.part, times)) > 0.75
    assert np.mean(onsets_heard(song.part, times)) > np.mean(onsets_heard(song.part, shuffled)) + 0.15
