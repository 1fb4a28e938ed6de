"""What makes a chart bad: the rules that Chorus Encore shows, after scan-chart (github.com/Geomitron/scan-chart)."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .album_art import SIZE
from .errors import ChartError
from .metadata import DIFFICULTY_KEYS, PLACEHOLDERS
from .notes import OPEN_LANE, Chart, Difficulty, Instrument, Kind, Note, Phrase, Track
from .packed import open_content
from .tempo import DEFAULT_METER, DEFAULT_TEMPO, TempoMap

if TYPE_CHECKING:
    from .song_folder import Song

LEADING_SILENCE = 1.0
BROKEN_NOTE = 0.015
SUSTAIN_GAP = 0.040
SHORTEST_SUSTAIN = 0.100
STAR_POWER_NOTES, STAR_POWER_SECONDS = 50, 60.0
NOT_REDUCED_NOTES = 20
SIX_FRET_CHORD = 3

TOLERANCE = 1e-7
"""Seconds by which a time may miss one of these limits: more than rounding makes, less than anybody hears."""

GREEN, RED, YELLOW, BLUE, ORANGE = range(5)
FIVE_FRETS = frozenset(range(5))
FORBIDDEN = {
    Difficulty.EASY: ({BLUE}, {ORANGE}),
    Difficulty.MEDIUM: ({ORANGE}, {GREEN, BLUE}),
    Difficulty.HARD: ({GREEN, ORANGE},),
    Difficulty.EXPERT: (),
}
"""Frets that a five-fret difficulty does not have, or not together."""

FIVE_FRET_NAMES = ("green", "red", "yellow", "blue", "orange", "", "open")
SIX_FRET_NAMES = ("white 1", "white 2", "white 3", "black 1", "black 2", "black 3", "open")

PICTURE_BYTES = 2**20
"""How far into a picture its size is looked for; pictures embedded in its header come before it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a chart that players or other tools object to.

    Args:
        rule: its name, as scan-chart has it.
        tick: where; ``None`` where it is about a whole track or song.
        seconds: the same in the chart's time, from tick 0: ``chart.offset`` more is the audio's.
        instrument, difficulty: of which track; ``None`` where it is about all of them.
        message: one sentence that says where and what.
    """

    rule: str
    tick: int | None
    seconds: float | None
    instrument: Instrument | None
    difficulty: Difficulty | None
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.rule})"


class Fault(NamedTuple):
    """A problem before it is put into words for a track."""

    rule: str
    text: str
    tick: int | None = None


def check(chart: Chart) -> list[Problem]:
    """The problems of a chart, song-wide ones first, then by track and tick."""
    found = [(fault, None, None) for fault in _song_faults(chart)]
    charted = {track.instrument for track in chart.tracks.values() if track.notes}
    for instrument in charted:
        expert = chart.tracks.get((instrument, Difficulty.EXPERT))
        if not (expert and expert.notes):
            found.append((Fault("noExpert", "there are easier difficulties, but no Expert"), instrument, None))
    for track in chart.tracks.values():
        expert = chart.tracks.get((track.instrument, Difficulty.EXPERT))
        faults = _track_faults(track, expert, chart.tempo_map)
        found += [(fault, track.instrument, track.difficulty) for fault in faults]
    problems = [
        Problem(fault.rule, *describe(fault.text, chart.tempo_map, instrument, difficulty, fault.tick))
        for fault, instrument, difficulty in found
    ]
    return sorted(problems, key=place)


def check_song(song: Song) -> list[Problem]:
    """The problems of a song: those of its chart, its metadata, its album art and its audio."""
    found = [(fault, None) for fault in (*_album_faults(song), *_audio_faults(song), *_end_faults(song))]
    for key, placeholder in PLACEHOLDERS.items():
        if song.metadata.get(key, "").strip() in ("", placeholder):
            found.append((Fault("missingValue", f"song.ini does not say the song's {key}"), None))
    charted = {track.instrument for track in song.chart.tracks.values() if track.notes}
    for key, instrument in DIFFICULTY_KEYS.items():
        if instrument in charted and song.metadata.get(key, "").strip() in ("", "-1"):
            found.append((Fault("missingValue", f"song.ini does not say how hard it is ({key})"), instrument))
    problems = [
        Problem(fault.rule, *describe(fault.text, song.chart.tempo_map, instrument, tick=fault.tick))
        for fault, instrument in found
    ]
    return sorted(check(song.chart) + problems, key=place)


# The rules


def _song_faults(chart: Chart) -> Iterator[Fault]:
    tempo_map = chart.tempo_map
    if not any(track.notes for track in chart.tracks.values()):
        yield Fault("noNotes", "the chart has no notes")
    if not chart.sections:
        yield Fault("noSections", "the chart has no practice sections")
    tempos = [round(bpm, 9) for _, bpm in tempo_map.tempos]
    if tempos == [DEFAULT_TEMPO] and tempo_map.meters == ((0, *DEFAULT_METER),):
        text = "the whole chart is at 120 BPM in 4/4, as charts are before their tempo is set to the music's"
        yield Fault("isDefaultBPM", text)

    start, *meter = tempo_map.meters[0]
    for tick, *following in tempo_map.meters[1:]:
        if (tick - start) % whole_tick_measures(tempo_map.resolution, *meter):
            text = "the change to {}/{} time is not at the start of a measure".format(*following)
            yield Fault("misalignedTimeSignature", text, tick)
        else:
            # What comes after a misaligned one counts from the last that was not.
            start, meter = tick, following

    end, *others = sorted(chart.end_ticks) or [None]
    last = max((track.notes[-1].tick for track in chart.tracks.values() if track.notes), default=0)
    if end is not None and end < last:
        text = f"the song ends here, before its last note at {clock(tempo_map.seconds(last))}"
        yield Fault("badEndEvent", text, end)
    for tick in others:
        yield Fault("badEndEvent", "the song has already ended, and ends here again", tick)


def _track_faults(track: Track, expert: Track | None, tempo_map: TempoMap) -> Iterator[Fault]:
    notes = track.notes
    ticks = np.array([note.tick for note in notes], dtype=np.int64)
    yield from _phrase_faults(track, ticks)
    if not notes:
        return
    seconds = tempo_map.seconds(ticks)
    if lacks_star_power(track, tempo_map):
        yield Fault("noStarPower", f"no star power in {len(notes)} notes over {seconds[-1] - seconds[0]:.0f} s")
    if expert and track.difficulty != Difficulty.EXPERT and len(notes) > NOT_REDUCED_NOTES and _same(track, expert):
        yield Fault("difficultyNotReduced", "its notes are Expert's, none is left out")
    if seconds[0] < LEADING_SILENCE - TOLERANCE:
        yield Fault("smallLeadingSilence", "the first note comes less than 1 s after the chart's start", notes[0].tick)

    for note in notes:
        for fault in chord_faults(note.lanes, track.instrument.six_fret, track.difficulty):
            yield fault._replace(tick=note.tick)
    for earlier, later, apart in zip(notes, notes[1:], np.diff(seconds).tolist()):
        if is_broken(earlier, later, apart):
            yield Fault("brokenNote", f"a note only {_ms(apart)} after another, too close to be meant", later.tick)
    yield from _sustain_faults(notes, ticks, seconds, tempo_map)


def _phrase_faults(track: Track, ticks: np.ndarray) -> Iterator[Fault]:
    for phrase in track.star_power:
        if not holds_notes(phrase, ticks):
            yield Fault("emptyStarPower", "a star power phrase without notes", phrase.tick)
    for phrase in track.solos:
        if not holds_notes(phrase, ticks):
            yield Fault("emptySoloSection", "a solo without notes", phrase.tick)


def _sustain_faults(
    notes: Sequence[Note], ticks: np.ndarray, seconds: np.ndarray, tempo_map: TempoMap
) -> Iterator[Fault]:
    owners, lanes, ends = sustains(notes)
    fretted_ends = np.sort(ends[lanes != OPEN_LANE])
    at = np.searchsorted(fretted_ends, ticks, side="right") - 1
    after = np.flatnonzero(at >= 0)
    gaps = seconds[after] - tempo_map.seconds(fretted_ends[at[after]])
    close = leaves_too_little(gaps)
    for i, gap in zip(after[close].tolist(), gaps[close].tolist()):
        text = f"a note only {_ms(gap)} after a sustain's end; letting go of it takes {_ms(SUSTAIN_GAP)}"
        yield Fault("badSustainGap", text, notes[i].tick)

    short = too_short(notes, owners, ends, tempo_map)
    lengths = tempo_map.seconds(ends[short]) - seconds[owners[short]]
    shortest: dict[int, float] = {}
    for i, length in zip(owners[short].tolist(), lengths.tolist()):
        shortest[i] = min(length, shortest.get(i, length))
    for i, length in shortest.items():
        text = f"a sustain of {_ms(length)} is too short to hold; the shortest is {_ms(SHORTEST_SUSTAIN)}"
        yield Fault("babySustain", text, notes[i].tick)


def _same(track: Track, other: Track) -> bool:
    """Whether two tracks have the same notes, of whatever kind."""
    return len(track.notes) == len(other.notes) and all(
        (a.tick, a.lanes, a.sustains) == (b.tick, b.lanes, b.sustains) for a, b in zip(track.notes, other.notes)
    )


def _audio_faults(song: Song) -> Iterator[Fault]:
    if not song.stems:
        yield Fault("noAudio", "the song has no audio")


def _end_faults(song: Song) -> Iterator[Fault]:
    duration = song.duration or math.inf
    for end in sorted(song.chart.end_ticks)[:1]:
        if song.chart.tempo_map.seconds(end) + song.chart.offset > duration + 1e-6:
            yield Fault("badEndEvent", f"the chart ends here, after the song does at {duration:g} s", end)


def _album_faults(song: Song) -> Iterator[Fault]:
    if song.album is None:
        yield Fault("noAlbumArt", "the song has no album art")
        return
    try:
        with open_content(song.album) as file:
            size = picture_size(file.read(PICTURE_BYTES))
    except (OSError, ChartError):
        size = None
    if size is None:
        yield Fault("albumArtSize", f"the album art, {song.album.name}, is no PNG or JPEG picture that can be read")
    elif size != (SIZE, SIZE):
        yield Fault("albumArtSize", "the album art is {}×{} pixels and not {}×{}".format(*size, SIZE, SIZE))


# What the rules rest on


def whole_tick_measures(resolution: int, numerator: int, denominator: int) -> int:
    """The distance in ticks between the measure lines that fall on whole ticks, the only ones to put anything on."""
    return Fraction(resolution * 4 * numerator, denominator).numerator


def lacks_star_power(track: Track, tempo_map: TempoMap) -> bool:
    """Whether a track is long enough to need star power and has none."""
    if track.star_power or len(track.notes) <= STAR_POWER_NOTES:
        return False
    first, last = tempo_map.seconds([track.notes[0].tick, track.notes[-1].tick])
    return bool(last - first > STAR_POWER_SECONDS + TOLERANCE)


def holds_notes(phrase: Phrase, ticks: Sequence[int]) -> bool:
    """Whether a phrase has one of the ascending ticks in it; one without length has its own tick."""
    return bisect_left(ticks, phrase.tick) < bisect_left(ticks, phrase.tick + max(phrase.length, 1))


@cache
def chord_faults(lanes: tuple[int, ...], six_fret: bool, difficulty: Difficulty) -> tuple[Fault, ...]:
    """Why these lanes are not played together at this difficulty."""
    if six_fret:
        if len(lanes) <= SIX_FRET_CHORD:
            return ()
        return (Fault("invalidChord", f"a chord of {len(lanes)} notes, of which six frets take three at most"),)
    faults = []
    forbidden = next((frets for frets in FORBIDDEN[difficulty] if frets.issubset(lanes)), None)
    if forbidden:
        verb = "is" if len(forbidden) == 1 else "together are"
        text = f"{lane_names(sorted(forbidden), False)} {verb} not for {difficulty.name.capitalize()}"
        faults.append(Fault("difficultyForbiddenNote", text))
    if FIVE_FRETS.issubset(lanes):
        faults.append(Fault("invalidChord", "all five frets at once"))
    return tuple(faults)


def is_broken(earlier: Note, later: Note, apart: float) -> bool:
    """Whether two groups that follow each other, ``apart`` in seconds, are one that came apart."""
    open_after_fret = OPEN_LANE in later.lanes and OPEN_LANE not in earlier.lanes
    return apart <= BROKEN_NOTE + TOLERANCE and not open_after_fret


def sustains(notes: Sequence[Note]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All sustains, one a lane of a note that has one: the note's index, the lane and the tick at which it ends.

    A sustain that runs into the next note of its lane ends there, as it does in the game.
    """
    rows = [(i, note.tick, *held) for i, note in enumerate(notes) for held in zip(note.lanes, note.sustains)]
    owners, starts, lanes, lengths = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    by_lane = np.lexsort((owners, lanes))
    same_lane = np.diff(lanes[by_lane]) == 0
    limits = np.full(len(rows), np.iinfo(np.int64).max)
    limits[by_lane[:-1][same_lane]] = starts[by_lane[1:][same_lane]]
    ends = np.minimum(starts + lengths, limits)
    held = lengths > 0
    return owners[held], lanes[held], ends[held]


def leaves_too_little(gaps: np.ndarray) -> np.ndarray:
    """Whether so many seconds between a sustain's end and the next note are too few to let go."""
    return gaps < SUSTAIN_GAP - TOLERANCE


def last_release(seconds: np.ndarray, tempo_map: TempoMap) -> np.ndarray:
    """The last tick before each of these moments at which a sustain leaves time to let go."""
    latest = tempo_map.ticks(seconds - SUSTAIN_GAP)
    return latest - leaves_too_little(seconds - tempo_map.seconds(latest))


def too_short(notes: Sequence[Note], owners: np.ndarray, ends: np.ndarray, tempo_map: TempoMap) -> np.ndarray:
    """Which sustains are too short to hold.

    Those cut off by an open note that is pulled off to or tapped are not: there is nothing else to do with them.
    """
    starts = np.array([note.tick for note in notes], dtype=np.int64)[owners]
    short = tempo_map.seconds(ends) - tempo_map.seconds(starts) < SHORTEST_SUSTAIN - TOLERANCE
    opens = [note.tick for note in notes if OPEN_LANE in note.lanes and note.kind != Kind.STRUM]
    # One more that no sustain reaches, for those after the last.
    opens = np.array([*opens, np.iinfo(np.int64).max])
    return short & (opens[np.searchsorted(opens, starts, side="right")] > ends)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of the PNG or JPEG picture that begins with these bytes; ``None`` if it is not one."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


# Words


def describe(
    text: str,
    tempo_map: TempoMap,
    instrument: Instrument | None = None,
    difficulty: Difficulty | None = None,
    tick: int | None = None,
) -> tuple[int | None, float | None, Instrument | None, Difficulty | None, str]:
    """Tick, seconds, instrument, difficulty and the sentence for a text about a place in a chart."""
    names = [] if difficulty is None else [difficulty.name.lower()]
    names += [] if instrument is None else [instrument_name(instrument)]
    where = [" ".join(names)] if names else []
    seconds = None if tick is None else float(tempo_map.seconds(tick))
    where += [] if seconds is None else [clock(seconds)]
    sentence = f"{', '.join(where)}: {text}." if where else f"{text}."
    return tick, seconds, instrument, difficulty, sentence[0].upper() + sentence[1:]


def place(problem: Problem) -> list[int]:
    """Where a problem or change comes in order: by track, then tick; what is about all of them first."""
    return [-1 if part is None else part for part in (problem.instrument, problem.difficulty, problem.tick)]


def instrument_name(instrument: Instrument) -> str:
    """As a player calls it: ``co-op``, ``six-fret lead``."""
    return instrument.name.lower().replace("ghl_", "six-fret ").replace("coop", "co-op")


def lane_names(lanes: Sequence[int], six_fret: bool) -> str:
    """``green, red and blue``."""
    *others, last = ((SIX_FRET_NAMES if six_fret else FIVE_FRET_NAMES)[lane] for lane in lanes)
    return f"{', '.join(others)} and {last}" if others else last


def clock(seconds: float) -> str:
    """``1:02.35``."""
    hundredths = round(float(seconds) * 100)
    return f"{hundredths // 6000}:{hundredths % 6000 / 100:05.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.4g} ms"
