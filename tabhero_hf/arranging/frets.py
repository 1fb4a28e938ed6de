"""On which frets notes are struck: what a listener holds likely, told by how notes sound beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import expit

from tabhero_hf.charts import OPEN_LANE, Difficulty

if TYPE_CHECKING:
    from tabhero_hf.audio.likeness import Comparison

TRUST = 0.35
"""Of what a listener holds likely, in log-odds: what it hears of a note it hears of the next one, too."""

DOUBT = 0.02
"""Added to each probability: a listener is never so sure that nothing could say otherwise."""

LANES = 0.17, 0.32, 0.27, 0.19, 0.06
LIKE_HUMANS = 0.1
"""How often humans have single notes on each lane, by ``scripts/fit_likeness.py``, too, and how much that counts, in
log-odds: a listener who is not sure says green, and the likeliest lanes would hardly be others."""

AS_HARDER = 0.4
EASIER_LANES = {Difficulty.HARD: (0, 1, 2, 3, 3), Difficulty.MEDIUM: (0, 1, 2, 3, 3), Difficulty.EASY: (0, 1, 1, 2, 2)}
"""How much it counts, in log-odds, that humans put a note of an easier chart where the harder one has it, and on which
lane they put a single note or the lowest of a chord, by its lane there."""

RARE, MOST_CHOICES = 0.03, 24
"""Frets that are less likely than this on average are not used in a song, and no more than so many."""


class Odds(NamedTuple):
    """What is known of notes beside each other, as slopes and intercepts of log-odds by ``scripts/fit_likeness.py``.

    Args:
        next: that a note is on the frets of the one before it: slopes by how alike they sound, by the log-odds of one
            pitch, by the pace of the notes around them and by accent.
        staying: intercepts of that by difficulty. None of the three songs that they are fitted to has an Easy chart,
            whose intercept goes on from the others'.
        later: the same for one further back: slopes by likeness and by pitch, and intercept, less the log-odds of any
            two such notes.
        rising: that the next note is higher, if it is another one: slopes by how much its sound is shifted up and by
            the log-odds of a higher pitch.
    """

    next: tuple[float, float, float, float]
    staying: dict[Difficulty, float]
    later: tuple[float, float, float]
    rising: tuple[float, float]


BY_SOUND = Odds(
    next=(9.4, 0.0, -1.3, -0.5),
    staying={Difficulty.EASY: -6.4, Difficulty.MEDIUM: -6.9, Difficulty.HARD: -7.5, Difficulty.EXPERT: -8.8},
    later=(4.4, 0.0, -2.2),
    rising=(5.6, 0.0),
)
BY_PITCH = Odds(
    next=(5.1, 0.29, -1.2, -0.5),
    staying={Difficulty.EASY: -2.8, Difficulty.MEDIUM: -3.3, Difficulty.HARD: -3.7, Difficulty.EXPERT: -5.0},
    later=(1.6, 0.24, 0.0),
    rising=(3.4, 0.33),
)
"""Where nothing names pitches, and where something does."""

LATER = 0.1
"""How much notes further back than the one before count, each."""

PHRASE_SECONDS, PASSAGE_SECONDS = 1.5, 6.0
"""Notes further apart than this are not told by the one before them, and by those further back."""

PACE_GAPS, SHORTEST_GAP = 2, 0.03
"""The pace at a note is that of so many gaps on both sides of the one before it; the least gap, in seconds."""

NEAR_BEAT = 0.06
"""Beats within which a note is at a place of its beat."""

CHORD_OF_ONE_HEIGHT = 0.3
"""How likely the next note is on other frets of the same height, of what is not the same frets."""

ROUNDS = 3

RESTLESS, HALVINGS = 1.0, 5
"""What is taken from the log-odds of staying, at most, so that notes move as often as is likely: one that stays three
times in four is left alone. How often that range is halved to find how much it takes."""


def find_frets(
    likely: np.ndarray,
    lanes: Sequence[tuple[int, ...]],
    seconds: np.ndarray,
    beats: np.ndarray,
    compared: Comparison,
    difficulty: Difficulty = Difficulty.EXPERT,
    harder: np.ndarray | None = None,
) -> np.ndarray:
    """The frets of notes, ascending in time, that a listener and the sound of the notes together make likely.

    Notes that sound alike are on the same frets, and so are those of fast runs, which change on the beat if they do;
    one that sounds higher is on higher ones. The likeliest frets of all notes given those before them are found by
    dynamic programming ([Viterbi, 1967](https://doi.org/10.1109/TIT.1967.1054010)), in rounds in which notes are drawn
    to those further back, too. As the likeliest is to stay wherever that is more likely than not, the likeliest frets
    move less than frets do: the odds of staying are lowered for all notes until about as many stay as are likely to.
    Notes of an easier chart are drawn to where the harder one has them.

    Args:
        likely: of each note's frets, ``(notes, choices)``.
        lanes: of each choice.
        seconds, beats: of the notes, ``(notes,)``.
        compared: each note beside those before it.
        difficulty: of the chart.
        harder: the choice for each note in the next harder chart, -1 where that has none.

    Returns:
        The choice for each note, int of shape ``(notes,)``.
    """
    if not len(likely):
        return np.zeros(0, dtype=np.int64)
    lowest = np.array([min(chord) for chord in lanes])
    usual = likely.mean(axis=0)
    used = np.sort(np.argsort(-usual, kind="stable")[:MOST_CHOICES])
    used = used[usual[used] >= min(RARE, usual.max())]
    lanes = [lanes[choice] for choice in used]
    heights = np.array([height(chord) for chord in lanes])
    heard = TRUST * np.log(likely[:, used] + DOUBT) + LIKE_HUMANS * _log_odds_of_lanes(usual[used], lanes)
    if harder is not None:
        easier = np.arange(OPEN_LANE + 1)
        easier[: len(LANES)] = EASIER_LANES[difficulty]
        due = np.where(harder < 0, -1, easier[lowest[harder]])
        heard += AS_HARDER * (lowest[used] == due[:, None])
    near = np.diff(seconds) <= PHRASE_SECONDS
    same = same_as_before(compared, seconds, beats, difficulty)
    higher = higher_than_before(compared)
    pulls = {}  # to the note so many before
    for back in range(2, min(len(compared.likeness), len(seconds) - 1) + 1):
        recent = seconds[back:] - seconds[:-back] <= PASSAGE_SECONDS
        pulls[back] = (LATER * same_as_earlier(compared, back) * recent)[:, None]

    def choose(same: np.ndarray) -> np.ndarray:
        steps = _steps(heights, same, higher) * near[:, None, None]
        found = _likeliest(heard, steps)
        for _ in range(ROUNDS - 1):
            drawn, reached = heard.copy(), heights[found][:, None]
            for back, pull in pulls.items():
                drawn[back:] += pull * (heights == reached[:-back])
                drawn[:-back] += pull * (heights == reached[back:])
            found = _likeliest(drawn, steps)
        return found

    def stay(found: np.ndarray) -> int:
        return int(((np.diff(found) == 0) & near).sum())

    found = choose(same)
    due = (expit(same) * near).sum()
    least, most = 0.0, RESTLESS
    for _ in range(HALVINGS if stay(found) > due else 0):
        middle = (least + most) / 2
        moved = choose(same - middle)
        if stay(moved) >= due:
            least, found = middle, moved
        else:
            most = middle
    return used[found]


def height(lanes: Sequence[int]) -> float:
    """How high a chord is: the mean of its lanes; an open note lies below green."""
    return float(np.mean([-1 if lane == OPEN_LANE else lane for lane in lanes]))


def same_as_before(compared: Comparison, seconds: np.ndarray, beats: np.ndarray, difficulty: Difficulty) -> np.ndarray:
    """Log-odds that notes are on the frets of the one before them, ``(notes - 1,)``."""
    odds, (likeness, _, same, _) = _odds(compared)
    known = np.column_stack([likeness[0, 1:], same[0, 1:], *rhythm_of_steps(seconds, beats)])
    return known @ odds.next + odds.staying[difficulty]


def same_as_earlier(compared: Comparison, back: int) -> np.ndarray:
    """Log-odds that notes are on the frets of the one so many before them, ``(notes - back,)``, less those of any
    two."""
    odds, (likeness, _, same, _) = _odds(compared)
    by_likeness, by_pitch, intercept = odds.later
    return by_likeness * likeness[back - 1, back:] + by_pitch * same[back - 1, back:] + intercept


def higher_than_before(compared: Comparison) -> np.ndarray:
    """Log-odds that notes are higher than the one before them if they are others, ``(notes - 1,)``."""
    odds, (_, rise, _, higher) = _odds(compared)
    return odds.rising[0] * rise[0, 1:] + odds.rising[1] * higher[0, 1:]


def _odds(compared: Comparison) -> tuple[Odds, tuple[np.ndarray, ...]]:
    """What is known, and what is heard, with zeros for pitches that nothing names."""
    if compared.same is not None:
        return BY_PITCH, tuple(compared)
    nothing = np.zeros_like(compared.likeness)
    return BY_SOUND, (compared.likeness, compared.rise, nothing, nothing)


def rhythm_of_steps(seconds: np.ndarray, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each note but the first: the logarithm of the pace, in seconds a note, and the accent.

    A note on a beat has an accent of 2, one between two beats of 1, others of 0 (metrical accent, Lerdahl and
    Jackendoff, *A Generative Theory of Tonal Music*, 1983).
    """
    gaps = np.log(np.clip(np.diff(seconds), SHORTEST_GAP, PHRASE_SECONDS))
    pace = uniform_filter1d(gaps, 2 * PACE_GAPS + 1, mode="nearest") if len(gaps) else gaps
    accent = sum(np.abs(beats[1:] * parts - np.rint(beats[1:] * parts)) <= NEAR_BEAT * parts for parts in (1, 2))
    return pace, accent


def _log_odds_of_lanes(usual: np.ndarray, lanes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """By how much humans use lanes more often than a listener says, ``(choices,)``: 0 for chords, and among single
    notes only."""
    single = np.array([len(chord) == 1 and chord[0] < len(LANES) for chord in lanes])
    humans = np.array([LANES[chord[0]] for chord, alone in zip(lanes, single, strict=True) if alone])
    odds = np.zeros(len(lanes))
    odds[single] = np.log(humans / humans.sum()) - np.log(usual[single] / usual[single].sum())
    return odds


def _steps(heights: np.ndarray, same: np.ndarray, higher: np.ndarray) -> np.ndarray:
    """Log-probability of each step to a note from the one before, ``(notes - 1, choices, choices)``, by the log-odds
    of the same frets and, if they are others, of higher ones."""
    same, higher = (expit(odds)[:, None, None] for odds in (same, higher))
    up = heights[None, :] - heights[:, None]
    direction = np.where(up > 0, higher, np.where(up < 0, 1 - higher, CHORD_OF_ONE_HEIGHT))
    return np.log(np.where(np.eye(len(heights), dtype=bool), same, (1 - same) * direction) + 1e-4)


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
