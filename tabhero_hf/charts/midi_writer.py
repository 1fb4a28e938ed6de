"""Writes ``notes.mid`` as Clone Hero reads it.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator

from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .midi import (
    ENHANCED_OPENS,
    EVENTS_NAME,
    FIRST_NUMBER,
    FORCE_HOPO_OFFSET,
    FORCE_STRUM_OFFSET,
    LANE_OFFSETS,
    LYRIC_PHRASE,
    SOLO,
    STAR_POWER,
    SYSEX_HEADER,
    SYSEX_TAP,
    TAP,
    TRACK_NAMES,
    VOCALS_NAME,
)
from .notes import OPEN_LANE, Chart, Difficulty, Instrument, Kind, Phrase, Track
from .packed import write_bytes
from .tempo import TempoMap

MAX_DIVISION = 0x7FFF
MAX_DELTA = 0x0FFFFFFF
MAX_MICROSECONDS = 0xFFFFFF
VELOCITY = 100

# At one tick: what ends, then texts, then what begins, then what has no length and ends.
ENDS, TEXTS, BEGINS, ENDS_AT_ONCE = range(4)

Message = tuple[int, int, str, dict]
"""Tick, order within the tick, mido's name of the message, and its fields."""

DENOMINATORS = [2**power for power in range(29)]
"""Of time signatures. A byte holds powers up to 255, but mido takes them by a logarithm that is off from here on."""


def write_midi(chart: Chart, path: str | os.PathLike[str]) -> None:
    """Writes a chart as a ``.mid`` file; see :func:`format_midi`.

    Raises:
        ChartError: the chart does not fit the format.
        OSError: the file cannot be written.
    """
    write_bytes(path, format_midi(chart))


def format_midi(chart: Chart) -> bytes:
    """A chart as the bytes of a ``.mid`` file.

    Kinds are forced only where they differ from the natural ones. What the format cannot hold is changed: sustains of
    up to a third of a quarter note and a tick are none, star power and solos are those of an instrument's hardest
    difficulty that has any, and a tempo is a whole number of microseconds per quarter note. The chart's ``offset`` and
    ``metadata`` have no place in it, but in ``song.ini``; so does ``multiplier_note = 116``, without which a reader
    takes two solos and no star power for star power.

    Raises:
        ChartError: a resolution, tick, tempo or time signature beyond the format's numbers.
    """
    import mido

    resolution = chart.tempo_map.resolution
    if resolution > MAX_DIVISION:
        raise ChartError(f"a MIDI file holds no resolution above {MAX_DIVISION}, and this is {resolution}")
    file = mido.MidiFile(type=1, ticks_per_beat=resolution, charset="utf-8")
    tracks = [("", _tempo_messages(chart.tempo_map)), (EVENTS_NAME, _event_messages(chart))]
    if chart.lyrics or chart.lyric_phrases:
        tracks.append((VOCALS_NAME, _vocal_messages(chart)))
    for name, instrument in TRACK_NAMES.items():
        parts = [chart.tracks[instrument, d] for d in Difficulty if (instrument, d) in chart.tracks]
        if parts:
            tracks.append((name, _part_messages(instrument, parts, resolution)))
    for name, messages in tracks:
        file.tracks.append(_midi_track(name, messages))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _midi_track(name: str, messages: Iterable[Message]):
    from mido import Message as MidoMessage
    from mido import MetaMessage, MidiTrack

    track = MidiTrack([MetaMessage("track_name", name=name)] if name else [])
    last = 0
    for tick, _, kind, values in sorted(messages, key=lambda message: message[:2]):
        if tick - last > MAX_DELTA:
            raise ChartError(f"a MIDI file holds no rest of {tick - last} ticks", position=f"tick {last}")
        message = MidoMessage if kind in ("note_on", "note_off", "sysex") else MetaMessage
        track.append(message(kind, time=tick - last, **values))
        last = tick
    return track


def _tempo_messages(tempo_map: TempoMap) -> Iterator[Message]:
    for tick, bpm in tempo_map.tempos:
        microseconds = round(60e6 / bpm)
        if not 1 <= microseconds <= MAX_MICROSECONDS:
            raise ChartError(f"a MIDI file holds no tempo of {bpm:g} BPM", position=f"tick {tick}")
        yield tick, TEXTS, "set_tempo", {"tempo": microseconds}
    for tick, numerator, denominator in tempo_map.meters:
        if numerator > 255 or denominator not in DENOMINATORS:
            raise ChartError(f"a MIDI file holds no {numerator}/{denominator} time", position=f"tick {tick}")
        yield tick, TEXTS, "time_signature", {"numerator": numerator, "denominator": denominator}


def _event_messages(chart: Chart) -> Iterator[Message]:
    for tick, name in chart.sections:
        yield tick, TEXTS, "text", {"text": f"[section {name}]"}
    for tick, text in chart.events:
        yield tick, TEXTS, "text", {"text": text}
    for tick in chart.end_ticks:
        yield tick, TEXTS, "text", {"text": "[end]"}


def _vocal_messages(chart: Chart) -> Iterator[Message]:
    for tick, text in chart.lyrics:
        yield tick, TEXTS, "lyrics", {"text": text}
    for phrase in chart.lyric_phrases:
        yield from _span(LYRIC_PHRASE, phrase.tick, phrase.length)


def _part_messages(instrument: Instrument, tracks: list[Track], resolution: int) -> Iterator[Message]:
    """The messages of an instrument's tracks, easiest first."""
    if not instrument.six_fret and any(OPEN_LANE in note.lanes for track in tracks for note in track.notes):
        yield 0, TEXTS, "text", {"text": f"[{ENHANCED_OPENS}]"}
    shared = _hardest(track.star_power for track in tracks), _hardest(track.solos for track in tracks)
    for number, phrases in zip((STAR_POWER, SOLO), shared):
        for phrase in phrases:
            yield from _span(number, phrase.tick, phrase.length)
    for tick in sorted(_taps_of_all(tracks)):
        yield from _span(TAP, tick, 1)
    for track in tracks:
        yield from _track_messages(track, resolution, _taps_of_all(tracks))


def _hardest(phrases: Iterable[tuple[Phrase, ...]]) -> tuple[Phrase, ...]:
    return next((some for some in reversed(list(phrases)) if some), ())


def _taps_of_all(tracks: list[Track]) -> set[int]:
    """Ticks at which all notes of an instrument are taps: one marker serves its difficulties."""
    taps = {note.tick for track in tracks for note in track.notes if note.kind is Kind.TAP}
    return taps - {note.tick for track in tracks for note in track.notes if note.kind is not Kind.TAP}


def _track_messages(track: Track, resolution: int, marked_taps: set[int]) -> Iterator[Message]:
    first = FIRST_NUMBER[track.difficulty]
    offsets = LANE_OFFSETS[track.instrument.six_fret]
    threshold = hopo_threshold(resolution, midi=True)
    natural = natural_hopos(
        [note.tick for note in track.notes], [note.mask for note in track.notes], threshold, midi=True
    )
    for note, hopo in zip(track.notes, natural.tolist()):
        for lane, length in zip(note.lanes, note.sustains):
            yield from _span(first + offsets[lane], note.tick, length if length > resolution // 3 + 1 else 1)
        if note.kind is Kind.TAP:
            if note.tick not in marked_taps:
                yield from _sysex_tap(track.difficulty, note.tick)
        elif (note.kind is Kind.HOPO) != hopo:
            offset = FORCE_STRUM_OFFSET if hopo else FORCE_HOPO_OFFSET
            yield from _span(first + offset, note.tick, 1)


def _span(number: int, tick: int, length: int) -> Iterator[Message]:
    yield tick, BEGINS, "note_on", {"note": number, "velocity": VELOCITY}
    yield tick + length, ENDS if length else ENDS_AT_ONCE, "note_off", {"note": number}


def _sysex_tap(difficulty: Difficulty, tick: int) -> Iterator[Message]:
    for at, order, begins in ((tick, BEGINS, 1), (tick + 1, ENDS, 0)):
        yield at, order, "sysex", {"data": (*SYSEX_HEADER, difficulty, SYSEX_TAP, begins)}
