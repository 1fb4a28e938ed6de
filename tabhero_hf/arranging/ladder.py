"""The ladder of difficulties: an easier one has fewer of the harder one's onsets, and simpler chords on them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np

from tabhero_hf.charts import Difficulty, Instrument, Kind, Note, TempoMap, Track
from tabhero_hf.charts.measures import Measures

SHORTEST_GAP = {Difficulty.EASY: 0.30, Difficulty.MEDIUM: 0.16, Difficulty.HARD: 0.10, Difficulty.EXPERT: 0.02}
"""Seconds from a note to the next, at least."""

MOST_LANES = {Difficulty.EASY: 1, Difficulty.MEDIUM: 2, Difficulty.HARD: 2, Difficulty.EXPERT: 3}
"""Lanes of a chord, at most."""

NEAR_SECONDS = 0.07
"""A note of an easier difficulty moves at most so far to an onset of the harder one."""

REDUCED = 0.95
"""The part of a harder difficulty's notes that an easier one has at most."""

RAISED = {Difficulty.EASY: 0.75, Difficulty.MEDIUM: 0.65, Difficulty.HARD: 0.75}
"""The part that it has at least, as far as its shortest gap allows: about what human charters keep on Hard, 0.74, and
on Medium, 0.68, where they do not copy the harder chart; on Easy they keep 0.84."""


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
        gap = SHORTEST_GAP[difficulty]
        if above is None:
            notes = _thinned(notes, gap, tempo_map, measures)
        else:
            notes = _on_onsets(notes, above, tempo_map)
            notes = _filled(notes, above, difficulty, measures)
            # A difficulty that was not asked for is between them all the same.
            between = [RAISED[level] for level in Difficulty if difficulty <= level < harder]
            due = int(prod(between) * len(above))
            # First the strongest, which drive out what is weaker and too close; then what still fits between.
            notes = _raised(notes, above, due, difficulty, 0.0, tempo_map, measures)
            notes = _thinned(notes, gap, tempo_map, measures)
            notes = _raised(notes, above, due, difficulty, gap, tempo_map, measures)
            notes = _reduced(notes, len(above), measures)
        climbed[difficulty] = replace(tracks[difficulty], notes=tuple(notes))
        above, harder = notes, difficulty
    return {difficulty: climbed[difficulty] for difficulty in tracks}


def climb_onsets(
    onsets: Mapping[tuple[Instrument, Difficulty], np.ndarray], tempo_map: TempoMap
) -> dict[tuple[Instrument, Difficulty], np.ndarray]:
    """What :func:`climb` makes of the notes of some instruments of which only the ticks, ascending, are known yet."""
    tracks = {key: Track(*key, tuple(Note(tick, (0,)) for tick in ticks.tolist())) for key, ticks in onsets.items()}
    return {
        (instrument, difficulty): np.array([note.tick for note in track.notes], dtype=np.int64)
        for instrument, levels in by_instrument(tracks).items()
        for difficulty, track in climb(levels, tempo_map).items()
    }


def by_instrument(
    tracks: Mapping[tuple[Instrument, Difficulty], Track],
) -> dict[Instrument, dict[Difficulty, Track]]:
    """The difficulties of each instrument."""
    levels: dict[Instrument, dict[Difficulty, Track]] = {}
    for (instrument, difficulty), track in tracks.items():
        levels.setdefault(instrument, {})[difficulty] = track
    return levels


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
    own = tempo_map.seconds([note.tick for note in notes])
    nearest = np.searchsorted((times[1:] + times[:-1]) / 2, own)
    for note, tick, apart in zip(notes, ticks[nearest].tolist(), np.abs(times[nearest] - own).tolist(), strict=True):
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


def _thinned(notes: Sequence[Note], gap: float, tempo_map: TempoMap, measures: Measures) -> list[Note]:
    """The notes without those closer than the gap in seconds to a stronger one, or to an earlier one as strong."""
    kept: list[Note] = []
    for alike in _by_strength(notes, measures)[::-1]:
        kept = _merged(kept, _fitting(alike, kept, gap, tempo_map))
    return kept


def _raised(
    notes: Sequence[Note],
    above: Sequence[Note],
    due: int,
    difficulty: Difficulty,
    gap: float,
    tempo_map: TempoMap,
    measures: Measures,
) -> list[Note]:
    """The notes, and as many as are due with the harder difficulty's strongest that fit, from all over the song."""
    raised = list(notes)
    own = {note.tick for note in notes}
    for alike in _by_strength([note for note in above if note.tick not in own], measures)[::-1]:
        fitting = _fitting(alike, raised, gap, tempo_map)
        added = _spread(fitting, due - len(raised))
        raised = _merged(raised, [_with_fewer_lanes(note, difficulty) for note in added])
    return raised


def _reduced(notes: Sequence[Note], above: int, measures: Measures) -> list[Note]:
    """At most the allowed part of so many notes: the weakest go, from all over the song."""
    kept = list(notes)
    for alike in _by_strength(notes, measures):
        gone = {note.tick for note in _spread(alike, len(kept) - int(REDUCED * above))}
        kept = [note for note in kept if note.tick not in gone]
    return kept


def _by_strength(notes: Sequence[Note], measures: Measures) -> list[list[Note]]:
    """The notes by the strength of their places, the weakest first."""
    alike: dict[int, list[Note]] = {}
    for note in notes:
        alike.setdefault(measures.strength(note.tick), []).append(note)
    return [alike[strength] for strength in sorted(alike)]


def _fitting(notes: Sequence[Note], kept: Sequence[Note], gap: float, tempo_map: TempoMap) -> list[Note]:
    """Those of the notes that are a gap in seconds or more from all that are kept, and from the one before them."""
    taken = tempo_map.seconds([note.tick for note in kept]).tolist()
    fitting = []
    for note, time in zip(notes, tempo_map.seconds([note.tick for note in notes]).tolist(), strict=True):
        at = bisect_left(taken, time)
        if all(abs(time - other) >= gap - 1e-9 for other in taken[max(at - 1, 0) : at + 1]):
            taken.insert(at, time)
            fitting.append(note)
    return fitting


def _merged(notes: Sequence[Note], others: Sequence[Note]) -> list[Note]:
    return sorted([*notes, *others], key=lambda note: note.tick)


def _spread(notes: Sequence[Note], count: int) -> list[Note]:
    """So many of the notes, all at most, from all over the song."""
    count = min(max(count, 0), len(notes))
    return [notes[i] for i in np.linspace(0, len(notes) - 1, count).round().astype(int).tolist()]


def holds(tracks: Mapping[Difficulty, Track]) -> bool:
    """Whether every onset of an easier difficulty is one of the next harder one's."""
    levels = [{note.tick for note in tracks[difficulty].notes} for difficulty in sorted(tracks)]
    return all(easier <= harder for easier, harder in pairwise(levels))
