"""Frets of notes: what is heard of each, and how they sound beside each other."""

import numpy as np
import pytest

from tabhero_hf.arranging import find_frets
from tabhero_hf.arranging.frets import same_as_before
from tabhero_hf.audio.likeness import Comparison
from tabhero_hf.charts import Difficulty

SINGLES = [(0,), (1,), (2,), (3,), (4,)]
BACK = 12
BEAT = 0.6


def compared(pitches: np.ndarray) -> Comparison:
    """Notes of these pitches beside each other, as clearly as can be heard without naming them."""
    likeness, rise = np.zeros((2, BACK, len(pitches)))
    for back in range(1, min(BACK, len(pitches) - 1) + 1):
        step = pitches[back:] - pitches[:-back]
        likeness[back - 1, back:] = np.where(step == 0, 0.97, 0.4)
        rise[back - 1, back:] = 0.8 * np.sign(step)
    return Comparison(likeness, rise)


def heard(lanes: np.ndarray, rng: np.random.Generator, right: float, choices: int = 5) -> np.ndarray:
    """What a listener holds likely who is right so often, and never very sure."""
    named = np.where(rng.random(len(lanes)) < right, lanes, rng.integers(0, choices, len(lanes)))
    return 0.1 + 0.5 * np.eye(choices)[named]


def test_notes_that_sound_alike_are_on_the_same_frets():
    rng = np.random.default_rng(0)
    lanes = np.repeat([0, 2, 0, 1, 3, 1], 16)
    likely, seconds = heard(lanes, rng, right=0.5), 0.1 * np.arange(len(lanes))
    alone = likely.argmax(axis=1)
    found = find_frets(likely, SINGLES, seconds, seconds / BEAT, compared(lanes))
    assert (alone == lanes).mean() < 0.75 and (found == lanes).mean() > 0.95
    assert (np.diff(found) != 0).sum() == (np.diff(lanes) != 0).sum()


def test_a_melody_rises_where_it_sounds_higher():
    pitches = np.tile([0, 1, 2, 3, 4, 3, 2, 1], 6)
    likely, seconds = np.full((len(pitches), 5), 0.2), 0.3 * np.arange(len(pitches))
    found = find_frets(likely, SINGLES, seconds, seconds / BEAT, compared(pitches))
    assert (np.sign(np.diff(found)) == np.sign(np.diff(pitches))).mean() > 0.95


def test_named_pitches_tell_what_sounds_do_not():
    pitches = np.tile([0, 1, 1, 2, 3, 3, 2, 1], 6)
    nothing = Comparison(np.full((BACK, 48), 0.7), np.zeros((BACK, 48)))
    same, higher = np.zeros((2, BACK, 48))
    for back in range(1, BACK + 1):
        step = pitches[back:] - pitches[:-back]
        same[back - 1, back:], higher[back - 1, back:] = np.where(step == 0, 5, -7), 5 * np.sign(step)
    found = find_frets(
        np.full((48, 5), 0.2),
        SINGLES,
        0.3 * np.arange(48),
        np.arange(48) / 2,
        nothing._replace(same=same, higher=higher),
    )
    assert (np.sign(np.diff(found)) == np.sign(np.diff(pitches))).mean() > 0.95


def test_where_nothing_can_be_told_apart_it_is_what_is_heard():
    lanes = np.random.default_rng(1).integers(0, 5, 40)
    likely = 0.02 + 0.9 * np.eye(5)[lanes]
    seconds, likeness = 2.0 * np.arange(40), np.full((BACK, 40), 0.7)
    found = find_frets(likely, SINGLES, seconds, seconds / BEAT, Comparison(likeness, np.zeros((BACK, 40))))
    assert found.tolist() == lanes.tolist()


def test_fast_notes_stay_where_they_are():
    """Sounds neither alike nor unlike: a run of them is one note struck again and again, a slow line moves."""
    likely, likeness = np.full((24, 5), 0.2), np.full((BACK, 24), 0.75)
    rise = np.tile([0.3, -0.3], (BACK, 12))
    moves = []
    for gap in (0.09, 0.9):
        seconds = gap * np.arange(24)
        moves.append(
            np.diff(find_frets(likely, SINGLES, seconds, 0.1 + 2 * np.arange(24), Comparison(likeness, rise))) != 0
        )
    assert not moves[0].any() and moves[1].all()


def test_notes_change_on_the_beat():
    """Four a beat, of which nothing but the beat tells when the frets change: on it, and now and then between two."""
    beats = np.arange(32) / 4
    likeness = np.vstack([np.full(32, 0.73), np.full((BACK - 1, 32), 0.51)])
    rise = np.tile(np.repeat([0.3, -0.3], 4), (BACK, 4))
    found = find_frets(np.full((32, 5), 0.2), SINGLES, BEAT * beats, beats, Comparison(likeness, rise))
    changes = set(np.flatnonzero(np.diff(found)) + 1)
    assert set(range(4, 32, 4)) <= changes <= set(range(2, 32, 2))


def test_notes_move_although_each_is_likelier_to_stay():
    """By a little or by much: the likeliest would be that all of them stay."""
    rng = np.random.default_rng(3)
    likeness = np.vstack([rng.uniform(0.66, 0.9, 400), np.full((BACK - 1, 400), 0.51)])
    seconds, beats = 0.15 * np.arange(400), 0.1 + 2 * np.arange(400)
    odds = same_as_before(Comparison(likeness, likeness), seconds, beats, Difficulty.EXPERT)
    rise = rng.choice([-0.3, 0.3], (BACK, 400))
    expected = (1 / (1 + np.exp(-odds))).mean()
    found = find_frets(np.full((400, 5), 0.2), SINGLES, seconds, beats, Comparison(likeness, rise))
    moves = np.diff(found) != 0
    assert 0.6 < expected < 0.9 and (odds > 0).mean() > expected + 0.04
    assert abs(moves.mean() - (1 - expected)) < 0.03
    assert np.median(odds[moves]) < np.quantile(odds, 0.25)


def test_a_listener_who_is_not_sure_says_more_than_green():
    """Always green if there is a doubt, a little less so for the notes that are red."""
    rng = np.random.default_rng(2)
    red = rng.random(400) < 0.4
    likely = np.where(red[:, None], [0.42, 0.38, 0.1, 0.05, 0.05], [0.5, 0.3, 0.1, 0.05, 0.05])
    seconds = 7.0 * np.arange(400)  # too far apart to tell each other
    found = find_frets(likely, SINGLES, seconds, seconds / BEAT, Comparison(*np.zeros((2, BACK, 400))))
    assert (likely.argmax(axis=1) == 0).all() and (found == red).all()


def test_a_rest_lets_a_note_be_anywhere():
    """The same sound before and after a rest: it is on the same frets only if it is heard on the same frets."""
    likely = np.array([[0.9, 0.1, 0, 0, 0], [0.1, 0.9, 0, 0, 0]])
    near, far = (
        find_frets(likely, SINGLES, np.array([0.0, gap]), np.array([0.0, 1.0]), compared(np.zeros(2))).tolist()
        for gap in (0.3, 9.0)
    )
    assert near in ([0, 0], [1, 1]) and far == [0, 1]


def test_chords_and_open_notes_have_their_height():
    choices = [(6,), (0,), (0, 1), (3, 4)]
    pitches = np.tile([0, 1, 2, 3], 8)
    found = find_frets(np.full((32, 4), 0.25), choices, 0.3 * np.arange(32), np.arange(32) / 2, compared(pitches))
    assert found.tolist() == pitches.tolist()


@pytest.mark.parametrize(
    "difficulty, lanes",
    [
        (Difficulty.HARD, [0, 1, 2, 3, 3, 0]),
        (Difficulty.MEDIUM, [0, 1, 2, 3, 3, 0]),
        (Difficulty.EASY, [0, 1, 1, 2, 2, 0]),
    ],
)
def test_an_easier_chart_is_drawn_to_the_lanes_of_the_harder_one(difficulty, lanes):
    """Where a listener is not sure. Of the last notes one is a chord there, one is open, one is heard well, and one is
    not there."""
    choices = [*SINGLES, (0, 1), (6,)]
    likely = np.full((9, 7), 0.14)
    likely[7] = 0.01 + 0.9 * np.eye(7)[4]
    seconds = 7.0 * np.arange(9)  # too far apart to tell each other
    harder = np.array([0, 1, 2, 3, 4, 5, 6, 0, -1])
    told = seconds, seconds / BEAT, Comparison(*np.zeros((2, BACK, 9))), difficulty
    found, apart = (find_frets(likely, choices, *told, above) for above in (harder, None))
    lowest = [min(choices[choice]) for choice in found]
    assert lowest[:6] == lanes and lowest[6] == 6 and lowest[7] == 4
    assert found[8] == apart[8] and len(set(apart.tolist()) - {4}) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_notes(count):
    likely = np.eye(5)[[3, 1]][:count]
    found = find_frets(likely, SINGLES, 3.0 * np.arange(count), 5.0 * np.arange(count), compared(np.zeros(count)))
    assert found.tolist() == [3, 1][:count]


def test_a_listener_who_knows_nothing_leaves_it_to_the_sound():
    """As a model of random weights does: no frets are likelier than the others, and there are many of them."""
    pitches = np.tile([0, 0, 1, 1], 8)
    choices = [(lane,) for lane in range(5)] * 25
    found = find_frets(np.full((32, 125), 1 / 125), choices, 0.3 * np.arange(32), np.arange(32) / 2, compared(pitches))
    lanes = np.array([choices[choice][0] for choice in found])
    assert (np.diff(lanes) == 0).tolist() == (np.diff(pitches) == 0).tolist()
