"""On which frets notes are struck: what a listener holds likely, told by how notes sound beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tabhero_hf.charts import OPEN_LANE

TRUST = 0.5
"""Of what a listener holds likely, in log-odds: what it hears of a note it hears of the next one, too."""

DOUBT = 0.02
"""Added to each probability: a listener is never so sure that nothing could say otherwise."""

RARE, MOST_CHOICES = 0.03, 24
"""Frets that are less likely than this on average are not used in a song, and no more than so many."""

SAME_NEXT = 10.7, -8.0
"""Log-odds that a note is on the frets of the one before it, by how alike they sound: slope and intercept, fitted to
three real songs by ``scripts/fit_likeness.py``."""

SAME_LATER = 4.3, -2.2
"""The same for one further back, less the log-odds of any two such notes."""

RISING = 5.6
"""Log-odds that the next note is higher, if it is another one, by how much its sound is shifted up: slope."""

LATER = 0.1
"""How much notes further back than the one before count, each."""

PHRASE_SECONDS, PASSAGE_SECONDS = 1.5, 6.0
"""Notes further apart than this are not told by the one before them, and by those further back."""

CHORD_OF_ONE_HEIGHT = 0.3
"""How likely the next note is on other frets of the same height, of what is not the same frets."""

ROUNDS = 3


def find_frets(
    likely: np.ndarray,
    lanes: Sequence[tuple[int, ...]],
    seconds: np.ndarray,
    likeness: np.ndarray,
    rise: np.ndarray,
) -> np.ndarray:
    """The frets of notes, ascending in time, that a listener and the sound of the notes together make likely.

    Notes that sound alike are on the same frets, and one that sounds higher is on higher ones. The likeliest frets of
    all notes given those before them are found by dynamic programming ([Viterbi,
    1967](https://doi.org/10.1109/TIT.1967.1054010)), in rounds in which notes are drawn to those further back, too.

    Args:
        likely: of each note's frets, ``(notes, choices)``.
        lanes: of each choice.
        seconds: of the notes, ``(notes,)``.
        likeness, rise: of each note and the one so many before it, ``(back, notes)``; see
            :class:`~tabhero_hf.audio.likeness.Comparison`.

    Returns:
        The choice for each note, int of shape ``(notes,)``.
    """
    if not len(likely):
        return np.zeros(0, dtype=np.int64)
    usual = likely.mean(axis=0)
    used = np.sort(np.argsort(-usual, kind="stable")[:MOST_CHOICES])
    used = used[usual[used] >= min(RARE, usual.max())]
    heights = np.array([height(lanes[choice]) for choice in used])
    heard = TRUST * np.log(likely[:, used] + DOUBT)
    steps = _steps(heights, seconds, likeness[0], rise[0])
    alike = LATER * (SAME_LATER[0] * likeness + SAME_LATER[1])
    found = _likeliest(heard, steps)
    for _ in range(ROUNDS - 1):
        drawn, reached = heard.copy(), heights[found][:, None]
        for back in range(2, min(len(alike), len(seconds) - 1) + 1):
            near = seconds[back:] - seconds[:-back] <= PASSAGE_SECONDS
            pull = (alike[back - 1, back:] * near)[:, None]
            drawn[back:] += pull * (heights == reached[:-back])
            drawn[:-back] += pull * (heights == reached[back:])
        found = _likeliest(drawn, steps)
    return used[found]


def height(lanes: Sequence[int]) -> float:
    """How high a chord is: the mean of its lanes; an open note lies below green."""
    return float(np.mean([-1 if lane == OPEN_LANE else lane for lane in lanes]))


def _steps(heights: np.ndarray, seconds: np.ndarray, likeness: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Log-probability of each step to a note from the one before, ``(notes - 1, choices, choices)``."""
    same, higher = (
        1 / (1 + np.exp(-odds[1:, None, None])) for odds in (SAME_NEXT[0] * likeness + SAME_NEXT[1], RISING * rise)
    )
    up = heights[None, :] - heights[:, None]
    direction = np.where(up > 0, higher, np.where(up < 0, 1 - higher, CHORD_OF_ONE_HEIGHT))
    steps = np.log(np.where(np.eye(len(heights), dtype=bool), same, (1 - same) * direction) + 1e-4)
    return steps * (np.diff(seconds) <= PHRASE_SECONDS)[:, None, None]


def _likeliest(scores: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The choices, ``(notes,)``, with the highest sum of scores ``(notes, choices)`` and steps between them."""
    best, behind = scores[0], []
    for score, step in zip(scores[1:], steps, strict=True):
        reached = best[:, None] + step
        behind.append(reached.argmax(axis=0))
        best = reached.max(axis=0) + score
    choices = [int(best.argmax())]
    for before in reversed(behind):
        choices.append(int(before[choices[-1]]))
    return np.array(choices[::-1])
