"""Notes that come back: what is heard of one tells the others."""

import numpy as np
import pytest

from tabhero_hf.arranging.repeats import INDEPENDENT, Repeats, find_repeats, pool

PITCHES = 24


def riff(rng: np.random.Generator, notes: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Pitches and beats of four measures."""
    return rng.integers(0, PITCHES, notes), np.sort(rng.choice(64, notes, replace=False)) / 4


def heard(pitches: np.ndarray, rng: np.random.Generator, right: float) -> np.ndarray:
    """What is held likely by a listener who is right so often, and knows no better where."""
    named = np.where(rng.random(len(pitches)) < right, pitches, rng.integers(0, PITCHES, len(pitches)))
    return 0.1 / PITCHES + 0.9 * np.eye(PITCHES)[named]


def right(likely: np.ndarray, pitches: np.ndarray) -> float:
    return float((likely.argmax(axis=1) == pitches).mean())


def test_a_riff_that_comes_back_is_heard_better_than_each_time_alone():
    rng = np.random.default_rng(0)
    pitches, beats = riff(rng)
    pitches, beats = np.tile(pitches, 4), np.concatenate([beats + 16 * turn for turn in range(4)])
    likely = heard(pitches, rng, right=0.85)
    pooled = pool(likely, find_repeats(likely, beats), INDEPENDENT)
    assert right(likely, pitches) < 0.87 and right(pooled, pitches) > 0.91
    np.testing.assert_allclose(pooled.sum(axis=1), 1)


def test_it_comes_back_though_notes_are_missed_and_others_added():
    rng = np.random.default_rng(1)
    pitches, beats = riff(rng)
    pitches, beats = np.tile(pitches, 6), np.concatenate([beats + 16 * turn for turn in range(6)])
    kept, added = rng.random(len(pitches)) < 0.95, rng.uniform(0, 96, 6)
    pitches = np.concatenate([pitches[kept], rng.integers(0, PITCHES, 6)])
    beats = np.concatenate([beats[kept] + rng.normal(0, 0.01, kept.sum()), added])
    order = np.argsort(beats)
    pitches, beats = pitches[order], beats[order]
    likely = heard(pitches, rng, right=0.85)
    pooled = pool(likely, find_repeats(likely, beats), INDEPENDENT)
    assert right(likely, pitches) < 0.87 and right(pooled, pitches) > 0.91


def test_passages_of_one_rhythm_and_other_pitches_say_nothing_of_each_other():
    rng = np.random.default_rng(2)
    beats = np.arange(128) / 2
    likely = heard(rng.integers(0, PITCHES, 128), rng, right=1.0)
    repeats = find_repeats(likely, beats)
    assert not len(repeats.weights)
    assert (pool(likely, repeats).argmax(axis=1) == likely.argmax(axis=1)).all()


def test_a_passage_within_a_fuller_one_says_little_of_it_and_it_of_the_passage():
    rng = np.random.default_rng(4)
    pitches = rng.integers(0, PITCHES, 64)
    fuller, sparser = (pitches, np.arange(64) / 4), (pitches[::4], np.arange(16))
    for (first, beats), (second, others) in ((fuller, sparser), (sparser, fuller)):
        likely = heard(np.concatenate([first, second]), rng, right=1.0)
        repeats = find_repeats(likely, np.concatenate([beats, others + 16]))
        assert (repeats.weights < 0.3).all()


def test_where_riffs_change_each_is_told_by_its_own():
    rng = np.random.default_rng(3)
    (verse, beats), (chorus, others) = riff(rng), riff(rng)
    pitches = np.concatenate([verse, chorus, verse, chorus])
    beats = np.concatenate([beats, others + 16, beats + 32, others + 48])
    likely = heard(pitches, rng, right=0.9)
    repeats = find_repeats(likely, beats)
    assert len(repeats.weights) and np.allclose(beats[repeats.later] - beats[repeats.earlier], 32)


def test_independent_ears_are_surer_together_and_dependent_ones_are_not():
    likely = np.array([[0.6, 0.3, 0.1]] * 2)
    repeats = Repeats(np.array([0]), np.array([1]), np.array([1.0]))
    np.testing.assert_allclose(pool(likely, repeats), likely, atol=2e-3)
    assert (pool(likely, repeats, independent=1.0)[:, 0] > 0.75).all()


@pytest.mark.parametrize("lag", [4, 8, 16])
def test_notes_at_the_edge_of_what_is_near_are_no_trouble(lag):
    for late in (0.0, 0.05, 0.1, 0.100001, -0.1):
        for tick in range(0, 480, 7):
            beats = np.array([tick / 480, tick / 480 + lag + late])
            repeats = find_repeats(np.eye(PITCHES)[[3, 3]], beats)
            assert len(repeats.weights) == 1 or abs(late) >= 0.1


@pytest.mark.parametrize("notes", [0, 1, 2])
def test_a_chart_of_hardly_any_notes_has_no_repeats(notes):
    likely = np.full((notes, PITCHES), 1 / PITCHES, dtype=np.float32)
    repeats = find_repeats(likely, np.arange(notes) / 2)
    pooled = pool(likely, repeats)
    assert not len(repeats.weights) and pooled.shape == likely.shape and pooled.dtype == np.float32
