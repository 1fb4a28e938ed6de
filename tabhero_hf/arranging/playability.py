"""What hands can play: one set of frets for a riff, no leaps too fast, kinds and sustains as charters write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest

from tabhero_hf.charts import (
    OPEN_LANE,
    Difficulty,
    Kind,
    Note,
    TempoMap,
    Track,
    hopo_threshold,
    natural_hopos,
)
from tabhero_hf.charts.check import SUSTAIN_GAP
from tabhero_hf.charts.measures import Measures

SAME_RIFF, FEWEST = 0.65, 7
"""The part of notes on the same lanes from which measures of one rhythm are one riff, and how many notes it takes:
measures of fewer often have one rhythm and are other riffs all the same, unless all of their notes are alike."""

FASTEST_LEAPS = {3: 0.100, 4: 0.150}
"""Seconds that single notes so many lanes apart are apart, at least."""

HOPO_BEATS, HOPO_SECONDS = 0.5, 0.25
"""A HOPO comes within so many beats and seconds of the note before it."""

SUSTAIN_GAP_BEATS = 1 / 32
"""A sustain ends so many beats before the next note, or a multiple of that where it is too little time."""

SHORTEST_SUSTAIN_BEATS = 0.25

HELD_SECONDS, HELD_BEATS = 0.2, 4
"""A note that so much time follows is held until the next one, and at most so many beats: humans hold nearly all of
them, and a model hears the end of a note far less well than where it begins."""


def make_playable(track: Track, tempo_map: TempoMap) -> Track:
    """A track with one set of frets for each riff, and all else that hands need; onsets stay."""
    measures = Measures(tempo_map)
    notes = _consistent(track.notes, measures)
    notes = _without_leaps(notes, track.difficulty, tempo_map)
    notes = _with_kinds(notes, track.difficulty, tempo_map)
    return replace(track, notes=tuple(_with_sustains(notes, tempo_map)))


def riffs(notes: Sequence[Note], measures: Measures, fewest: int = FEWEST) -> list[list[list[int]]]:
    """Measures that play the same: for each riff, the indices of the notes of each of its measures.

    They have the same rhythm, and most of their notes on the same lanes as the first of them; of measures of fewer
    notes than `fewest` all.
    """
    by_measure: dict[int, list[int]] = {}
    for i, note in enumerate(notes):
        by_measure.setdefault(measures.at(note.tick), []).append(i)
    by_rhythm: dict[tuple[int, ...], list[list[list[int]]]] = {}
    for measure, indices in by_measure.items():
        line = measures.line(measure)
        known = by_rhythm.setdefault(tuple(notes[i].tick - line for i in indices), [])
        same = SAME_RIFF if len(indices) >= fewest else 1
        riff = next((riff for riff in known if _alike(notes, riff[0], indices) >= same), None)
        if riff is None:
            known.append([indices])
        else:
            riff.append(indices)
    return [riff for known in by_rhythm.values() for riff in known]


def _alike(notes: Sequence[Note], first: Sequence[int], second: Sequence[int]) -> float:
    return sum(notes[i].lanes == notes[j].lanes for i, j in zip(first, second, strict=True)) / len(first)


def _consistent(notes: Sequence[Note], measures: Measures) -> list[Note]:
    """The notes with the lanes and kind that most repetitions of their riff have there."""
    voted = list(notes)
    for riff in riffs(notes, measures):
        for column in zip(*riff, strict=True):
            lanes, kind = (
                Counter(values).most_common(1)[0][0]
                for values in ((notes[i].lanes for i in column), (notes[i].kind for i in column))
            )
            for i in column:
                voted[i] = replace(notes[i], lanes=lanes, kind=kind, lane_sustains=())
    return voted


def _without_leaps(notes: Sequence[Note], difficulty: Difficulty, tempo_map: TempoMap) -> list[Note]:
    """The notes with single ones that are too far from the note before for their speed as near as they have to be."""
    times = tempo_map.seconds([note.tick for note in notes]).tolist()
    reached = list(notes[:1])
    for note, (before, time) in zip(notes[1:], pairwise(times), strict=False):
        previous = reached[-1]
        if len(note.lanes) == len(previous.lanes) == 1 and OPEN_LANE not in (*note.lanes, *previous.lanes):
            (lane,), (last,) = note.lanes, previous.lanes
            step = lane - last
            reach = longest_leap(time - before, difficulty)
            if abs(step) > reach:
                note = replace(note, lanes=(last + reach * (1 if step > 0 else -1),))
        reached.append(note)
    return reached


def longest_leap(seconds: float, difficulty: Difficulty) -> int:
    """How many lanes apart two single notes may be that are so many seconds apart."""
    slower = 1 if difficulty == Difficulty.EXPERT else 1.5
    too_far = [lanes for lanes, fastest in FASTEST_LEAPS.items() if seconds < slower * fastest - 1e-9]
    return min(too_far, default=OPEN_LANE) - 1


def _with_kinds(notes: Sequence[Note], difficulty: Difficulty, tempo_map: TempoMap) -> list[Note]:
    """The notes with HOPOs as strums where no finger can make them: after a rest, on the same frets, first of all.

    On hard difficulties natural ones are HOPOs, whatever was heard: humans hardly ever force a strum.
    """
    if difficulty >= Difficulty.HARD:
        threshold = hopo_threshold(tempo_map.resolution)
        natural = natural_hopos([note.tick for note in notes], [note.mask for note in notes], threshold)
        notes = [
            replace(note, kind=Kind.HOPO) if hopo and note.kind == Kind.STRUM else note
            for note, hopo in zip(notes, natural.tolist(), strict=True)
        ]
    times = tempo_map.seconds([note.tick for note in notes]).tolist()
    kinds = [replace(note, kind=Kind.STRUM) if note.kind == Kind.HOPO else note for note in notes[:1]]
    for (previous, note), (before, time) in zip(pairwise(notes), pairwise(times), strict=True):
        apart = note.tick - previous.tick
        slow = apart > HOPO_BEATS * tempo_map.resolution or time - before > HOPO_SECONDS
        if note.kind == Kind.HOPO and (slow or note.lanes == previous.lanes):
            note = replace(note, kind=Kind.STRUM)
        kinds.append(note)
    return kinds


def _with_sustains(notes: Sequence[Note], tempo_map: TempoMap) -> list[Note]:
    """The notes with sustains where there is time for them, that end in time before the next note."""
    beat = tempo_map.resolution
    shortest = round(SHORTEST_SUSTAIN_BEATS * beat)
    times = tempo_map.seconds([note.tick for note in notes]).tolist()
    held = []
    for note, following, time, end in zip_longest(notes, notes[1:], times, times[1:]):
        longest = note.sustain
        if following is not None:
            if not longest and end - time >= HELD_SECONDS:
                longest = HELD_BEATS * beat
            if note.tick + longest + beat > following.tick:
                longest = min(longest, following.tick - _gap_before(following.tick, tempo_map) - note.tick)
        if longest != note.sustain or 0 < note.sustain < shortest:
            note = replace(note, sustain=longest if longest >= shortest else 0, lane_sustains=())
        held.append(note)
    return held


def _gap_before(tick: int, tempo_map: TempoMap) -> int:
    """Ticks to leave free before a note."""
    gap = part = max(round(SUSTAIN_GAP_BEATS * tempo_map.resolution), 1)
    while tempo_map.seconds(tick) - tempo_map.seconds(tick - gap) < SUSTAIN_GAP:
        gap += part
    return gap
