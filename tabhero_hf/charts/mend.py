"""Mends charts: repairs what :func:`~tabhero_hf.charts.check` finds, as far as the chart alone says how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from .assembly import disjoint_phrases
from .check import (
    BLUE,
    FIVE_FRETS,
    GREEN,
    LEADING_SILENCE,
    ORANGE,
    SIX_FRET_CHORD,
    TOLERANCE,
    YELLOW,
    chord_faults,
    describe,
    holds_notes,
    is_broken,
    lacks_star_power,
    lane_names,
    last_release,
    leaves_too_little,
    place,
    sustains,
    too_short,
    whole_tick_measures,
)
from .measures import Measures
from .notes import OPEN_LANE, Chart, Difficulty, Event, Instrument, Kind, Note, Phrase, Track
from .star_power import place_star_power
from .tempo import TempoMap

SECTION_MEASURES = 16
LONGEST_MEASURE = 10.0
"""Seconds of silence that one more measure before a chart may be; strangers' time signatures say anything."""

MOVES = {
    Difficulty.EASY: (({BLUE}, BLUE, YELLOW), ({ORANGE}, ORANGE, YELLOW)),
    Difficulty.MEDIUM: (({ORANGE}, ORANGE, BLUE), ({GREEN, BLUE}, BLUE, YELLOW)),
    Difficulty.HARD: (({GREEN, ORANGE}, ORANGE, BLUE),),
    Difficulty.EXPERT: (),
}
"""Where five-fret chords that hold the first go: the second lane to the third, in this order."""

Say = Callable[..., None]
"""Notes a change: a text, and the tick where it is about one."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that :func:`mend` changed.

    Args:
        tick: where in the mended chart; ``None`` where it is about a whole track or song.
        seconds: the same in the mended chart's time, from tick 0: its ``offset`` more is the audio's.
        instrument, difficulty: of which track; ``None`` where it is about all of them.
        message: one sentence that says where and what.
    """

    tick: int | None
    seconds: float | None
    instrument: Instrument | None
    difficulty: Difficulty | None
    message: str

    def __str__(self) -> str:
        return self.message


class Mended(NamedTuple):
    """A mended chart, and what was changed for it, in the order of :func:`~tabhero_hf.charts.check`."""

    chart: Chart
    changes: list[Change]


def mend(chart: Chart, duration: float | None = None) -> Mended:
    """Repairs a chart, changing what is played as little as that takes.

    Afterwards :func:`~tabhero_hf.charts.check` finds nothing more than ``noExpert``, ``difficultyNotReduced`` and
    ``isDefaultBPM``, whose repair would be invention. Phrases that overlap become disjoint, too, and a missing end
    event is added. Notes stay where they are in the audio. A chart without notes stays as it is, and so does one that
    has nothing to repair.

    Args:
        duration: seconds of the audio, by whose end the chart ends; unknown if not given.
    """
    if not any(track.notes for track in chart.tracks.values()):
        return Mended(chart, [])
    said = []

    def say(text: str, tick: int | None = None, track: Track | None = None) -> None:
        said.append((text, tick, track and track.instrument, track and track.difficulty))

    chart = _with_leading_silence(chart, say)
    chart = replace(chart, tempo_map=with_aligned_meters(chart.tempo_map, say))
    measures = Measures(chart.tempo_map)
    tracks = {key: _mended_track(track, chart.tempo_map, say) for key, track in chart.tracks.items()}
    for instrument in {track.instrument for track in tracks.values()}:
        parts = [track for track in tracks.values() if track.instrument == instrument]
        tracks |= _with_star_power(parts, chart.tempo_map, measures, say)
    chart = replace(chart, tracks=tracks)
    chart = _with_sections(chart, measures, say)
    chart = _with_one_end(chart, measures, duration, say)
    changes = [
        Change(*describe(text, chart.tempo_map, instrument, difficulty, tick))
        for text, tick, instrument, difficulty in said
    ]
    return Mended(chart, sorted(changes, key=place))


# Time


def _with_leading_silence(chart: Chart, say: Say) -> Chart:
    """The chart with measures inserted before it, so that its first note comes late enough."""
    tempo_map = chart.tempo_map
    first = min(track.notes[0].tick for track in chart.tracks.values() if track.notes)
    missing = LEADING_SILENCE - float(tempo_map.seconds(first))
    if missing <= TOLERANCE:
        return chart
    meter = tempo_map.meters[0][1:]
    unit = whole_tick_measures(tempo_map.resolution, *meter)
    # Before tick 0 the first tempo holds, too.
    endless = -float(tempo_map.seconds(-unit)) > LONGEST_MEASURE
    if endless:  # one measure of as few quarter notes as it takes, instead
        unit = tempo_map.resolution
    count = ceil(missing / -float(tempo_map.seconds(-unit)))
    shift = unit * count
    inserted = -float(tempo_map.seconds(-shift))
    say(f"{inserted:.3f} s of measures inserted, and the chart's offset to the audio made as much smaller", 0)

    def shifted(things: tuple) -> tuple:
        return tuple(replace(thing, tick=thing.tick + shift) for thing in things)

    def shifted_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(Event(tick + shift, text) for tick, text in events)

    # What stands at tick 0 stays there: it is what now holds for longer.
    meters = tuple((tick and tick + shift, *marker) for tick, *marker in tempo_map.meters)
    if endless:
        meters = ((0, count, 4), (shift, *meter), *meters[1:])
    return replace(
        chart,
        tempo_map=TempoMap(
            tempo_map.resolution,
            tuple((tick and tick + shift, bpm) for tick, bpm in tempo_map.tempos),
            meters,
        ),
        tracks={
            key: replace(
                track,
                notes=shifted(track.notes),
                star_power=shifted(track.star_power),
                solos=shifted(track.solos),
            )
            for key, track in chart.tracks.items()
        },
        sections=shifted_events(chart.sections),
        lyrics=shifted_events(chart.lyrics),
        lyric_phrases=shifted(chart.lyric_phrases),
        events=shifted_events(chart.events),
        end_ticks=tuple(tick + shift for tick in chart.end_ticks),
        offset=chart.offset - inserted,
    )


def with_aligned_meters(tempo_map: TempoMap, say: Say = lambda *_: None) -> TempoMap:
    """Time signatures back at the measure lines before them, without those that meet an earlier one there."""
    kept = [tempo_map.meters[0]]
    for tick, *meter in tempo_map.meters[1:]:
        start, *before = kept[-1]
        line = tick - (tick - start) % whole_tick_measures(tempo_map.resolution, *before)
        name = "{}/{}".format(*meter)
        if line == start:
            say(f"the change to {name} time in the middle of the measure is gone", tick)
            continue
        if line < tick:
            say(f"the change to {name} time has moved here from the middle of the measure", line)
        kept.append((line, *meter))
    return replace(tempo_map, meters=tuple(kept))


# Notes


def _mended_track(track: Track, tempo_map: TempoMap, say: Say) -> Track:
    say = partial(say, track=track)
    six_fret, difficulty = track.instrument.six_fret, track.difficulty
    notes = [_with_allowed_lanes(note, six_fret, difficulty, say) for note in track.notes]
    notes = _joined(notes, six_fret, difficulty, tempo_map, say)
    notes = _without_new_repeats(track.notes, notes, say)
    notes = _released(notes, tempo_map, say)
    ticks = [note.tick for note in notes]
    return replace(
        track,
        notes=tuple(notes),
        star_power=_mended_phrases(track.star_power, ticks, "star power phrase", say),
        solos=_mended_phrases(track.solos, ticks, "solo", say),
    )


def _with_allowed_lanes(note: Note, six_fret: bool, difficulty: Difficulty, say: Say) -> Note:
    if not chord_faults(note.lanes, six_fret, difficulty):
        return note
    held = dict(zip(note.lanes, note.sustains))
    if six_fret:
        held = {lane: held[lane] for lane in note.lanes[:SIX_FRET_CHORD]}
    else:
        if FIVE_FRETS <= held.keys():
            del held[ORANGE]
        for together, source, target in MOVES[difficulty]:
            if together <= held.keys():
                held[target] = max(held.pop(source), held.get(target, 0))
    mended = _struck(note.tick, held, note.kind)
    say(f"{lane_names(note.lanes, six_fret)} became {lane_names(mended.lanes, six_fret)}", note.tick)
    return mended


def _joined(
    notes: Sequence[Note], six_fret: bool, difficulty: Difficulty, tempo_map: TempoMap, say: Say
) -> list[Note]:
    """Notes that came apart as chords where these are allowed, else the first of them only."""
    kept: list[Note] = []
    before = 0.0
    for note, time in zip(notes, tempo_map.seconds([note.tick for note in notes]).tolist()):
        if not kept or not is_broken(kept[-1], note, time - before):
            kept.append(note)
            before = time
            continue
        earlier = kept[-1]
        held = dict(zip(earlier.lanes, earlier.sustains))
        for lane, length in zip(note.lanes, note.sustains):
            held[lane] = max(length and length + note.tick - earlier.tick, held.get(lane, 0))
        chord = _struck(earlier.tick, held, earlier.kind)
        if chord_faults(chord.lanes, six_fret, difficulty):
            say("a note right after another is gone, as together they would be no chord", note.tick)
        else:
            say("a note right after another is one with it", note.tick)
            kept[-1] = chord
    return kept


def _without_new_repeats(before: Sequence[Note], notes: Sequence[Note], say: Say) -> list[Note]:
    """Strums in place of HOPOs that have come to repeat the note before them, which hands cannot play."""
    new = _repeats(notes) - _repeats(before)
    for tick in new:
        say("a HOPO became a strum, since it now repeats the note before it", tick)
    return [replace(note, kind=Kind.STRUM) if note.tick in new else note for note in notes]


def _repeats(notes: Sequence[Note]) -> set[int]:
    """Where a HOPO is the same single note as the one before it."""
    return {
        note.tick
        for before, note in pairwise(notes)
        if note.kind == Kind.HOPO and len(note.lanes) == 1 and note.lanes == before.lanes
    }


def _released(notes: list[Note], tempo_map: TempoMap, say: Say) -> list[Note]:
    """Sustains cut so that there is time to let go before the next note; without those too short to hold."""
    ticks = np.array([note.tick for note in notes], dtype=np.int64)
    seconds = tempo_map.seconds(ticks)
    owners, lanes, ends = sustains(notes)
    # The last tick early enough before each note. Where it is no later than the note before, that note's counts.
    latest = last_release(seconds, tempo_map)
    latest[1:] = np.where(latest[1:] > ticks[:-1], latest[1:], -1)
    latest = np.maximum.accumulate(latest)

    following = np.searchsorted(ticks, ends)
    close = (lanes != OPEN_LANE) & (following < len(ticks))
    close[close] = leaves_too_little(seconds[following[close]] - tempo_map.seconds(ends[close]))
    new_ends = ends.copy()
    new_ends[close] = np.maximum(latest[following[close]], ticks[owners[close]])
    short = too_short(notes, owners, new_ends, tempo_map)
    new_ends[short] = ticks[owners[short]]

    changed: dict[int, dict[int, int]] = {}
    for i, lane, end in zip(*(column[close | short].tolist() for column in (owners, lanes, new_ends))):
        changed.setdefault(i, {})[lane] = end - notes[i].tick
    mended = list(notes)
    for i, lengths in changed.items():
        note = notes[i]
        mended[i] = _struck(note.tick, {**dict(zip(note.lanes, note.sustains)), **lengths}, note.kind)
        if any(lengths.values()):
            say("a sustain is shorter, to leave time to let go before the next note", note.tick)
        else:
            say("a sustain too short to hold is gone", note.tick)
    return mended


def _struck(tick: int, held: dict[int, int], kind: Kind) -> Note:
    """The note of these lanes with their sustains."""
    lanes = tuple(sorted(held))
    lengths = tuple(held[lane] for lane in lanes)
    return Note(tick, lanes, max(lengths), kind, lengths)


# Phrases


def _mended_phrases(phrases: tuple[Phrase, ...], ticks: list[int], name: str, say: Say) -> tuple[Phrase, ...]:
    """Disjoint phrases that hold notes."""
    bounds = np.array([(phrase.tick, phrase.length) for phrase in phrases], dtype=np.int64).reshape(-1, 2)
    disjoint = disjoint_phrases(*bounds.T)
    for phrase in (Counter(phrases) - Counter(disjoint)).elements():
        say(f"a {name} that overlapped another has changed", phrase.tick)
    kept = tuple(phrase for phrase in disjoint if holds_notes(phrase, ticks))
    for phrase in (Counter(disjoint) - Counter(kept)).elements():
        say(f"a {name} without notes is gone", phrase.tick)
    return kept


def _with_star_power(
    parts: Sequence[Track], tempo_map: TempoMap, measures: Measures, say: Say
) -> dict[tuple[Instrument, Difficulty], Track]:
    """The tracks of one instrument, with star power in all where one lacks it, at the same places if it can be."""
    lacking = [track for track in parts if lacks_star_power(track, tempo_map)]
    if not lacking:
        return {}
    hardest_first = sorted(parts, key=lambda track: -track.difficulty)
    phrases = next((track.star_power for track in hardest_first if track.star_power), ())
    phrases = phrases or place_star_power(max(lacking, key=lambda track: track.difficulty), measures)
    mended = {}
    for track in parts:
        if track.star_power:
            continue
        ticks = [note.tick for note in track.notes]
        own = tuple(phrase for phrase in phrases if holds_notes(phrase, ticks))
        if not own and track in lacking:
            own = place_star_power(track, measures)
        for phrase in own:
            say("a star power phrase is added", phrase.tick, track)
        mended[track.instrument, track.difficulty] = replace(track, star_power=own)
    return mended


# The song


def _with_sections(chart: Chart, measures: Measures, say: Say) -> Chart:
    """The chart with sections of the same length, but for stretches without notes, where it has none."""
    if chart.sections:
        return chart
    played = {measures.at(note.tick) for track in chart.tracks.values() for note in track.notes}
    first = min(played)
    stretches = sorted({(measure - first) // SECTION_MEASURES for measure in played})
    lines = [measures.line(first + SECTION_MEASURES * stretch) for stretch in stretches]
    say(f"practice sections are added, {len(lines)} of {SECTION_MEASURES} measures each")
    return replace(chart, sections=tuple(Event(tick, f"Section {i}") for i, tick in enumerate(lines, start=1)))


def _with_one_end(chart: Chart, measures: Measures, duration: float | None, say: Say) -> Chart:
    """The chart with one end event: its first one after all notes, else one at the next measure line.

    The audio's end comes before that, to the whole millisecond that ``song.ini`` has.
    """
    last = max(track.notes[-1].tick for track in chart.tracks.values() if track.notes)
    end = min((tick for tick in chart.end_ticks if tick >= last), default=None)
    if end is None:
        end = measures.line(measures.at(max(track.end_tick for track in chart.tracks.values())) + 1)
    if duration is not None:
        # Games count in the audio's time, and scan-chart from tick 0: by both, as far as notes leave room for it.
        seconds = floor(1000 * duration) / 1000 - max(chart.offset, 0.0)
        latest = int(chart.tempo_map.ticks(seconds))
        latest -= bool(chart.tempo_map.seconds(latest) > seconds)
        end = max(last, min(end, latest))
    if chart.end_ticks == (end,):
        return chart
    say("the song now ends here" if chart.end_ticks else "an end event is added", end)
    return replace(chart, end_ticks=(end,))
