from dataclasses import replace

import numpy as np
import pytest

from tabhero_hf.audio.beats import Beats, track_beats
from tabhero_hf.audio.grid import OFF_GRID, onset_prior
from tabhero_hf.charts import TempoMap
from tests.made_music import make_music

RATE = 22050


def expected(beats: Beats, music, places: np.ndarray) -> np.ndarray:
    """The prior at so many beats of the music, beat by beat: (beats, places)."""
    first = music.beats[8:40]
    times = first[:, None] + np.diff(music.beats[8:41])[:, None] * places
    prior = onset_prior(beats, music.samples, RATE, times.ravel(), 1)
    return prior.reshape(times.shape)


@pytest.mark.parametrize(
    ("swing", "on", "between", "off"),
    [(0.5, (0, 1 / 2), (1 / 4, 3 / 4), (1 / 3, 2 / 3)), (2 / 3, (0, 1 / 3, 2 / 3), (), (1 / 4, 1 / 2, 3 / 4))],
    ids=["sixteenths", "triplets"],
)
def test_onsets_are_expected_on_the_grid_that_is_played(swing, on, between, off):
    music = make_music(lambda t: 130, swing=swing)
    beats = track_beats(music.samples, RATE)
    assert np.median(expected(beats, music, np.array(on)), axis=0).min() > 0.7
    assert np.median(expected(beats, music, np.array(off)), axis=0).max() < 0.3
    rarer = np.median(expected(beats, music, np.array(between)), axis=0)
    assert ((0.3 < rarer) & (rarer < 0.4)).all()


def test_thirty_seconds_are_expected_only_where_the_beat_is_slow():
    for bpm, likely in ((80, 0.2), (170, OFF_GRID)):
        music = make_music(lambda t: bpm)
        beats = Beats(TempoMap(480, ((0, float(bpm)),)), float(music.beats[0]), None)
        assert expected(beats, music, np.array([1 / 8])) == pytest.approx(likely, abs=0.05)


def test_an_unsure_beat_expects_nothing():
    music = make_music(lambda t: 130)
    beats = track_beats(music.samples, RATE)
    unsure = replace(beats, confidence=np.zeros_like(beats.confidence))
    prior = onset_prior(unsure, music.samples, RATE, [0.0, 4.0, 50.0], 800)  # the last one behind the song's end
    for brief in (0, 1, 1000):
        assert (onset_prior(beats, music.samples[:brief], RATE, [0.0], 8) == 1).all()
    assert prior.shape == (3, 800) and prior.dtype == np.float32
    assert (prior == 1).all()
