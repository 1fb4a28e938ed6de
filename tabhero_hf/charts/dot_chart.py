"""Reads and writes ``notes.chart``.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats).
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from .assembly import Markers, ReadingRules, assemble_track, disjoint_phrases
from .errors import ChartError
from .hopo import hopo_threshold, natural_hopos
from .notes import OPEN_LANE, Chart, Difficulty, Event, Instrument, Kind, Phrase, Track
from .packed import write_bytes
from .tempo import TempoMap, add_latest
from .text_files import MAX_NUMBER, MAX_SECONDS, MAX_TEXTS, decode_text, one_line, read_bounded, section_name

DEFAULT_RESOLUTION = 192

SECTION_NAMES = {
    Instrument.LEAD: "Single",
    Instrument.COOP: "DoubleGuitar",
    Instrument.BASS: "DoubleBass",
    Instrument.RHYTHM: "DoubleRhythm",
    Instrument.KEYS: "Keyboard",
    Instrument.GHL_LEAD: "GHLGuitar",
    Instrument.GHL_BASS: "GHLBass",
    Instrument.GHL_RHYTHM: "GHLRhythm",
    Instrument.GHL_COOP: "GHLCoop",
}
TRACK_SECTIONS = {
    f"{difficulty.name.capitalize()}{name}": (instrument, difficulty)
    for instrument, name in SECTION_NAMES.items()
    for difficulty in Difficulty
}

OTHER_TRACK = re.compile(f"(?:{'|'.join(difficulty.name.capitalize() for difficulty in Difficulty)})(.+)")
"""A section of notes, of whatever instrument."""

FLIP, TAP, OPEN, BLACK_3 = 5, 6, 7, 8
STAR_POWER = 2
LANE_OF_VALUE = {
    False: {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, OPEN: OPEN_LANE},
    True: {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, BLACK_3: 5, OPEN: OPEN_LANE},
}
"""What a note's value strikes, on five frets and on six."""
VALUE_OF_LANE = {six: {lane: value for value, lane in lanes.items()} for six, lanes in LANE_OF_VALUE.items()}

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

SONG_KEYS = {**TEXT_KEYS, "resolution": "Resolution", "offset": "Offset", "previewstart": "PreviewStart"}
"""All that are read."""

MAX_WARNINGS = 50
MAX_SECTIONS = 1000

HEADER = re.compile(r"^[ \t]*\[([^\n]*)\][ \t{]*$", re.MULTILINE)
FOOTER = re.compile(r"^[ \t]*\}", re.MULTILINE)
NUMBER = r"(\d{1,10})"
# One of: N value [length] | S value [length] | E text | some other event | anything else. Which one it was is told by
# the last group that took part.
TRACK_LINE = re.compile(
    rf"^[ \t]*(?:{NUMBER}[ \t]*=[ \t]*(?:"
    rf"N[ \t]+{NUMBER}(?:[ \t]+{NUMBER})?[ \t]*$|"
    rf"S[ \t]+{NUMBER}(?:[ \t]+{NUMBER})?[ \t]*$|"
    r"E[ \t]+([^\n]*)$|(?![NSE]\b)([A-Za-z][^\n]*)$)|([^\s{][^\n]*)$)",
    re.MULTILINE | re.ASCII,
)
NOTE_WITHOUT_LENGTH, NOTE, PHRASE_WITHOUT_LENGTH, PHRASE, TEXT, OTHER, BROKEN = 2, 3, 4, 5, 6, 7, 8
# One of: B tempo | TS numerator [power] | some other event | anything else.
SYNC_LINE = re.compile(
    rf"^[ \t]*(?:{NUMBER}[ \t]*=[ \t]*(?:"
    rf"B[ \t]+{NUMBER}[ \t]*$|TS[ \t]+{NUMBER}(?:[ \t]+{NUMBER})?[ \t]*$|"
    r"(?!(?:B|TS)\b)([A-Za-z][^\n]*)$)|([^\s{][^\n]*)$)",
    re.MULTILINE | re.ASCII,
)
TEMPO, METER_WITHOUT_POWER, METER, OTHER_SYNC = 2, 3, 4, 5


def read_chart(path: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> Chart:
    """Reads a ``.chart`` file; see :func:`parse_chart`.

    Raises:
        ChartError: not a chart that can be read. Names the file and the line.
    """
    try:
        return parse_chart(read_bounded(path), settings)
    except ChartError as error:
        raise error.located(path) from error.__cause__


def parse_chart(data: bytes, settings: Mapping[str, str] | None = None) -> Chart:
    """Reads the bytes of a ``.chart`` file.

    Args:
        data: the file, in any of the encodings of :func:`~tabhero_hf.charts.text_files.decode_text`.
        settings: the song's ``song.ini`` where it has one: ``hopo_frequency``, ``eighthnote_hopo``,
            ``sustain_cutoff_threshold`` and ``chord_snap_threshold`` change what a player sees.

    Returns:
        Its tracks that have notes, with the kind of each note as the player sees it. ``offset`` is the file's
        ``Offset``. Sections, events and keys that are not known are left out; a line that cannot be read is left out
        too and told of in ``warnings``.

    Raises:
        ChartError: it has no section, or its resolution, a tempo or a time signature is impossible. Names the line.
    """
    return _Reader(decode_text(data).replace("\r\n", "\n").replace("\r", "\n")).chart(settings)


def write_chart(chart: Chart, path: str | os.PathLike[str]) -> None:
    """Writes a chart as a ``.chart`` file, UTF-8; see :func:`format_chart`.

    Raises:
        ChartError: a time signature or tempo that the format does not hold.
        OSError: the file cannot be written.
    """
    write_bytes(path, format_chart(chart).encode())


def format_chart(chart: Chart) -> str:
    """A chart as the text of a ``.chart`` file.

    The flip ``N 5`` is written only where a note's kind differs from the natural one, so that a player sees the kinds
    of ``chart`` (without HOPO settings in ``song.ini``). Tempos are rounded to the 0.001 BPM that the format holds.

    Raises:
        ChartError: a time signature or tempo that the format does not hold.
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


@dataclass(slots=True)
class _Reader:
    text: str
    warnings: list[str] = field(default_factory=list)

    def chart(self, settings: Mapping[str, str] | None) -> Chart:
        sections = self.sections()
        if not sections:
            raise ChartError("not a .chart file: it has no [Section]")
        song = self.song(*sections.get("Song", (0, 0)))
        resolution = self.resolution(song)
        tempo_map = self.tempo_map(*sections.get("SyncTrack", (0, 0)), resolution)
        events = self.events(*sections.get("Events", (0, 0)))
        rules = ReadingRules.of(resolution, settings, midi=False)
        tracks = {
            key: self.track(*sections[name], *key, rules) for name, key in TRACK_SECTIONS.items() if name in sections
        }
        metadata = {key: song[key][0] for key in TEXT_KEYS if song.get(key, ("",))[0]}
        if "year" in metadata:
            metadata["year"] = metadata["year"].removeprefix(",").strip()
        if preview := self.seconds(song, "previewstart"):
            metadata["preview_start_time"] = str(round(1000 * preview))
        return Chart(
            tempo_map,
            {key: track for key, track in tracks.items() if track},
            **_sorted_out(events),
            metadata=metadata,
            offset=self.seconds(song, "offset"),
            warnings=tuple(self.warnings),
            left_out=self.left_out(sections),
        )

    def left_out(self, sections: dict[str, tuple[int, int]]) -> tuple[str, ...]:
        """The instruments with notes that are none of ours."""
        names = {}
        for name, (start, end) in sections.items():
            track = OTHER_TRACK.fullmatch(name)
            if track and name not in TRACK_SECTIONS and re.search(r"=\s*N\s", self.text[start:end]):
                names[track[1]] = None
        return tuple(names)

    def line(self, position: int) -> str:
        return f"line {self.text.count(chr(10), 0, position) + 1}"

    def warn(self, position: int, reason: str) -> None:
        # Finding the line's number reads the text up to there, so a file of broken lines must not ask for it often.
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(f"{self.line(position)}: {reason}")
        elif len(self.warnings) == MAX_WARNINGS:
            self.warnings.append("and more")

    def sections(self) -> dict[str, tuple[int, int]]:
        """Where the text of each section starts and ends; of two with one name the last counts."""
        sections: dict[str, tuple[int, int]] = {}
        header = HEADER.search(self.text)
        footer = FOOTER.search(self.text)
        while header:
            name = header[1].strip()
            following = HEADER.search(self.text, header.end())
            if footer and footer.start() < header.end():
                footer = FOOTER.search(self.text, header.end())
            next_start = following.start() if following else len(self.text)
            end = min(footer.start() if footer else len(self.text), next_start)
            if not footer or footer.start() > next_start:
                self.warn(
                    header.start(), f"[{name[:40]}] does not end" + ("" if following else ": the file is cut off")
                )
            if name in sections:
                self.warn(header.start(), f"a second [{name[:40]}], which counts instead of the first")
            if len(sections) == MAX_SECTIONS:
                raise ChartError(f"more than {MAX_SECTIONS} sections", position=self.line(header.start()))
            sections[name] = (header.end(), end)
            header = following
        return sections

    def song(self, start: int, end: int) -> dict[str, tuple[str, int]]:
        """Value and position of each key, in lower case."""
        values = {}
        for line in re.finditer(r"^([^=\n]*)=([^\n]*)$", self.text[start:end], re.MULTILINE):
            key = line[1].strip().lower()
            if key in SONG_KEYS:
                values[key] = (_unquoted(line[2].strip()).strip(), start + line.start())
        return values

    def resolution(self, song: dict[str, tuple[str, int]]) -> int:
        text, position = song.get("resolution", (str(DEFAULT_RESOLUTION), 0))
        # Some editors write it as a real number.
        digits = re.fullmatch(r"(\d{1,10})(?:\.0*)?", text, re.ASCII)
        if not digits or not 0 < int(digits[1]) <= MAX_NUMBER:
            raise ChartError(
                f"Resolution is a whole number of ticks from 1 on, not {text[:40]!r}", position=self.line(position)
            )
        return int(digits[1])

    def seconds(self, song: dict[str, tuple[str, int]], key: str) -> float:
        text, position = song.get(key, ("", 0))
        if not text:
            return 0.0
        try:
            # Some editors write the decimal comma of their locale.
            seconds = float(text.replace(",", "."))
        except ValueError:
            seconds = float("nan")
        if not abs(seconds) <= MAX_SECONDS:
            self.warn(position, f"{SONG_KEYS[key]} is a number of seconds, a day at most, not {text[:40]!r}")
            return 0.0
        return seconds

    def tempo_map(self, start: int, end: int, resolution: int) -> TempoMap:
        tempos, meters = [], []
        for line in SYNC_LINE.finditer(self.text, start, end):
            kind = line.lastindex
            if kind == TEMPO:
                if not int(line[2]):
                    raise ChartError("a tempo of 0 BPM", position=self.line(line.start()))
                add_latest(tempos, (int(line[1]), int(line[2]) / 1000))
            elif kind in (METER_WITHOUT_POWER, METER):
                numerator, power = int(line[3]), int(line[4] or 2)
                if not numerator:
                    raise ChartError("a time signature of 0 beats", position=self.line(line.start()))
                if power > 31:
                    self.warn(line.start(), f"no time signature has a denominator of 2 to the {power}")
                    continue
                add_latest(meters, (int(line[1]), numerator, 2**power))
            elif kind != OTHER_SYNC:
                self.warn(line.start(), f"not understood: {line[0].strip()[:40]!r}")
        return TempoMap(resolution, tuple(tempos), tuple(meters))

    def events(self, start: int, end: int) -> Iterator[Event]:
        count = 0
        for line in TRACK_LINE.finditer(self.text, start, end):
            if line.lastindex == TEXT:
                count += 1
                if count > MAX_TEXTS:
                    raise ChartError(f"more than {MAX_TEXTS} events", position=self.line(line.start()))
                yield Event(int(line[1]), _unquoted(line[6].strip()))
            elif line.lastindex == BROKEN:
                self.warn(line.start(), f"not understood: {line[0].strip()[:40]!r}")

    def track(
        self, start: int, end: int, instrument: Instrument, difficulty: Difficulty, rules: ReadingRules
    ) -> Track | None:
        lane_of_value = LANE_OF_VALUE[instrument.six_fret]
        ticks, lanes, lengths, flips, taps = array("q"), array("b"), array("q"), array("q"), array("q")
        phrases, phrase_lengths = array("q"), array("q")
        solo_events: list[tuple[int, str]] = []
        for line in TRACK_LINE.finditer(self.text, start, end):
            kind = line.lastindex
            if kind == NOTE or kind == NOTE_WITHOUT_LENGTH:
                tick, value, length = line.group(1, 2, 3)
                tick, value, length = int(tick), int(value), int(length or 0)
                if tick + length > MAX_NUMBER:
                    self.warn(line.start(), f"a note that ends after tick {MAX_NUMBER}")
                elif value in lane_of_value:
                    ticks.append(tick)
                    lanes.append(lane_of_value[value])
                    lengths.append(length)
                elif value == FLIP:
                    flips.append(tick)
                elif value == TAP:
                    taps.append(tick)
            elif kind == PHRASE or kind == PHRASE_WITHOUT_LENGTH:
                if int(line[4]) == STAR_POWER:
                    phrases.append(int(line[1]))
                    phrase_lengths.append(int(line[5] or 0))
            elif kind == TEXT:
                text = _unquoted(line[6].strip())
                if text in ("solo", "soloend"):
                    solo_events.append((int(line[1]), text))
            elif kind == BROKEN:
                self.warn(line.start(), f"not understood: {line[0].strip()[:40]!r}")
        columns = (np.array(ticks), np.array(lanes), np.array(lengths))
        markers = Markers(flips=_at(flips), taps=_at(taps))
        star_power = disjoint_phrases(phrases, phrase_lengths)
        return assemble_track(instrument, difficulty, columns, markers, rules, star_power, _solos(solo_events))


def _at(ticks: array) -> np.ndarray:
    """Markers of single ticks."""
    ticks = np.unique(np.array(ticks))
    return np.stack([ticks, ticks + 1], axis=1)


def _unquoted(text: str) -> str:
    """Text without its outer quotes; those inside are data."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _solos(events: list[tuple[int, str]]) -> tuple[Phrase, ...]:
    solos, lengths, starts = [], [], []
    for tick, text in sorted(events, key=lambda event: event[0]):
        if text == "solo":
            starts.append(tick)
        elif starts:
            solos.append(starts.pop())
            # The end event's own tick is still solo.
            lengths.append(tick - solos[-1] + 1)
    return disjoint_phrases(solos, lengths)


def _sorted_out(events: Iterator[Event]) -> dict[str, tuple]:
    """The texts of ``[Events]`` by what they mean, as fields of a chart."""
    sections, lyrics, phrases, others, ends = [], [], [], [], []
    phrase_start = None
    for tick, text in sorted(events, key=lambda event: event.tick):
        if (name := section_name(text)) is not None:
            sections.append(Event(tick, name))
        elif text in ("end", "[end]"):
            ends.append(tick)
        elif text in ("phrase_start", "phrase_end"):
            # A line of lyrics also ends where the next one starts.
            if phrase_start is not None and tick > phrase_start:
                phrases.append(Phrase(phrase_start, tick - phrase_start))
            phrase_start = tick if text == "phrase_start" else None
        elif re.match(r"lyric[ \t]", text):
            lyrics.append(Event(tick, text[6:].strip()))
        else:
            others.append(Event(tick, text))
    if phrase_start is not None:  # the last line ends with the song, or with what is sung of it
        end = max([*ends, *(lyric.tick + 1 for lyric in lyrics)], default=phrase_start)
        phrases += [Phrase(phrase_start, end - phrase_start)] if end > phrase_start else []
    return {
        "sections": tuple(sections),
        "lyrics": tuple(lyrics),
        "lyric_phrases": tuple(phrases),
        "events": tuple(others),
        "end_ticks": tuple(ends),
    }


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
    # At one tick a line of lyrics ends before the next one starts, and starts before its syllables.
    phrases = [phrase for phrase in chart.lyric_phrases if phrase.length]
    lines = [(phrase.end, 0, "phrase_end") for phrase in phrases]
    lines += [(phrase.tick, 1, "phrase_start") for phrase in phrases]
    lines += [(tick, 2, f"section {one_line(name)}") for tick, name in chart.sections]
    lines += [(tick, 2, one_line(text)) for tick, text in chart.events]
    lines += [(tick, 2, f"lyric {one_line(text)}") for tick, text in chart.lyrics]
    lines += [(tick, 3, "end") for tick in chart.end_ticks]
    return [f'{tick} = E "{text}"' for tick, _, text in sorted(lines, key=lambda line: line[:2])]


def _track_lines(track: Track, resolution: int) -> list[str]:
    value_of_lane = VALUE_OF_LANE[track.instrument.six_fret]
    natural = natural_hopos(
        [note.tick for note in track.notes], [note.mask for note in track.notes], hopo_threshold(resolution)
    )
    lines = []
    for note, hopo in zip(track.notes, natural.tolist()):
        for lane, length in zip(note.lanes, note.sustains):
            lines.append((note.tick, 0, f"N {value_of_lane[lane]} {length}"))
        if note.kind is Kind.TAP:
            lines.append((note.tick, 1, f"N {TAP} 0"))
        elif (note.kind is Kind.HOPO) != hopo:
            lines.append((note.tick, 1, f"N {FLIP} 0"))
    lines += [(phrase.tick, 2, f"S {STAR_POWER} {phrase.length}") for phrase in track.star_power]
    for solo in track.solos:
        lines += [(solo.tick, 3, "E solo"), (max(solo.end - 1, solo.tick), 4, "E soloend")]
    return [f"{tick} = {text}" for tick, _, text in sorted(lines)]
