"""
How well a chart agrees with a reference: notes in seconds, one onset a chord, matched one to one.

Conventions of all scores: two charts that both have nothing to compare agree perfectly, 1; where only one of them has,
the score is 0. There is no search for a best offset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import itemgetter, or_

import numpy as np

from ..charts import (
    HOPO_BIT,
    OPEN_LANE,
    STAR_POWER_BIT,
    TAP_BIT,
    Chart,
    Difficulty,
    Instrument,
    Kind,
    TempoMap,
    Track,
    check,
)
from ..tokenization_tabhero import Note

MATCH_SECONDS = 0.05
"""The distance within which onsets are the same, where nothing else is said."""

SUSTAIN_SHARE = 0.2
"""By how much of its length a sustain may be wrong."""

GRID_SECONDS = 0.01
"""How far from the grid a note on it may lie: a step of the model's time."""

GRID = (4, 3)
"""The parts of a quarter note that make up the grid: sixteenths and triplets of eighths."""

SHUFFLES = 20
ROUNDING = 1e-9
"""Seconds by which a distance may be over its limit for rounding alone."""


def score_chart(
    reference: Sequence[Note],
    estimate: Sequence[Note],
    *,
    tempo_map: TempoMap | None = None,
    offset: float = 0.0,
    instrument: Instrument = Instrument.LEAD,
    difficulty: Difficulty = Difficulty.EXPERT,
    seed: int = 0,
) -> dict[str, float]:
    """
    All scores of a chart.

    Args:
        reference: The notes that count as right, in seconds, in any order.
        estimate: The notes to score.
        tempo_map: The song's; without it `on_grid` and `rule_breaks` are left out.
        offset: Seconds of the audio at which the tempo map's tick 0 is.
        instrument, difficulty: What was charted: `rule_breaks` depends on it.
        seed: Of the shuffled lanes behind the chance levels.

    Returns:
        - `onset_f1_25`, `onset_f1_50`, `onset_f1_100`: see [`onset_f1`], within so many milliseconds.
        - `note_f1`: see [`note_f1`].
        - `lane_accuracy`, `contour`: at onsets matched within 50 ms, the share with exactly the same lanes, and the
          share whose step up, down or to the same height from the note before is the same; the height of a chord is
          the mean of its lanes, and an open note lies below green.
        - `lane_accuracy_chance`, `contour_chance`: the same with the estimate's lanes shuffled among its notes, mean
          of 20 shuffles.
        - `kind_f1`: at matched onsets, F1 of strum, HOPO and tap, mean of those that either chart has there.
        - `sustain_f1`: at matched onsets, F1 of sustains; a sustain counts as found if both notes have one and the
          lengths differ by at most 20 % of the reference's.
        - `star_power_f1`: F1 of phrases, each a run of notes with star power, matched one to one where they overlap.
        - `density_ratio`: notes of the estimate over those of the reference.
        - `on_grid`: the share of the estimate's notes within 10 ms of a sixteenth or an eighth's triplet.
        - `rule_breaks`: problems that [`~tabhero_hf.charts.check`] finds at places in the estimate, per 100 notes.

    Raises:
        ValueError: an onset or sustain that is not finite; with a `tempo_map`, notes that the instrument has not
            ([`~tabhero_hf.charts.ChartError`]), see [`~tabhero_hf.pipeline.playable_notes`].
    """
    matches = Matches.of(Columns.of(reference), Columns.of(estimate), MATCH_SECONDS)
    rng = np.random.default_rng(seed)
    scores = {f"onset_f1_{ms}": onset_f1(reference, estimate, ms / 1000) for ms in (25, 50, 100)}
    scores["note_f1"] = note_f1(reference, estimate)
    for name, score in (("lane_accuracy", _lane_accuracy), ("contour", _contour)):
        scores[name] = score(matches)
        scores[f"{name}_chance"] = _chance(score, matches, rng)
    scores["kind_f1"] = _kind_f1(matches)
    scores["sustain_f1"] = _sustain_f1(matches)
    scores["star_power_f1"] = star_power_f1(reference, estimate)
    scores["density_ratio"] = _ratio(len(matches.estimate), len(matches.reference))
    if tempo_map is not None:
        scores["on_grid"] = on_grid_share(estimate, tempo_map, offset)
        scores["rule_breaks"] = rule_breaks(estimate, tempo_map, offset, instrument, difficulty)
    return scores


def onset_f1(reference: Sequence[Note], estimate: Sequence[Note], tolerance: float = MATCH_SECONDS) -> float:
    """F1 of onset times, in seconds, within `tolerance`; one onset for each note, chords counting once."""
    reference, estimate = Columns.of(reference), Columns.of(estimate)
    pairs = match_onsets(reference.onsets, estimate.onsets, tolerance)
    return _f1(len(pairs), len(reference), len(estimate))


def note_f1(reference: Sequence[Note], estimate: Sequence[Note], tolerance: float = MATCH_SECONDS) -> float:
    """F1 of notes: matched within `tolerance` seconds and struck on exactly the same lanes."""
    matches = Matches.of(Columns.of(reference), Columns.of(estimate), tolerance)
    return _f1(int(_same_lanes(matches).sum()), len(matches.reference), len(matches.estimate))


def match_onsets(reference: np.ndarray, estimate: np.ndarray, tolerance: float) -> np.ndarray:
    """
    The one-to-one pairs of times within `tolerance` of each other: as many as there can be, and of those the closest.

    As many as [mir_eval](https://github.com/mir-evaluation/mir_eval) finds, which leaves open what pairs with what.

    Args:
        reference, estimate: Ascending times in seconds.

    Returns:
        Indices into both, ascending, int of shape `(pairs, 2)`.
    """
    reach = tolerance + ROUNDING
    first = np.searchsorted(estimate, reference - reach, side="left").tolist()
    last = np.searchsorted(estimate, reference + reach, side="right").tolist()
    # best[j]: for the references so far and the first j estimates, how many pairs, their distance negated, and the
    # pairs as a linked list. Pairs need not cross: uncrossed, they are as many and no further apart.
    best = [(0, 0.0, None)]
    for i, onset in enumerate(reference.tolist()):
        best += [best[-1]] * (last[i] + 1 - len(best))
        before = best[first[i]]
        for j in range(first[i], last[i]):
            count, closeness, pairs = before
            paired = count + 1, closeness - abs(onset - float(estimate[j])), (i, j, pairs)
            before = best[j + 1]
            best[j + 1] = max(before, best[j], paired, key=itemgetter(0, 1))
    found, pairs = [], best[-1][2]
    while pairs:
        *pair, pairs = pairs
        found.append(pair)
    return np.array(found[::-1], dtype=np.int64).reshape(-1, 2)


def star_power_f1(reference: Sequence[Note], estimate: Sequence[Note]) -> float:
    """F1 of star power phrases, matched one to one where they overlap, or miss each other by less than 50 ms."""
    phrases, found = _phrases(Columns.of(reference)), _phrases(Columns.of(estimate))
    i = j = matched = 0
    while i < len(phrases) and j < len(found):
        if phrases[i][1] + MATCH_SECONDS < found[j][0]:
            i += 1
        elif found[j][1] + MATCH_SECONDS < phrases[i][0]:
            j += 1
        else:
            matched, i, j = matched + 1, i + 1, j + 1
    return _f1(matched, len(phrases), len(found))


def on_grid_share(notes: Sequence[Note], tempo_map: TempoMap, offset: float = 0.0) -> float:
    """The share of notes within 10 ms of a sixteenth or an eighth's triplet of the tempo map; 1 for no notes."""
    onsets = Columns.of(notes).onsets - offset
    if not len(onsets):
        return 1.0
    quarters = tempo_map.ticks(onsets) / tempo_map.resolution
    lines = [np.rint(quarters * parts) / parts * tempo_map.resolution for parts in GRID]
    distances = [np.abs(tempo_map.seconds(line) - onsets) for line in lines]
    return float(np.mean(np.minimum(*distances) <= GRID_SECONDS + ROUNDING))


def rule_breaks(
    notes: Sequence[Note],
    tempo_map: TempoMap,
    offset: float = 0.0,
    instrument: Instrument = Instrument.LEAD,
    difficulty: Difficulty = Difficulty.EXPERT,
) -> float:
    """
    Problems per 100 notes that [`~tabhero_hf.charts.check`] finds at places in a track; 0 for no notes.

    What it finds in a track or song as a whole, such as no star power, does not count.
    """
    if not notes:
        return 0.0
    in_chart = [(onset - offset, *rest) for onset, *rest in notes]
    track = Track.from_seconds(in_chart, tempo_map, instrument, difficulty)
    problems = check(Chart(tempo_map, {(instrument, difficulty): track}))
    places = [problem for problem in problems if problem.difficulty is not None and problem.tick is not None]
    return 100 * len(places) / len(track.notes)


def _chords(notes: Sequence[Note]) -> list[Note]:
    """Notes ascending in onset; those at one are a chord, with all modifiers and the longest sustain."""
    chords = []
    for onset, struck in groupby(sorted(notes, key=itemgetter(0)), key=itemgetter(0)):
        _, lanes, modifiers, sustains = zip(*struck, strict=True)
        chords.append((onset, set().union(*lanes), reduce(or_, modifiers), max(sustains)))
    return chords


@dataclass(frozen=True)
class Columns:
    """Notes as arrays, ascending in onset; lanes as bits."""

    onsets: np.ndarray
    lanes: np.ndarray
    modifiers: np.ndarray
    sustains: np.ndarray

    def __len__(self) -> int:
        return len(self.onsets)

    @classmethod
    def of(cls, notes: Sequence[Note]) -> "Columns":
        notes = _chords(notes)
        columns = cls(
            np.array([note[0] for note in notes], dtype=np.float64),
            np.array([sum(1 << lane for lane in note[1]) for note in notes], dtype=np.int64),
            np.array([note[2] for note in notes], dtype=np.int64),
            np.array([note[3] for note in notes], dtype=np.float64),
        )
        if not (np.isfinite(columns.onsets).all() and np.isfinite(columns.sustains).all()):
            raise ValueError("a note's onset or sustain is not finite")
        return columns


@dataclass(frozen=True)
class Matches:
    """Two charts, and the pairs of indices of their matched notes, `(pairs, 2)`."""

    reference: Columns
    estimate: Columns
    pairs: np.ndarray

    @classmethod
    def of(cls, reference: Columns, estimate: Columns, tolerance: float) -> "Matches":
        return cls(reference, estimate, match_onsets(reference.onsets, estimate.onsets, tolerance))

    def both(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """A column of the reference's matched notes and of the estimate's."""
        return getattr(self.reference, column)[self.pairs[:, 0]], getattr(self.estimate, column)[self.pairs[:, 1]]


def _f1(matched: int, reference: int, estimate: int) -> float:
    return 2 * matched / (reference + estimate) if reference or estimate else 1.0


def _ratio(estimate: int, reference: int) -> float:
    return estimate / max(reference, 1) if estimate or reference else 1.0


def _share(agree: np.ndarray, nothing_to_find: bool) -> float:
    return float(agree.mean()) if len(agree) else float(nothing_to_find)


def _same_lanes(matches: Matches) -> np.ndarray:
    return np.equal(*matches.both("lanes"))


def _lane_accuracy(matches: Matches) -> float:
    return _share(_same_lanes(matches), not len(matches.reference) and not len(matches.estimate))


def _contour(matches: Matches) -> float:
    pairs = matches.pairs[(matches.pairs > 0).all(axis=1)]
    steps, written = _steps(matches.reference.lanes), _steps(matches.estimate.lanes)
    return _share(steps[pairs[:, 0] - 1] == written[pairs[:, 1] - 1], not len(steps) and not len(written))


def _steps(lanes: np.ndarray) -> np.ndarray:
    """Up 1, down -1 or the same 0, from each note to the next."""
    struck = lanes[:, None] >> np.arange(OPEN_LANE + 1) & 1
    heights = np.array([*range(OPEN_LANE), -1])
    return np.sign(np.diff(struck @ heights / np.maximum(struck.sum(axis=1), 1)))


def _chance(score: Callable[[Matches], float], matches: Matches, rng: np.random.Generator) -> float:
    """What the score is for the same onsets with lanes that know nothing of the song."""
    estimate = matches.estimate
    shuffled = [
        Columns(estimate.onsets, rng.permutation(estimate.lanes), estimate.modifiers, estimate.sustains)
        for _ in range(SHUFFLES)
    ]
    return float(np.mean([score(Matches(matches.reference, columns, matches.pairs)) for columns in shuffled]))


def _kind_f1(matches: Matches) -> float:
    if not len(matches.pairs):
        return float(not len(matches.reference) and not len(matches.estimate))
    kinds, written = map(_kinds, matches.both("modifiers"))
    return float(
        np.mean(
            [
                _f1(int(((kinds == kind) & (written == kind)).sum()), (kinds == kind).sum(), (written == kind).sum())
                for kind in np.union1d(kinds, written)
            ]
        )
    )


def _kinds(modifiers: np.ndarray) -> np.ndarray:
    """What the player sees: of a note with both bits a tap."""
    return np.where(modifiers & TAP_BIT, Kind.TAP, np.where(modifiers & HOPO_BIT, Kind.HOPO, Kind.STRUM))


def _sustain_f1(matches: Matches) -> float:
    if not len(matches.pairs):
        return float(not matches.reference.sustains.any() and not matches.estimate.sustains.any())
    lengths, written = matches.both("sustains")
    found = (lengths > 0) & (written > 0) & (np.abs(written - lengths) <= SUSTAIN_SHARE * lengths + ROUNDING)
    return _f1(int(found.sum()), int((lengths > 0).sum()), int((written > 0).sum()))


def _phrases(columns: Columns) -> list[tuple[float, float]]:
    """First and last onset of each run of notes with star power."""
    starred = np.concatenate([[0], (columns.modifiers & STAR_POWER_BIT) > 0, [0]])
    bounds = np.flatnonzero(np.diff(starred)).reshape(-1, 2)
    return [(columns.onsets[first], columns.onsets[end - 1]) for first, end in bounds.tolist()]
