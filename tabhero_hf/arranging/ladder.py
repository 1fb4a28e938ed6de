"""The ladder of difficulties: an easier one has fewer of the harder one's onsets, and simpler chords on them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tabhero_hf.charts import Difficulty, Kind, Note, TempoMap, Track
from tabhero_hf.charts.measures import Measures

SHORTEST_GAP = {Difficulty.EASY: 0.30, Difficulty.MEDIUM: 0.16, Difficulty.HARD: 0.10, Difficulty.EXPERT: 0.02}
"""Seconds from a note to the next, at least."""

MOST_LANES = {Difficulty.EASY: 1, Difficulty.MEDIUM: 2, Difficulty.HARD: 2, Difficulty.EXPERT: 3}
"""Lanes of a chord, at most."""

NEAR_SECONDS = 0.07
"""A note of an easier difficulty moves at most so far to an onset of the harder one."""

REDUCED = 0.95
"""The part of a harder difficulty's notes that an easier one has at most."""

RAISED = 0.75
"""The part that it has at least, as far as its shortest gap allows: what human charters keep on Hard."""


def climb(tracks: Mapping[Difficulty, Track], tempo_map: TempoMap) -> dict[Difficulty, Track]:
    """The difficulties of one instrument made to agree with each other.

    From the hardest down: notes too close for the difficulty go, those on weak places first, and chords lose lanes.
    Then each note of an easier difficulty goes to the next one's onset near it, or goes; where the harder one plays on
    and the easier one has nothing, or far fewer, it gets the harder one's strongest notes; and it is left fewer than
    that.

    Args:
        tracks: of one instrument, by difficulty, of which any may lack.
        tempo_map: of the chart.

    Returns:
        The tracks, phrases unchanged. Of any two, the easier one's ticks are the harder one's, too.
    """
    measures = Measures(tempo_map)
    climbed: dict[Difficulty, Track] = {}
    above: list[Note] | None = None
    harder = Difficulty.EXPERT
    for difficulty in sorted(tracks, reverse=True):
        notes = [_with_fewer_lanes(note, difficulty) for note in tracks[difficulty].notes]
        if above is not None:
            notes = _on_onsets(notes, above, tempo_map)
            notes = _filled(notes, above, difficulty, measures)
            part = RAISED ** (harder - difficulty)  # a difficulty that was not asked for is between them all the same
            notes = _raised(notes, above, int(part * len(above)), difficulty, measures)
        notes = _thinned(notes, SHORTEST_GAP[difficulty], tempo_map, measures)
        if above is not None:
            notes = _reduced(notes, len(above), measures)
        climbed[difficulty] = replace(tracks[difficulty], notes=tuple(notes))
        above, harder = notes, difficulty
    return {difficulty: climbed[difficulty] for difficulty in tracks}


def _with_fewer_lanes(note: Note, difficulty: Difficulty) -> Note:
    """The note with as many lanes as the difficulty allows, the outer ones first to stay, and struck where it must."""
    kind = note.kind if difficulty >= Difficulty.HARD else Kind.STRUM
    kept = note.lanes
    if len(kept) > MOST_LANES[difficulty]:
        kept = (kept[0], *kept[1:][::-1])[: MOST_LANES[difficulty]]
    if kept == note.lanes:
        return note if kind == note.kind else replace(note, kind=kind)
    lengths = dict(zip(note.lanes, note.sustains, strict=True))
    kept = tuple(sorted(kept))
    held = tuple(lengths[lane] for lane in kept)
    return Note(note.tick, kept, max(held), kind, held)


def _on_onsets(notes: Sequence[Note], above: Sequence[Note], tempo_map: TempoMap) -> list[Note]:
    """The notes on the harder difficulty's ticks, one a tick; of two that meet, the one that was nearer."""
    if not above:
        return []
    ticks = np.array([note.tick for note in above])
    times = tempo_map.seconds(ticks)
    placed: dict[int, tuple[float, Note]] = {}
    for note, time in zip(notes, tempo_map.seconds([note.tick for note in notes]).tolist(), strict=True):
        nearest = int(np.abs(times - time).argmin())
        apart = abs(float(times[nearest]) - time)
        tick = int(ticks[nearest])
        if apart <= NEAR_SECONDS and (tick not in placed or apart < placed[tick][0]):
            placed[tick] = (apart, replace(note, tick=tick))
    return [placed[tick][1] for tick in sorted(placed)]


def _filled(notes: Sequence[Note], above: Sequence[Note], difficulty: Difficulty, measures: Measures) -> list[Note]:
    """The notes and, in stretches of measures that only the harder difficulty plays in, that one's on
    beats."""
    played = {measures.at(note.tick) for note in notes}
    silent = {measures.at(note.tick) for note in above} - played
    stretches = {measure for measure in silent if {measure - 1, measure + 1} & silent}
    added = [
        _with_fewer_lanes(note, difficulty)
        for note in above
        if measures.at(note.tick) in stretches and measures.strength(note.tick) >= 3
    ]
    return sorted([*notes, *added], key=lambda note: note.tick)


def _raised(
    notes: Sequence[Note], above: Sequence[Note], due: int, difficulty: Difficulty, measures: Measures
) -> list[Note]:
    """The notes, and as many as are due with the harder difficulty's strongest, spread evenly over the song."""
    own = {note.tick for note in notes}
    free = [note for note in above if note.tick not in own]
    added = [_with_fewer_lanes(free[i], difficulty) for i in _spread(free, due - len(notes), measures, strongest=True)]
    return sorted([*notes, *added], key=lambda note: note.tick)


def _thinned(notes: Sequence[Note], gap: float, tempo_map: TempoMap, measures: Measures) -> list[Note]:
    """The notes without those closer than the gap in seconds to a stronger one, or to an earlier one as strong."""
    times = tempo_map.seconds([note.tick for note in notes]).tolist()
    kept: list[float] = []
    chosen: list[int] = []
    for i in sorted(range(len(notes)), key=lambda i: (-measures.strength(notes[i].tick), i)):
        at = bisect_left(kept, times[i])
        near = kept[max(at - 1, 0) : at + 1]
        if all(abs(times[i] - other) >= gap - 1e-9 for other in near):
            kept.insert(at, times[i])
            chosen.append(i)
    return [notes[i] for i in sorted(chosen)]


def _reduced(notes: Sequence[Note], above: int, measures: Measures) -> list[Note]:
    """At most the allowed part of so many notes: the weakest go, spread evenly over the song."""
    gone = _spread(notes, len(notes) - int(REDUCED * above), measures, strongest=False)
    return [note for i, note in enumerate(notes) if i not in gone]


def _spread(notes: Sequence[Note], count: int, measures: Measures, strongest: bool) -> set[int]:
    """The indices of so many notes, strongest or weakest first, and from all over the song where that is alike."""
    by_strength: dict[int, list[int]] = {}
    for i, note in enumerate(notes):
        by_strength.setdefault(measures.strength(note.tick), []).append(i)
    chosen: set[int] = set()
    for strength in sorted(by_strength, reverse=strongest):
        alike = by_strength[strength]
        share = min(max(count - len(chosen), 0), len(alike))
        chosen.update(alike[i] for i in np.linspace(0, len(alike) - 1, share).round().astype(int).tolist())
    return chosen


def holds(tracks: Mapping[Difficulty, Track]) -> bool:
    """Whether every onset of an easier difficulty is one of the next harder one's."""
    levels = [{note.tick for note in tracks[difficulty].notes} for difficulty in sorted(tracks)]
    return all(easier <= harder for easier, harder in pairwise(levels))
