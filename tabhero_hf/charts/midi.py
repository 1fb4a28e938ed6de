"""Reads ``notes.mid`` of Clone Hero and Frets on Fire, five-fret tracks.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats).
"""

from __future__ import annotations

import io
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .notes import OPEN_LANE, Chart, Difficulty, Instrument, Kind, Note, Phrase, Track, cut_sustains, in_phrases
from .tempo import TempoMap
from .text_files import MAX_NUMBER, decode_text, read_bounded, section_name

TRACK_NAMES = {
    "PART GUITAR": Instrument.LEAD,
    "PART BASS": Instrument.BASS,
    "PART RHYTHM": Instrument.RHYTHM,
    "PART KEYS": Instrument.KEYS,
}
OLD_LEAD_NAME = "T1 GEMS"
EVENTS_NAME = "EVENTS"

GREEN = {Difficulty.EASY: 60, Difficulty.MEDIUM: 72, Difficulty.HARD: 84, Difficulty.EXPERT: 96}
LANES = range(5)
OPEN_BELOW_GREEN = 1
FORCE_HOPO, FORCE_STRUM = 5, 6
SOLO, TAP, STAR_POWER = 103, 104, 116

SYSEX_HEADER = (0x50, 0x53, 0x00, 0x00)
SYSEX_ALL_DIFFICULTIES = 0xFF
SYSEX_OPEN, SYSEX_TAP = 0x01, 0x04


@dataclass(slots=True)
class _TrackEvents:
    """What one MIDI track holds, in ticks."""

    names: list[str] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    spans: dict[int, list[Phrase]] = field(default_factory=lambda: defaultdict(list))
    """By note number."""
    effects: dict[tuple[int, int], list[Phrase]] = field(default_factory=lambda: defaultdict(list))
    """By SysEx effect and difficulty."""


def read_midi(path: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> Chart:
    """Reads a ``notes.mid``.

    Args:
        path: the file.
        settings: the song's ``song.ini`` where it has one, for its HOPO settings and ``multiplier_note``.

    Returns:
        Its five-fret tracks, with the kind of each note as the player sees it. Files without any of the games' track
        names are Frets on Fire's: all their notes are lead guitar. Lengths up to a third of a quarter note and a tick
        are no sustain.

    Raises:
        ChartError: not a MIDI file, or one that cannot be a chart. Names the file.
    """
    try:
        return _parse(read_bounded(path), settings or {})
    except ChartError as error:
        raise error.located(path) from error.__cause__


def _parse(data: bytes, settings: Mapping[str, str]) -> Chart:
    import mido

    try:
        # Wild files hold velocities over 127, which clip brings back into range.
        midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except Exception as error:  # mido raises as many types as there are ways to break a file
        raise ChartError(f"not a MIDI file that can be read ({str(error) or type(error).__name__})") from error
    if midi.ticks_per_beat < 1:
        raise ChartError("its division is not ticks per quarter note")
    if midi.type == 2:
        raise ChartError("a format 2 MIDI file, which no game reads")
    resolution = midi.ticks_per_beat
    events = [_collect(track) for track in midi.tracks]
    sections, end_tick = _global_events(events)
    tracks = {}
    for instrument, part in _parts(events).items():
        for difficulty in Difficulty:
            track = _track(part, instrument, difficulty, resolution, settings)
            if track.notes:
                tracks[instrument, difficulty] = track
    return Chart(_tempo_map(midi.tracks, resolution), tracks, sections, end_tick)


def _tempo_map(tracks: list, resolution: int) -> TempoMap:
    tempos, meters = [], []
    tick = 0
    for message in tracks[0] if tracks else ():
        tick += message.time
        if message.type == "set_tempo":
            if message.tempo == 0:
                raise ChartError("a tempo of 0 µs per quarter note", position=f"tick {tick}")
            tempos.append((tick, 60e6 / message.tempo))
        elif message.type == "time_signature":
            meters.append((tick, message.numerator, message.denominator))
    return TempoMap(resolution, tuple(tempos), tuple(meters))


def _collect(track: Iterable) -> _TrackEvents:
    events = _TrackEvents()
    sounding: dict[int, deque[int]] = defaultdict(deque)
    effects: dict[tuple[int, int], int] = {}
    tick = 0
    for message in track:
        tick += message.time
        if tick > MAX_NUMBER:
            raise ChartError(f"an event after tick {MAX_NUMBER}")
        if message.type == "note_on" and message.velocity > 0:
            sounding[message.note].append(tick)
        elif message.type in ("note_on", "note_off"):
            # First in, first out: at one tick the next note may begin before the last one ends.
            if starts := sounding[message.note]:
                start = starts.popleft()
                events.spans[message.note].append(Phrase(start, tick - start))
        elif message.type == "track_name" and tick == 0:
            events.names.append(_text(message.name).strip())
        elif message.type in ("text", "lyrics", "marker", "cue_marker"):
            events.texts.append((tick, _text(message.text).strip()))
        elif message.type == "sysex" and message.data[:4] == SYSEX_HEADER and len(message.data) >= 7:
            difficulty, effect, starts_now = message.data[4:7]
            concerned = Difficulty if difficulty == SYSEX_ALL_DIFFICULTIES else (difficulty,)
            for key in ((effect, int(one)) for one in concerned):
                if starts_now:
                    effects.setdefault(key, tick)
                elif key in effects:
                    start = effects.pop(key)
                    events.effects[key].append(Phrase(start, tick - start))
    for note, starts in sounding.items():
        events.spans[note] += [Phrase(start, tick - start) for start in starts]
    for spans in (*events.spans.values(), *events.effects.values()):
        spans.sort(key=lambda span: span.tick)
    return events


def _text(raw: str) -> str:
    """Text as mido gives it, one character a byte, decoded."""
    return decode_text(raw.encode("latin-1"))


def _parts(tracks: list[_TrackEvents]) -> dict[Instrument, _TrackEvents]:
    """The track of each instrument."""
    parts: dict[Instrument, _TrackEvents] = {}
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
    lead = _TrackEvents()
    for track in tracks:
        for note, spans in track.spans.items():
            lead.spans[note] += spans
    return {Instrument.LEAD: lead}


def _global_events(tracks: list[_TrackEvents]) -> tuple[tuple[tuple[int, str], ...], int | None]:
    sections, end_tick = [], None
    for track in tracks:
        if EVENTS_NAME not in track.names:
            continue
        for tick, text in track.texts:
            if (name := section_name(text)) is not None:
                sections.append((tick, name))
            elif text.strip("[]") == "end":
                end_tick = tick
    return tuple(sections), end_tick


def _track(
    events: _TrackEvents, instrument: Instrument, difficulty: Difficulty, resolution: int, settings: Mapping[str, str]
) -> Track:
    green = GREEN[difficulty]
    numbers = {green + lane: lane for lane in LANES}
    if any(text.strip("[]") == "ENHANCED_OPENS" for _, text in events.texts):
        numbers[green - OPEN_BELOW_GREEN] = OPEN_LANE
    lanes: dict[int, dict[int, int]] = defaultdict(dict)
    for number, lane in numbers.items():
        for span in events.spans.get(number, ()):
            length = span.length if span.length > resolution // 3 + 1 else 0
            lanes[span.tick][lane] = max(length, lanes[span.tick].get(lane, 0))
    ticks = sorted(lanes)

    def marked(spans: Iterable[Phrase]) -> list[bool]:
        return in_phrases(ticks, [Phrase(span.tick, max(span.length, 1)) for span in spans])

    for tick, opened in zip(ticks, marked(events.effects.get((SYSEX_OPEN, difficulty), ()))):
        if opened:
            lanes[tick] = {OPEN_LANE: max(lanes[tick].values())}
    chords = [tuple(sorted(lanes[tick])) for tick in ticks]
    natural = natural_hopos(ticks, chords, hopo_threshold(resolution, settings, midi=True), midi=True)
    taps = marked([*events.spans.get(TAP, ()), *events.effects.get((SYSEX_TAP, difficulty), ())])
    hopos = marked(events.spans.get(green + FORCE_HOPO, ()))
    strums = marked(events.spans.get(green + FORCE_STRUM, ()))
    notes = []
    for i, (tick, chord) in enumerate(zip(ticks, chords)):
        kind = Kind.TAP if taps[i] else Kind(hopos[i] or (natural[i] and not strums[i]))
        sustains = tuple(lanes[tick][lane] for lane in chord)
        notes.append(Note(tick, chord, max(sustains), kind, sustains))
    star_power, solos = _star_power_and_solos(events, settings)
    return Track(instrument, difficulty, tuple(cut_sustains(notes)), star_power, solos)


def _star_power_and_solos(
    events: _TrackEvents, settings: Mapping[str, str]
) -> tuple[tuple[Phrase, ...], tuple[Phrase, ...]]:
    """Star power is 116; older files have it at 103, where solos are today."""
    modern, old = tuple(events.spans.get(STAR_POWER, ())), tuple(events.spans.get(SOLO, ()))
    chosen = settings.get("multiplier_note")
    if chosen == str(SOLO) or (chosen != str(STAR_POWER) and not modern and len(old) > 1):
        return old, ()
    return modern, old
