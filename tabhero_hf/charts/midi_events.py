"""The events of a MIDI file, also of a damaged one.

Not through mido: it opens fewer of the files that players have (a running status after a meta event, a missing end of
track, more tracks than the header says), and an object for each event of three bytes takes a hundred times the file's
memory, which a file from a stranger must not. Follows the Standard MIDI Files 1.0 specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .errors import ChartError

NOTE_OFF, NOTE_ON, SYSEX, SYSEX_CONTINUED, META = 0x80, 0x90, 0xF0, 0xF7, 0xFF
TEXT, TRACK_NAME, LYRIC, END_OF_TRACK, SET_TEMPO, TIME_SIGNATURE = 0x01, 0x03, 0x05, 0x2F, 0x51, 0x58

DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
"""Messages that have no place in a file, and how to step over them."""


MAX_TRACKS = 1000
"""Each takes memory, however little is in it."""


class MidiHeader(NamedTuple):
    """What a MIDI file says of itself: ``format`` 0-2, how many ``tracks``, ``division``, ticks per quarter note."""

    format: int
    tracks: int
    division: int


class MidiEvent(NamedTuple):
    """One event.

    A note has ``status`` ``NOTE_ON`` or ``NOTE_OFF`` plus its channel, ``number`` and ``value``, its velocity. A meta
    event has ``status`` ``META``, its type as ``number``, and ``value``, its bytes. A SysEx message has ``status``
    ``SYSEX`` and ``value``, its bytes.
    """

    tick: int
    status: int
    number: int
    value: int | bytes


def midi_chunks(data: bytes) -> tuple[MidiHeader, list[tuple[int, int]], int]:
    """The header of a MIDI file, where the bytes of each track start and end, however many the header counts, and how
    many the last one should have that the file does not.

    Raises:
        ChartError: not a MIDI file, or one of more tracks than any song has.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise ChartError("not a MIDI file: it does not begin with MThd", position="byte 0")
    header = MidiHeader(*(int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12)))
    tracks, missing = [], 0
    position = 8 + int.from_bytes(data[4:8], "big")
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "big")
        start, end = position + 8, min(position + 8 + length, len(data))
        if data[position : position + 4] == b"MTrk":
            if len(tracks) == MAX_TRACKS:
                raise ChartError(f"more than {MAX_TRACKS} tracks", position=f"byte {position}")
            tracks.append((start, end))
            missing = start + length - end
        position += 8 + length
    return header, tracks, missing


def midi_events(data: bytes, start: int, end: int) -> Iterator[MidiEvent]:
    """The notes, meta events and SysEx messages of a track, up to its end event or, where it lacks one, its last byte.

    A message that the end cuts off is left out.

    Raises:
        ChartError: bytes that are no message. Names the byte.
    """
    position, tick, running = start, 0, 0
    try:
        while position < end:
            delta, position = _variable_length(data, position)
            if position >= end:
                return
            tick += delta
            status = data[position]
            if status < 0x80:
                status = running
                if not status:
                    raise ChartError("data without a message it belongs to", position=f"byte {position}")
            else:
                position += 1
            kind = status & 0xF0
            if kind != 0xF0:
                running = status
                if position + DATA_BYTES[kind] > end:
                    return
                if kind <= NOTE_ON:
                    yield MidiEvent(tick, status, data[position], data[position + 1])
                position += DATA_BYTES[kind]
            elif status in (META, SYSEX, SYSEX_CONTINUED):
                number = data[position] if status == META else 0
                length, position = _variable_length(data, position + (status == META))
                if position + length > end or (status == META and number == END_OF_TRACK):
                    return
                yield MidiEvent(tick, status, number, data[position : position + length])
                position += length
            else:
                position += SYSTEM_DATA_BYTES.get(status, 0)
    except IndexError:
        return  # the file ends within a message


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """A number of up to four bytes, and the position behind it."""
    value = 0
    for i in range(position, position + 4):
        byte = data[i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, i + 1
    raise ChartError("a number of more than four bytes", position=f"byte {position}")
