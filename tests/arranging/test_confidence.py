import numpy as np
import pytest

from tabhero_hf.arranging import count_broken_rules, least_sure, measure_confidence
from tabhero_hf.charts import Difficulty, TempoMap
from tabhero_hf.charts.measures import Measures

SURE, UNSURE = 0.9, 0.3


def song() -> tuple[np.ndarray, np.ndarray, Measures]:
    """Eight measures of eighths at 120 BPM: heard well, then badly from the fifth measure on, silent in the last."""
    onsets = np.arange(0, 14, 0.25)
    probability = np.zeros(1600)
    for onset in onsets:
        probability[round(onset * 100)] = SURE if onset < 8 else UNSURE
    return onsets, probability, Measures(TempoMap(480, ((0, 120.0),)))


def test_confidence_is_the_f1_to_be_expected():
    onsets, probability, measures = song()
    confidence = measure_confidence(onsets, probability, measures, offset=0.0)
    assert confidence[:, 0] == pytest.approx(np.arange(len(confidence)) * 2)
    assert confidence[:, 1] == pytest.approx(confidence[:, 0] + 2)
    # Eight notes, and eight times as likely: 2 * 8 p / (8 + 8 p).
    assert confidence[:4, 2] == pytest.approx(2 * SURE / (1 + SURE))
    assert confidence[4:7, 2] == pytest.approx(2 * UNSURE / (1 + UNSURE))
    assert np.isnan(confidence[7, 2])


def test_what_is_not_written_makes_unsure_and_so_does_what_was_not_heard():
    onsets, probability, measures = song()
    everything = measure_confidence(onsets, probability, measures)
    half = measure_confidence(onsets[::2], probability, measures)
    invented = measure_confidence(np.sort(np.r_[onsets, onsets + 0.125]), probability, measures)
    for worse in (half, invented):
        assert (worse[:7, 2] < 0.9 * everything[:7, 2]).all()
    nothing = measure_confidence(np.zeros(0), probability, measures)
    assert (nothing[:7, 2] == 0).all()


def test_an_empty_song_has_a_measure_that_is_neither_sure_nor_unsure():
    (row,) = measure_confidence(np.zeros(0), np.zeros(0), Measures(TempoMap(480)))
    assert np.isnan(row[2])


def test_the_least_sure_stretches_are_where_it_was_heard_badly():
    confidence = measure_confidence(*song())
    assert least_sure(confidence, stretches=1, length=3) == [(8.0, 14.0)]
    assert least_sure(confidence, stretches=9, length=3)[0] == (0.0, 6.0)
    assert least_sure(confidence[:2]) == []


def test_rules_are_broken_by_crowds_haste_and_leaps():
    plain = [(0.0, (0,), 0, 0.0), (0.5, (4,), 0, 0.0), (1.0, (0, 1, 2), 0, 0.0)]
    assert count_broken_rules(plain, Difficulty.EXPERT) == 0
    assert count_broken_rules(plain, Difficulty.EASY) == 1
    fast = [(0.0, (0,), 0, 0.0), (0.12, (4,), 0, 0.0), (0.24, (6,), 0, 0.0)]
    assert count_broken_rules(fast, Difficulty.EXPERT) == 1
    assert count_broken_rules(fast, Difficulty.EASY) == 3
