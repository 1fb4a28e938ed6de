"""Reads and writes ``notes.chart``.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats) for five-fret tracks.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .notes import OPEN_LANE, Chart, Difficulty, Instrument, Kind, Note, Phrase, Track, cut_sustains
from .tempo import TempoMap
from .text_files import MAX_NUMBER, decode_text, one_line, read_bounded, section_name, split_lines

DEFAULT_RESOLUTION = 192

SECTION_NAMES = {
    Instrument.LEAD: "Single",
    Instrument.BASS: "DoubleBass",
    Instrument.RHYTHM: "DoubleRhythm",
    Instrument.KEYS: "Keyboard",
}
TRACK_SECTIONS = {
    f"{difficulty.name.capitalize()}{name}": (instrument, difficulty)
    for instrument, name in SECTION_NAMES.items()
    for difficulty in Difficulty
}

FLIP, TAP, OPEN = 5, 6, 7
STAR_POWER = 2
LANE_OF_VALUE = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, OPEN: OPEN_LANE}
VALUE_OF_LANE = {lane: value for value, lane in LANE_OF_VALUE.items()}

TEXT_KEYS = {
    "name": "Name",
    "artist": "Artist",
    "charter": "Charter",
    "album": "Album",
    "year": "Year",
    "genre": "Genre",
    "musicstream": "MusicStream",
}
"""The keys of ``[Song]`` that are metadata, and how they are spelled."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line ``key = value`` of a section."""

    number: int
    key: str
    value: str

    def error(self, reason: str) -> ChartError:
        return ChartError(reason, position=f"line {self.number}")

    def integer(self, text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > MAX_NUMBER:
            raise self.error(f"{text[:40]!r} is not a whole number of 0 to {MAX_NUMBER}")
        return int(text)


@dataclass(frozen=True, slots=True)
class _Event:
    """A line ``tick = TYPE arguments`` of a section."""

    line: _Line
    tick: int
    type: str
    text: str

    def integers(self, least: int) -> list[int]:
        numbers = [self.line.integer(word) for word in self.text.split()]
        if len(numbers) < least:
            raise self.line.error(f"{self.type} needs {least} numbers, not {len(numbers)}")
        return numbers


def read_chart(source: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> Chart:
    """Reads a ``.chart`` file, or the text of one.

    Args:
        source: a path, or text: a string with a line break in it is text.
        settings: the song's ``song.ini`` where it has one, for its HOPO settings, see :func:`hopo_threshold`.

    Returns:
        Its five-fret tracks that have notes, with the kind of each note as the player sees it. A sustain that runs
        into the next note of its lane ends there; ``offset`` is the file's ``Offset``. Sections, events and keys that
        are not known are left out.

    Raises:
        ChartError: not a chart, or a chart with a broken line in a part that is read. Names the file and the line.
    """
    if isinstance(source, str) and ("\n" in source or "\r" in source):
        return _parse(source, settings)
    try:
        return _parse(decode_text(read_bounded(source)), settings)
    except ChartError as error:
        raise error.located(source) from error.__cause__


def write_chart(chart: Chart, path: str | os.PathLike[str]) -> None:
    """Writes a chart as a ``.chart`` file, UTF-8; see :func:`format_chart`.

    Raises:
        ChartError: a note on a lane that five-fret tracks do not have.
        OSError: the file cannot be written.
    """
    Path(path).write_bytes(format_chart(chart).encode())


def format_chart(chart: Chart) -> str:
    """A chart as the text of a ``.chart`` file.

    The flip ``N 5`` is written only where a note's kind differs from the natural one, so that a player sees the kinds
    of ``chart`` (without HOPO settings in ``song.ini``). Tempos are rounded to the 0.001 BPM that the format holds.

    Raises:
        ChartError: a note on a lane that five-fret tracks do not have.
    """
    blocks = [
        ("Song", _song_lines(chart)),
        ("SyncTrack", _sync_lines(chart.tempo_map)),
        ("Events", _event_lines(chart)),
    ]
    for name, key in TRACK_SECTIONS.items():
        if key in chart.tracks:
            blocks.append((name, _track_lines(chart.tracks[key], chart.tempo_map.resolution)))
    return "".join(f"[{name}]\n{{\n" + "".join(f"  {line}\n" for line in lines) + "}\n" for name, lines in blocks)


# Reading


def _parse(text: str, settings: Mapping[str, str] | None) -> Chart:
    sections = _sections(text)
    if not sections:
        raise ChartError("not a .chart file: it has no [Section]")
    song = {line.key.lower(): line for line in sections.get("Song", ())}
    resolution = _resolution(song.get("resolution"))
    tempo_map = _tempo_map(sections.get("SyncTrack", ()), resolution)
    names, end_tick = _global_events(sections.get("Events", ()))
    threshold = hopo_threshold(resolution, settings)
    tracks = {key: _track(sections[name], *key, threshold) for name, key in TRACK_SECTIONS.items() if name in sections}
    metadata = {key: _unquote(song[key].value) for key in TEXT_KEYS if key in song}
    if "year" in metadata:
        metadata["year"] = metadata["year"].removeprefix(",").strip()
    return Chart(
        tempo_map=tempo_map,
        tracks={key: track for key, track in tracks.items() if track.notes},
        sections=tuple(names),
        end_tick=end_tick,
        metadata={key: value for key, value in metadata.items() if value},
        offset=_offset(song.get("offset")),
    )


def _sections(text: str) -> dict[str, list[_Line]]:
    """The lines of each section; one that stands twice is one."""
    sections: dict[str, list[_Line]] = defaultdict(list)
    current = None
    for number, line in enumerate(split_lines(text), start=1):
        line = line.strip()
        if current is None:
            if line.startswith("[") and line.endswith("]"):
                current = sections[line[1:-1].strip()]
        elif line.startswith("}"):
            current = None
        else:
            key, equals, value = line.partition("=")
            if equals:
                current.append(_Line(number, key.strip(), value.strip()))
    if current is not None:
        raise ChartError("ends inside a section: the file is cut off", position=f"line {number}")
    return sections


def _events(lines: Iterable[_Line], *types: str) -> list[_Event]:
    """The events of these types, stably sorted by tick."""
    events = []
    for line in lines:
        type_, *text = line.value.split(None, 1)
        if type_ in types:
            events.append(_Event(line, line.integer(line.key), type_, "".join(text)))
    return sorted(events, key=lambda event: event.tick)


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text.strip()


def _resolution(line: _Line | None) -> int:
    if line is None:
        return DEFAULT_RESOLUTION
    resolution = line.integer(_unquote(line.value))
    if resolution == 0:
        raise line.error("a resolution of 0")
    return resolution


def _offset(line: _Line | None) -> float:
    if line is None or not _unquote(line.value):
        return 0.0
    try:
        # Some editors write the decimal comma of their locale.
        offset = float(_unquote(line.value).replace(",", "."))
    except ValueError:
        offset = float("nan")
    if not isfinite(offset):
        raise line.error(f"Offset is a number of seconds, not {line.value[:40]!r}")
    return offset


def _tempo_map(lines: Iterable[_Line], resolution: int) -> TempoMap:
    tempos, meters = [], []
    for event in _events(lines, "B", "TS"):
        if event.type == "B":
            millis = event.integers(1)[0]
            if millis == 0:
                raise event.line.error("a tempo of 0 BPM")
            tempos.append((event.tick, millis / 1000))
        else:
            numerator, *rest = event.integers(1)
            power = rest[0] if rest else 2
            if numerator == 0 or power > 16:
                raise event.line.error(f"no time signature is {numerator} over 2 to the {power}")
            meters.append((event.tick, numerator, 2**power))
    return TempoMap(resolution, tuple(tempos), tuple(meters))


def _global_events(lines: Iterable[_Line]) -> tuple[list[tuple[int, str]], int | None]:
    names, end_tick = [], None
    for event in _events(lines, "E"):
        text = _unquote(event.text)
        if (name := section_name(text)) is not None:
            names.append((event.tick, name))
        elif text.strip("[]") == "end":
            end_tick = event.tick
    return names, end_tick


def _track(lines: Iterable[_Line], instrument: Instrument, difficulty: Difficulty, threshold: int) -> Track:
    lanes: dict[int, dict[int, int]] = defaultdict(dict)
    flipped, tapped = set(), set()
    star_power, solos = [], []
    solo_start = None
    for event in _events(lines, "N", "S", "E"):
        if event.type == "E":
            text = _unquote(event.text)
            if text == "solo" and solo_start is None:
                solo_start = event.tick
            elif text == "soloend" and solo_start is not None:
                # The end event's own tick is still solo.
                solos.append(Phrase(solo_start, event.tick - solo_start + 1))
                solo_start = None
            continue
        value, length = event.integers(2)[:2]
        if event.type == "S":
            if value == STAR_POWER:
                star_power.append(Phrase(event.tick, length))
        elif value == FLIP:
            flipped.add(event.tick)
        elif value == TAP:
            tapped.add(event.tick)
        elif value in LANE_OF_VALUE:
            struck = lanes[event.tick]
            lane = LANE_OF_VALUE[value]
            struck[lane] = max(length, struck.get(lane, 0))
    ticks = list(lanes)
    chords = [tuple(sorted(lanes[tick])) for tick in ticks]
    notes = []
    for tick, chord, natural in zip(ticks, chords, natural_hopos(ticks, chords, threshold)):
        kind = Kind.TAP if tick in tapped else Kind(natural != (tick in flipped))
        sustains = tuple(lanes[tick][lane] for lane in chord)
        notes.append(Note(tick, chord, max(sustains), kind, sustains))
    return Track(instrument, difficulty, tuple(cut_sustains(notes)), tuple(star_power), tuple(solos))


# Writing


def _song_lines(chart: Chart) -> list[str]:
    texts = {key: one_line(chart.metadata.get(key, "")) for key in TEXT_KEYS}
    if texts["year"]:
        texts["year"] = f", {texts['year']}"
    lines = [f'{TEXT_KEYS[key]} = "{value}"' for key, value in texts.items() if value]
    offset = f"{chart.offset:.6f}".rstrip("0").rstrip(".")
    return [*lines, f"Offset = {offset}", f"Resolution = {chart.tempo_map.resolution}"]


def _sync_lines(tempo_map: TempoMap) -> list[str]:
    lines = []
    for tick, numerator, denominator in tempo_map.meters:
        power = denominator.bit_length() - 1
        if denominator != 2**power:
            raise ChartError(f"a .chart holds no {numerator}/{denominator} time", position=f"tick {tick}")
        lines.append((tick, 0, f"{tick} = TS {numerator}" + (f" {power}" if power != 2 else "")))
    for tick, bpm in tempo_map.tempos:
        millis = round(bpm * 1000)
        if not 1 <= millis <= MAX_NUMBER:
            raise ChartError(f"a .chart holds no tempo of {bpm} BPM", position=f"tick {tick}")
        lines.append((tick, 1, f"{tick} = B {millis}"))
    return [text for _, _, text in sorted(lines)]


def _event_lines(chart: Chart) -> list[str]:
    lines = [(tick, f'{tick} = E "section {one_line(name)}"') for tick, name in chart.sections]
    if chart.end_tick is not None:
        lines.append((chart.end_tick, f'{chart.end_tick} = E "end"'))
    return [text for _, text in sorted(lines, key=lambda line: line[0])]


def _track_lines(track: Track, resolution: int) -> list[str]:
    lines = []
    ticks, chords = [note.tick for note in track.notes], [note.lanes for note in track.notes]
    for note, natural in zip(track.notes, natural_hopos(ticks, chords, hopo_threshold(resolution))):
        for lane, length in zip(note.lanes, note.sustains):
            if lane not in VALUE_OF_LANE:
                raise ChartError(f"five-fret tracks have no lane {lane}", position=f"tick {note.tick}")
            lines.append((note.tick, 0, f"N {VALUE_OF_LANE[lane]} {length}"))
        if note.kind is Kind.TAP:
            lines.append((note.tick, 1, f"N {TAP} 0"))
        elif (note.kind is Kind.HOPO) != natural:
            lines.append((note.tick, 1, f"N {FLIP} 0"))
    lines += [(phrase.tick, 2, f"S {STAR_POWER} {phrase.length}") for phrase in track.star_power]
    for solo in track.solos:
        lines += [(solo.tick, 3, "E solo"), (solo.end - 1, 4, "E soloend")]
    return [f"{tick} = {text}" for tick, _, text in sorted(lines)]
