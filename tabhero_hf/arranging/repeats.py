"""What comes back in a song: what is heard of a note is told by the notes that play the same some measures away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LAGS = range(4, 132, 4)
"""Beats after which something may come back: phrases are whole measures, most of them of four beats."""

AROUND = 4.0
"""Beats on both sides of two notes in which they and their neighbours are compared."""

NEAR = 0.1
"""Beats by which a note that comes back may be early or late: the nearest one is it."""

ALIKE = 0.35, 0.75
"""How alike two passages are, 0 to 1, from which on one says something of the other, and from which on as much as of
itself."""

DOUBT = 1e-3
"""Added to each probability: no listener is so sure that all others count for nothing."""

INDEPENDENT = 0.2
"""How far pitches are heard independently where a note comes back, as other things sound there: from 0, where all may
be misheard for one reason, to 1."""


class Repeats(NamedTuple):
    """Pairs of notes of a chart that play the same: the index of the earlier one, of the later one, and how much what
    is heard of one says of the other, 0 to 1; ``(pairs,)`` each."""

    earlier: np.ndarray
    later: np.ndarray
    weights: np.ndarray


def find_repeats(pitches: np.ndarray, beats: np.ndarray) -> Repeats:
    """Notes that come back in passages like those around them.

    Passages are alike as far as their notes come at the same beats, and are likely to have the same pitches: the mean,
    over the notes of both, of the cosine of what is heard of one and of its counterpart, 0 for those that have none.
    What is heard of a note is not good enough to tell whether it is the same; of all around it, it is.

    Args:
        pitches: how likely each note has which, ``(notes, pitches)``.
        beats: of the notes, ascending, ``(notes,)``.
    """
    length = np.linalg.norm(pitches, axis=1, keepdims=True)
    heard = pitches / np.maximum(length, 1e-9)
    first, last = (np.searchsorted(beats, beats + away, side) for away, side in ((-AROUND, "left"), (AROUND, "right")))
    end = beats.max(initial=0.0) + NEAR
    pairs = [], [], []
    for lag in LAGS:
        within = int((beats + lag <= end).sum())
        due = beats[:within] + lag
        later = np.searchsorted(beats, due).clip(max=len(beats) - 1)
        later -= (later > 0) & (due - beats[later - 1] < np.abs(beats[later] - due))  # the nearer one
        later[np.abs(beats[later] - due) > NEAR] = -1
        alike = np.zeros(len(beats) + 1)
        alike[1 : within + 1] = np.where(later < 0, 0.0, (heard[:within] * heard[later]).sum(axis=1))
        sums, ends = alike.cumsum(), np.minimum(last[:within], within)
        others = np.searchsorted(beats, due + AROUND, "right") - np.searchsorted(beats, due - AROUND)
        alike = 2 * (sums[ends] - sums[first[:within]]) / (ends - first[:within] + others)
        weights = np.interp(alike, ALIKE, (0.0, 1.0))
        found = (later >= 0) & (weights > 0)
        for column, values in zip(pairs, (np.flatnonzero(found), later[found], weights[found]), strict=True):
            column.append(values)
    return Repeats(*map(np.concatenate, pairs))


def pool(likely: np.ndarray, repeats: Repeats, independent: float = 0.0) -> np.ndarray:
    """Probabilities of notes, ``(notes, choices)``, told by what is held likely of their repeats as well.

    Their logarithms are averaged or, as far as they are ``independent`` (see :data:`INDEPENDENT`), added up. Notes
    without repeats stay as they are.
    """
    log_likely = np.log(likely + DOUBT)
    total, weight = log_likely.copy(), np.ones(len(likely))
    for note, other in ((repeats.earlier, repeats.later), (repeats.later, repeats.earlier)):
        np.add.at(total, note, repeats.weights[:, None] * log_likely[other])
        np.add.at(weight, note, repeats.weights)
    total /= weight[:, None] ** (1 - independent)
    pooled = np.exp(total - total.max(axis=1, keepdims=True))
    pooled /= pooled.sum(axis=1, keepdims=True)
    return np.where(weight[:, None] > 1, pooled, likely).astype(likely.dtype)
