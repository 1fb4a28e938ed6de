"""Scores of MIDI files: what people wrote for bands, to be played and charted as the songs of `composition` are.

Follows the Standard MIDI Files 1.0 and General MIDI 1 specifications.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np

from ..charts import Instrument, TempoMap
from .composition import LONGEST_SECONDS
from .score import PARTS, RESOLUTION, Placed, Riff, Score, Section
from .soundfont import DRUM_CHANNEL, DRUMS, MUTED_GUITAR
from .synthetic import Meter, Note

CLEAN_GUITARS, GUITARS, BASSES = range(24, 28), range(24, 32), range(32, 40)
DISTORTED_GUITAR = 30
VOICES = (*range(52, 55), *range(64, 80), 85)
"""Choirs and what is blown."""

FINEST = 24
"""Parts of a beat that notes are moved to."""

ON_BEAT = 0.7
"""The share of notes near sixteenths or triplets that a piece has, at least, if its beats are those of its file."""

NEAR = 0.03  # beats
SECTION_BARS, PHRASE_BARS = 8, 2
LEAST_NOTES = 100
LEAST_ONSETS = 20  # of a part
LARGEST_FILE = 64 << 20  # bytes
MOST_NOTES, MOST_BEATS, MOST_CHANGES = 100_000, 20_000, 10_000  # the last of tempo and meter
STRETCH, TRANSPOSED = 0.15, 3
"""How much faster or slower, as a share, and how many semitones higher or lower a piece is played, at most."""

OTHER_DRUMS = {37: "snare", 39: "snare", 44: "hat", 53: "ride", 55: "crash"}
DRUM_OF = {note: name for name, notes in DRUMS.items() for note in notes} | OTHER_DRUMS


@dataclass(frozen=True, slots=True)
class Struck:
    """A note of a file; times in beats (quarter notes)."""

    start: float
    end: float
    pitch: int
    velocity: int
    channel: int
    program: int


def midi_pieces(paths: Sequence[str | os.PathLike[str]]) -> list[tuple[str, bytes]]:
    """Title and bytes of the MIDI files at some paths, each piece once: files, folders of them, and WAD archives.

    Raises:
        ValueError: a path without any, a file of more than 64 MiB, or a broken archive.
        OSError: it cannot be read.
    """
    pieces: dict[bytes, str] = {}
    for path in map(Path, paths):
        before = len(pieces)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix.lower() not in (".mid", ".midi", ".wad"):
                continue
            if file.stat().st_size > LARGEST_FILE:
                raise ValueError(f"{file} is larger than {LARGEST_FILE >> 20} MiB")
            data = file.read_bytes()
            lumps = _wad_lumps(data, file) if file.suffix.lower() == ".wad" else [(file.stem, data)]
            for title, lump in lumps:
                if lump.startswith(b"MThd"):
                    pieces.setdefault(lump, title)
        if len(pieces) == before:
            raise ValueError(f"there are no MIDI files at {path}, or none but those named before")
    return [(title, data) for data, title in pieces.items()]


def _wad_lumps(data: bytes, file: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of what a Doom archive holds: a directory of 16 bytes an entry, little-endian."""
    count, directory = (int.from_bytes(data[i : i + 4], "little") for i in (4, 8))
    if data[1:4] != b"WAD" or directory + 16 * count > len(data):
        raise ValueError(f"{file} is no WAD archive, or broken")
    total = 0
    for entry in (data[i : i + 16] for i in range(directory, directory + 16 * count, 16)):
        start, length = int.from_bytes(entry[:4], "little"), int.from_bytes(entry[4:8], "little")
        total += length
        if total > len(data):  # entries that share bytes could be any amount
            raise ValueError(f"{file} is no WAD archive, or broken")
        yield entry[8:].split(b"\0")[0].decode("ascii", "replace"), data[start : start + length]


def midi_score(data: bytes, title: str, seed: int) -> Score:
    """A piece as the band of made songs plays it.

    The guitar with the most notes is the lead, the next one the rhythm, and a third or what doubles another is charted
    by nobody. Where the lead rests for a phrase it plays with the rhythm, as human charts of a lead go on with the
    guitar that is heard. A piece without guitars is about its keys, or else its bass.

    Args:
        data: a MIDI file.
        title: of the piece.
        seed: of how it is played: how much faster and higher than written, and, later, its sound.

    Raises:
        ValueError: no MIDI file, one with hardly any notes, or one whose notes are not on its beats, as in files that
            were recorded without a click.
    """
    rng = np.random.default_rng([6, seed])
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        struck, tempos, meters = _read(file)
    except (OSError, EOFError, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{title} is no MIDI file that can be read: {error}") from None
    if len(struck) < LEAST_NOTES:
        raise ValueError(f"{title} has only {len(struck)} notes")
    if len(struck) > MOST_NOTES or struck[-1].start > MOST_BEATS or len(tempos) + len(meters) > MOST_CHANGES:
        raise ValueError(f"{title} is longer, or denser, than music")
    starts = np.array([note.start for note in struck])
    on_beat = np.minimum(*(np.abs(starts * parts - np.rint(starts * parts)) / parts for parts in (4, 3))) < NEAR
    if on_beat.mean() < ON_BEAT:
        raise ValueError(f"{title} is not played on its beats: {on_beat.mean():.0%} of its notes are")

    written = TempoMap(RESOLUTION, tuple((round(beat * RESOLUTION), bpm) for beat, bpm in tempos))
    if written.seconds(starts[-1] * RESOLUTION) > LONGEST_SECONDS / 2:
        raise ValueError(f"{title} is longer than {LONGEST_SECONDS / 120:.0f} minutes")

    faster = float(np.exp(rng.uniform(-1.0, 1.0) * np.log1p(STRETCH)))
    higher = int(rng.integers(-TRANSPOSED, TRANSPOSED + 1))
    tempos = [(beat, bpm * faster) for beat, bpm in tempos]
    sections, shift = _sections(struck, tempos, meters)
    tempo_map = TempoMap(
        RESOLUTION,
        tuple((max(0, round((beat + shift) * RESOLUTION)) if beat else 0, bpm) for beat, bpm in tempos),
        tuple((section.tick, *section.signature) for section in sections),
    )
    band = _band(struck)
    parts = {name: _placed(rng, band.get(name, []), sections, shift, higher) for name in PARTS}
    if parts["rhythm"]:
        pairs = zip(parts["lead"], parts["rhythm"], strict=True)
        parts["lead"] = tuple(own if any(own.riff.phrases) else other for own, other in pairs)
    featured = next((name for name in ("lead", "keys", "bass") if parts[name]), None)
    if featured is None:
        raise ValueError(f"{title} has neither guitar, keys nor bass")
    drums = tuple(
        (_tick(note.start, shift), DRUM_OF[note.pitch], note.velocity / 127)
        for note in struck
        if note.channel == DRUM_CHANNEL and note.pitch in DRUM_OF
    )
    featured = Instrument[featured.upper()]
    distorted = np.mean([note.program == DISTORTED_GUITAR for note in band.get("lead", struck)]) > 0.5
    style = "heavy" if distorted else "rock"
    return Score(seed, style, featured, tempo_map, tuple(sections), parts, drums, title)


def _read(file: mido.MidiFile) -> tuple[list[Struck], list[tuple[float, float]], list[tuple[float, int, int]]]:
    """Notes, tempos (beat, quarter notes per minute) and time signatures (beat, numerator, denominator)."""
    if file.ticks_per_beat < 1:
        raise ValueError("its time is not counted in beats")
    struck, tempos, meters = [], [(0.0, 120.0)], [(0.0, 4, 4)]
    programs: dict[int, int] = defaultdict(int)
    held: dict[tuple[int, int], list[tuple[float, int, int]]] = defaultdict(list)
    beat = 0.0
    for message in mido.merge_tracks(file.tracks):
        beat += message.time / file.ticks_per_beat
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type == "set_tempo":
            tempos.append((beat, mido.tempo2bpm(message.tempo)))
        elif message.type == "time_signature":
            meters.append((beat, message.numerator, message.denominator))
        elif message.type in ("note_on", "note_off"):
            key = (message.channel, message.note)
            if message.type == "note_on" and message.velocity:
                held[key].append((beat, message.velocity, programs[message.channel]))
            elif held[key]:
                start, velocity, program = held[key].pop(0)
                struck.append(Struck(start, beat, message.note, velocity, message.channel, program))
    return sorted(struck, key=lambda note: (note.start, note.pitch)), tempos, meters


def _sections(
    struck: Sequence[Struck], tempos: Sequence[tuple[float, float]], meters: Sequence[tuple[float, int, int]]
) -> tuple[list[Section], float]:
    """The sections of a piece, after an empty one, and how many beats later than in the file its notes are."""
    signatures = [(beat, beats, unit) for beat, beats, unit in meters if beats and unit in (4, 8)]
    first, end = struck[0].start, max(note.start for note in struck)
    times, bpms = zip(*tempos)
    starts = [note.start for note in struck]
    sections: list[Section] = []
    begins = [beat for beat, *_ in signatures if beat <= first][-1]
    for (beat, beats, unit), (until, *_) in pairwise([*signatures, (end + 1e-6, 0, 0)]):
        bar_beats = 4.0 * beats / unit
        # From the bar in which the first note is.
        beat = max(beat, begins + (first - begins) // bar_beats * bar_beats)
        bars = int(np.ceil((until - beat) / bar_beats))
        while bars > 0:
            bpm = bpms[max(int(np.searchsorted(times, beat, side="right")) - 1, 0)]
            meter = Meter(bpm * unit / 4, 4 if unit == 4 else 2, beats, 0.0, 0.0)
            taken = min(bars, SECTION_BARS)
            if not sections:
                lead_in = int(np.ceil(1.01 / (meter.bar * meter.step)))
                shift = lead_in * bar_beats - beat
                sections.append(Section("count-in", 0, lead_in, meter, False))
            heard = slice(bisect_left(starts, beat), bisect_left(starts, beat + taken * bar_beats))
            clean = _is_clean(struck[heard])
            sections.append(Section("section", sections[-1].end, taken, meter, clean))
            beat += taken * bar_beats
            bars -= taken
    return sections, shift


def _is_clean(struck: Sequence[Struck]) -> bool:
    """Whether most of the guitars' notes are of undistorted ones."""
    guitars = [note.program in CLEAN_GUITARS for note in struck if _role(note) == "guitar"]
    return bool(guitars) and float(np.mean(guitars)) > 0.5


def _role(note: Struck) -> str:
    """guitar, bass, vocals, drums or keys."""
    if note.channel == DRUM_CHANNEL:
        return "drums"
    for role, programs in (("guitar", GUITARS), ("bass", BASSES), ("vocals", VOICES)):
        if note.program in programs:
            return role
    # Other sounds than instruments begin at 112.
    return "keys" if note.program < 112 else "effects"


def _band(struck: Sequence[Struck]) -> dict[str, list[Struck]]:
    """Who of the band plays which of a piece's notes."""
    channels: dict[tuple[str, int], list[Struck]] = defaultdict(list)
    for note in struck:
        channels[_role(note), note.channel].append(note)
    band: dict[str, list[Struck]] = {}
    played: list[set[tuple[int, int]]] = []
    onsets = {key: {round(note.start * FINEST) for note in notes} for key, notes in channels.items()}
    for key in sorted(channels, key=lambda key: -len(onsets[key])):
        if len(onsets[key]) < LEAST_ONSETS:
            continue
        pitches = {(round(note.start * FINEST), note.pitch % 12) for note in channels[key]}
        names = (key[0],)
        if key[0] == "guitar":
            doubles = any(len(pitches & other) > 0.8 * len(pitches) for other in played)
            names = ("second",) if doubles else ("lead", "rhythm", "second")
            played.append(pitches)
        name = next((name for name in names if name in PARTS and name not in band), None)
        if name:
            band[name] = channels[key]
    return band


def _tick(beat: float, shift: float) -> int:
    """The tick of the score nearest to a beat of the file."""
    return round((beat + shift) * FINEST) * RESOLUTION // FINEST


def _placed(
    rng: np.random.Generator, struck: Sequence[Struck], sections: Sequence[Section], shift: float, higher: int
) -> tuple[Placed, ...]:
    """A part, in phrases of some bars: those of the same notes are the same riff."""
    chords: dict[int, list[Struck]] = defaultdict(list)
    for note in struck:
        chords[_tick(note.start, shift)].append(note)
    ticks = np.array(sorted(chords))
    riffs: dict[tuple, Riff] = {}
    placed = []
    for section in sections[1:]:
        for bar in range(0, section.bars, PHRASE_BARS):
            start = section.tick + bar * section.bar
            length = min(PHRASE_BARS, section.bars - bar) * section.bar
            inside = ticks[np.searchsorted(ticks, start) : np.searchsorted(ticks, start + length)].tolist()
            notes = [_chord(chords[tick], tick - start, section, higher) for tick in inside]
            # However hard and however long it is struck, it is the same riff.
            key = (length, *((note.time, note.root, note.shape) for note in notes))
            if key not in riffs:
                varied = (replace(note, take=int(rng.integers(3))) for note in notes)
                riffs[key] = Riff((tuple(varied),), length)
            placed.append(Placed(start, riffs[key], 0))
    return tuple(placed) if len(ticks) else ()


def _chord(struck: Sequence[Struck], time: int, section: Section, higher: int) -> Note:
    """Notes struck together, as the nearest chord that the band plays."""
    pitches = sorted({note.pitch for note in struck})
    above = {(pitch - pitches[0]) % 12 for pitch in pitches[1:]}
    third = next((shape for interval, shape in ((3, "minor"), (4, "major")) if interval in above), None)
    shape = third or ("fifth" if above & {5, 7} else "octave" if 0 in above else "single")
    lowest = struck[0]
    length = max(round((max(note.end for note in struck) - lowest.start) * RESOLUTION), RESOLUTION // FINEST)
    at = time % section.bar
    beat = section.step * section.meter.per_beat
    weight = next(
        weight
        for weight, unit in ((4, section.bar), (3, 2 * beat), (2, beat), (1, beat // 2), (0, 1))
        if at % unit == 0 and (weight != 3 or section.meter.beats == 4)
    )
    return Note(
        time,
        length,
        pitches[0] + higher,
        shape,
        muted=lowest.program == MUTED_GUITAR,
        velocity=max(note.velocity for note in struck) / 127,
        weight=weight,
    )
