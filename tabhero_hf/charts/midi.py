"""Reads ``notes.mid`` of Clone Hero, Rock Band, Phase Shift and Frets on Fire.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats).
"""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .assembly import NOWHERE, Markers, ReadingRules, assemble_track, disjoint_phrases
from .errors import ChartError
from .midi_events import (
    LYRIC,
    META,
    NOTE_ON,
    SET_TEMPO,
    SYSEX,
    TEXT,
    TIME_SIGNATURE,
    TRACK_NAME,
    midi_chunks,
    midi_events,
)
from .notes import OPEN_LANE, Chart, Difficulty, Event, Instrument, Phrase, Track
from .tempo import TempoMap, add_latest
from .text_files import MAX_NUMBER, MAX_TEXTS, decode_text, read_bounded, section_name

TRACK_NAMES = {
    "PART GUITAR": Instrument.LEAD,
    "PART GUITAR COOP": Instrument.COOP,
    "PART BASS": Instrument.BASS,
    "PART RHYTHM": Instrument.RHYTHM,
    "PART KEYS": Instrument.KEYS,
    "PART GUITAR GHL": Instrument.GHL_LEAD,
    "PART BASS GHL": Instrument.GHL_BASS,
    "PART RHYTHM GHL": Instrument.GHL_RHYTHM,
    "PART GUITAR COOP GHL": Instrument.GHL_COOP,
}
OLD_LEAD_NAME = "T1 GEMS"
EVENTS_NAME, VOCALS_NAME = "EVENTS", "PART VOCALS"
SUNG = range(36, 85)
"""Numbers of the notes that are sung."""

FIRST_NUMBER = {Difficulty.EASY: 58, Difficulty.MEDIUM: 70, Difficulty.HARD: 82, Difficulty.EXPERT: 94}
"""The lowest note number of each difficulty: six-fret tracks' open note."""
LANE_OFFSETS = {
    False: {0: 2, 1: 3, 2: 4, 3: 5, 4: 6, OPEN_LANE: 1},
    True: {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, OPEN_LANE: 0},
}
"""From the first number to that of each lane, on five frets and on six."""
FORCE_HOPO_OFFSET, FORCE_STRUM_OFFSET = 7, 8
SOLO, TAP, LYRIC_PHRASE, STAR_POWER = 103, 104, 105, 116
ENHANCED_OPENS = "ENHANCED_OPENS"
"""The text without which five-fret tracks have no open notes but those of SysEx messages."""

SYSEX_HEADER = b"PS\x00\x00"
SYSEX_ALL_DIFFICULTIES = 0xFF
SYSEX_OPEN, SYSEX_TAP = 0x01, 0x04


@dataclass(slots=True)
class _Spans:
    """Stretches of ticks, as two columns."""

    starts: array = field(default_factory=lambda: array("q"))
    lengths: array = field(default_factory=lambda: array("q"))
    open: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Starts by channel that have not ended yet."""

    def begin(self, tick: int, channel: int) -> None:
        self.open[channel].append(tick)

    def end(self, tick: int, channel: int) -> None:
        # The latest that began ends: what this makes of overlapping notes, `assemble_track` puts right.
        if starts := self.open.get(channel):
            start = starts.pop()
            self.starts.append(start)
            self.lengths.append(tick - start)

    def phrases(self) -> tuple[Phrase, ...]:
        return disjoint_phrases(self.starts, self.lengths)

    def covering(self) -> np.ndarray:
        """As markers of notes: one of no length marks its own tick."""
        starts, lengths = np.array(self.starts), np.array(self.lengths)
        return np.stack([starts, starts + np.maximum(lengths, 1)], axis=1)


@dataclass(slots=True)
class _MidiTrack:
    """What one MIDI track holds that a chart is made of."""

    names: list[str] = field(default_factory=list)
    texts: list[Event] = field(default_factory=list)
    lyrics: list[Event] = field(default_factory=list)
    tempos: list[tuple[int, float]] = field(default_factory=list)
    meters: list[tuple[int, int, int]] = field(default_factory=list)
    spans: dict[int, _Spans] = field(default_factory=lambda: defaultdict(_Spans))
    """By note number."""
    effects: dict[tuple[int, Difficulty], _Spans] = field(default_factory=lambda: defaultdict(_Spans))
    """By SysEx effect and difficulty."""


def read_midi(path: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> Chart:
    """Reads a ``notes.mid``; see :func:`parse_midi`.

    Raises:
        ChartError: not a MIDI file, or one that cannot be a chart. Names the file and the byte or tick.
    """
    try:
        return parse_midi(read_bounded(path), settings)
    except ChartError as error:
        raise error.located(path) from error.__cause__


def parse_midi(data: bytes, settings: Mapping[str, str] | None = None) -> Chart:
    """Reads the bytes of a ``notes.mid``.

    Args:
        data: the file.
        settings: the song's ``song.ini`` where it has one: ``multiplier_note`` and what
            :func:`~tabhero_hf.charts.parse_chart` reads of it.

    Returns:
        Its tracks that have notes, with the kind of each note as the player sees it. Files without any of the games'
        track names are Frets on Fire's: all their notes are lead guitar. Lengths up to a third of a quarter note and a
        tick are no sustain. A note that does not end is left out and told of in ``warnings``, and so is what a file
        that is cut off lacks.

    Raises:
        ChartError: not a MIDI file, or one that cannot be a chart. Names the byte or tick.
    """
    header, chunks, missing = midi_chunks(data)
    if not 1 <= header.division < 0x8000:
        raise ChartError("its division is not ticks per quarter note", position="byte 12")
    if header.format > 1:
        raise ChartError(f"a MIDI file of format {header.format}, which no game reads", position="byte 8")
    if not chunks:
        raise ChartError("a MIDI file without a track")
    tracks = [_collect(data, *chunk) for chunk in chunks]
    settings = settings or {}
    rules = ReadingRules.of(header.division, settings, midi=True)
    charted = {}
    for instrument, part in _parts(tracks).items():
        star_power, solos = _star_power_and_solos(part, settings)
        for difficulty in Difficulty:
            if track := _track(part, instrument, difficulty, rules, star_power, solos):
                charted[instrument, difficulty] = track
    return Chart(
        TempoMap(header.division, tuple(tracks[0].tempos), tuple(tracks[0].meters)),
        charted,
        **_global_events(tracks),
        warnings=(*_cut_off(len(chunks), header.tracks, missing), *_warnings(tracks)),
        left_out=tuple(_left_out(tracks)),
    )


def _collect(data: bytes, start: int, end: int) -> _MidiTrack:
    track = _MidiTrack()
    for tick, status, number, value in midi_events(data, start, end):
        if tick > MAX_NUMBER:
            raise ChartError(f"an event after tick {MAX_NUMBER}")
        if status < SYSEX:
            channel = status & 0x0F
            if status >= NOTE_ON and value:
                track.spans[number].begin(tick, channel)
            elif spans := track.spans.get(number):
                spans.end(tick, channel)
        elif status == META:
            _collect_meta(track, tick, number, value)
        elif value[:4] == SYSEX_HEADER and len(value) >= 7:
            difficulty, effect, begins = value[4:7]
            for one in Difficulty:
                if difficulty in (one, SYSEX_ALL_DIFFICULTIES) and effect in (SYSEX_OPEN, SYSEX_TAP):
                    spans = track.effects[effect, one]
                    (spans.begin if begins else spans.end)(tick, 0)
    return track


def _collect_meta(track: _MidiTrack, tick: int, kind: int, value: bytes) -> None:
    if kind == TRACK_NAME and tick == 0:
        track.names.append(decode_text(value).strip())
    elif kind in (TEXT, LYRIC):
        texts = track.texts if kind == TEXT else track.lyrics
        if len(texts) == MAX_TEXTS:
            raise ChartError(f"more than {MAX_TEXTS} texts in a track", position=f"tick {tick}")
        texts.append(Event(tick, decode_text(value).strip()))
    elif kind == SET_TEMPO and len(value) >= 3:
        microseconds = int.from_bytes(value[:3], "big")
        if not microseconds:
            raise ChartError("a tempo of 0 µs per quarter note", position=f"tick {tick}")
        add_latest(track.tempos, (tick, 60e6 / microseconds))
    elif kind == TIME_SIGNATURE and len(value) >= 2:
        if not value[0]:
            raise ChartError("a time signature of 0 beats", position=f"tick {tick}")
        if value[1] < 32:
            add_latest(track.meters, (tick, value[0], 2 ** value[1]))


def _parts(tracks: list[_MidiTrack]) -> dict[Instrument, _MidiTrack]:
    """The track of each instrument."""
    parts: dict[Instrument, _MidiTrack] = {}
    for track in tracks:
        name = next((name for name in track.names if name in TRACK_NAMES), None)
        if name is not None:
            parts.setdefault(TRACK_NAMES[name], track)
    for track in tracks:
        if OLD_LEAD_NAME in track.names:
            parts.setdefault(Instrument.LEAD, track)
    names = [name for track in tracks for name in track.names]
    if parts or any(name.startswith("PART ") or name == EVENTS_NAME for name in names):
        return parts
    lead = _MidiTrack()
    for track in tracks:
        for number, spans in track.spans.items():
            lead.spans[number].starts.extend(spans.starts)
            lead.spans[number].lengths.extend(spans.lengths)
    return {Instrument.LEAD: lead}


def _track(
    part: _MidiTrack,
    instrument: Instrument,
    difficulty: Difficulty,
    rules: ReadingRules,
    star_power: tuple[Phrase, ...],
    solos: tuple[Phrase, ...],
) -> Track | None:
    first = FIRST_NUMBER[difficulty]
    columns = []
    for lane, offset in LANE_OFFSETS[instrument.six_fret].items():
        if spans := part.spans.get(first + offset):
            starts, lengths = np.array(spans.starts, dtype=np.int64), np.array(spans.lengths, dtype=np.int64)
            if lane == OPEN_LANE and not instrument.six_fret:
                enabled = starts >= _enhanced_opens(part)
                starts, lengths = starts[enabled], lengths[enabled]
            columns.append((starts, np.full(len(starts), lane, dtype=np.int8), lengths))
    if not columns:
        return None

    def covered(*spans: _Spans | None) -> np.ndarray:
        return np.concatenate([NOWHERE, *(some.covering() for some in spans if some)])

    markers = Markers(
        taps=covered(part.spans.get(TAP), part.effects.get((SYSEX_TAP, difficulty))),
        hopos=covered(part.spans.get(first + FORCE_HOPO_OFFSET)),
        strums=covered(part.spans.get(first + FORCE_STRUM_OFFSET)),
        opens=covered(part.effects.get((SYSEX_OPEN, difficulty))),
    )
    struck = tuple(np.concatenate(column) for column in zip(*columns))
    return assemble_track(instrument, difficulty, struck, markers, rules, star_power, solos)


def _enhanced_opens(part: _MidiTrack) -> int:
    """The tick from which on a five-fret track has open notes."""
    return min((tick for tick, text in part.texts if text.strip("[]") == ENHANCED_OPENS), default=MAX_NUMBER + 1)


def _star_power_and_solos(
    part: _MidiTrack, settings: Mapping[str, str]
) -> tuple[tuple[Phrase, ...], tuple[Phrase, ...]]:
    """Star power is 116; older files have it at 103, where solos are today."""
    modern, old = part.spans[STAR_POWER].phrases(), part.spans[SOLO].phrases()
    chosen = settings.get("multiplier_note")
    if chosen == str(SOLO) or (chosen != str(STAR_POWER) and not modern and len(old) > 1):
        return old, ()
    return modern, old


def _global_events(tracks: list[_MidiTrack]) -> dict[str, tuple]:
    """The texts of the tracks ``EVENTS`` and ``PART VOCALS``, as fields of a chart."""
    sections, others, ends = [], [], []
    for tick, text in _named(tracks, EVENTS_NAME, lambda track: track.texts):
        if (name := section_name(text)) is not None:
            sections.append(Event(tick, name))
        elif text in ("end", "[end]"):
            ends.append(tick)
        else:
            others.append(Event(tick, text))
    lyrics = _named(
        tracks,
        VOCALS_NAME,
        lambda track: [*track.lyrics, *(event for event in track.texts if not event.text.startswith("["))],
    )
    phrases = _named(tracks, VOCALS_NAME, lambda track: track.spans[LYRIC_PHRASE].phrases())
    return {
        "sections": tuple(sections),
        "lyrics": tuple(sorted(lyrics, key=lambda event: event.tick)),
        "lyric_phrases": tuple(phrases),
        "events": tuple(others),
        "end_ticks": tuple(ends),
    }


def _named(tracks: list[_MidiTrack], name: str, part: Callable[[_MidiTrack], list]) -> list:
    """What the first track of a name holds."""
    return next((part(track) for track in tracks if name in track.names), [])


def _left_out(tracks: list[_MidiTrack]) -> Iterable[str]:
    """The tracks of players with notes that are none of ours."""
    for track in tracks:
        name = next((name for name in track.names if name.startswith(("PART ", "HARM"))), None)
        numbers = track.spans.keys() & SUNG if name == VOCALS_NAME else track.spans
        if name is not None and name not in TRACK_NAMES and any(track.spans[number].starts for number in numbers):
            yield name


def _cut_off(found: int, tracks: int, missing: int) -> Iterable[str]:
    if missing or found < tracks:
        there = f"track {found - 1} lacks {missing} bytes" if missing else "it ends after a track"
        yield f"the file is cut off: {there}, and of {tracks} tracks {found} are there"


def _warnings(tracks: list[_MidiTrack]) -> Iterable[str]:
    for number, track in enumerate(tracks):
        unended = sum(len(starts) for spans in track.spans.values() for starts in spans.open.values())
        if unended:
            yield f"track {number}: {unended} notes that do not end"
