"""A stretch of one chart in another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from .check import SHORTEST_SUSTAIN, holds_notes, last_release
from .notes import Chart, Note, Phrase
from .tempo import TempoMap


def with_region(chart: Chart, other: Chart, start: float, end: float) -> Chart:
    """A chart with the notes that another one has between two moments in place of its own.

    Sustains end 40 ms before those moments at the latest. All else of the chart stays: other tracks, sections,
    events, and phrases, but for those of star power and solos that have no notes any more.

    Args:
        chart: what is changed.
        other: whose notes are taken, of the tracks that both have, on the nearest of the chart's ticks.
        start, end: seconds of the audio, the end excluded.

    Raises:
        ValueError: nothing lies between them, or the charts have no track in common.
    """
    if not 0 <= start < end:
        raise ValueError(f"from {start:g} to {end:g} s there is nothing")
    common = chart.tracks.keys() & other.tracks.keys()
    if not common:
        raise ValueError("the chart has nothing of what is asked for")
    moments = np.array([start, end]) - chart.offset
    nearest = chart.tempo_map.ticks(moments)
    first, last = (nearest + (chart.tempo_map.seconds(nearest) < moments - 1e-9)).tolist()
    tracks = dict(chart.tracks)
    for key in common:
        own = tracks[key].notes
        taken = {note.tick: note for note in _at_ticks_of(chart, other, other.tracks[key].notes)}
        notes = (
            *_until((note for note in own if note.tick < first), first, chart.tempo_map),
            *_until((taken[tick] for tick in sorted(taken) if first <= tick < last), last, chart.tempo_map),
            *(note for note in own if note.tick >= last),
        )
        tracks[key] = replace(
            tracks[key],
            notes=notes,
            star_power=_played(tracks[key].star_power, own, notes),
            solos=_played(tracks[key].solos, own, notes),
        )
    return replace(chart, tracks=tracks)


def _played(phrases: Iterable[Phrase], before: Iterable[Note], notes: Iterable[Note]) -> tuple[Phrase, ...]:
    """The phrases without those that had notes before and have none now."""
    then, now = ([note.tick for note in played] for played in (before, notes))
    return tuple(phrase for phrase in phrases if holds_notes(phrase, now) or not holds_notes(phrase, then))


def _at_ticks_of(chart: Chart, other: Chart, notes: Iterable[Note]) -> Iterator[Note]:
    for note in notes:
        seconds = other.tempo_map.seconds([note.tick, note.tick + note.sustain]) + other.offset - chart.offset
        tick, end = chart.tempo_map.ticks(seconds).tolist()
        if tick < 0:  # before the chart begins
            continue
        yield replace(note, tick=tick, sustain=end - tick, lane_sustains=())


def _until(notes: Iterable[Note], tick: int, tempo_map: TempoMap) -> Iterator[Note]:
    """The notes, with sustains up to a tick, or to where a note there leaves time to let go."""
    latest = int(last_release(tempo_map.seconds(tick), tempo_map))
    for note in notes:
        if note.tick + note.sustain <= latest:
            yield note
            continue
        held = tempo_map.seconds(latest) - tempo_map.seconds(note.tick) >= SHORTEST_SUSTAIN
        yield replace(note, sustain=latest - note.tick if held else 0, lane_sustains=())
