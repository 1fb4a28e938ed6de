"""From the notes and markers of a file to a track, by the rules that ``.chart`` and ``.mid`` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .hopo import hopo_threshold, natural_hopos, whole_number
from .notes import OPEN_LANE, Difficulty, Instrument, Kind, Note, Phrase, Track, in_bounds

NUM_LANES = OPEN_LANE + 1
LANES_OF_MASK = tuple(tuple(lane for lane in range(NUM_LANES) if mask >> lane & 1) for mask in range(2**NUM_LANES))
BITS = tuple(2**lane for lane in range(NUM_LANES))
KINDS = tuple(Kind)
NOT_STRUCK = -1
PIECE = 4096


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """What turns a file's notes into what a player sees.

    Args:
        hopo_threshold: ticks, see :func:`~tabhero_hf.charts.hopo.hopo_threshold`.
        sustain_cutoff: sustains of at most so many ticks are none.
        chord_snap: notes less than so many ticks after another one belong to its chord.
        midi: whether the rules are those of ``notes.mid``.
    """

    hopo_threshold: int
    sustain_cutoff: int
    chord_snap: int
    midi: bool

    @classmethod
    def of(cls, resolution: int, settings: Mapping[str, str] | None, *, midi: bool) -> ReadingRules:
        """The rules of a file of this resolution with these settings of ``song.ini``."""
        settings = settings or {}
        cutoff = whole_number(settings.get("sustain_cutoff_threshold"))
        if cutoff < 0:
            cutoff = resolution // 3 + 1 if midi else 0
        snap = whole_number(settings.get("chord_snap_threshold"))
        return cls(hopo_threshold(resolution, settings, midi=midi), cutoff, snap, midi)


NOWHERE = np.zeros((0, 2), dtype=np.int64)


class Markers(NamedTuple):
    """What changes the notes under it: first tick and the one after the last, shape ``(markers, 2)``."""

    taps: np.ndarray = NOWHERE
    hopos: np.ndarray = NOWHERE
    strums: np.ndarray = NOWHERE
    flips: np.ndarray = NOWHERE
    opens: np.ndarray = NOWHERE


def assemble_track(
    instrument: Instrument,
    difficulty: Difficulty,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    markers: Markers,
    rules: ReadingRules,
    star_power: tuple[Phrase, ...],
    solos: tuple[Phrase, ...],
) -> Track | None:
    """A track of a file's notes; ``None`` where it has none.

    Args:
        columns: tick, lane and length in ticks of each lane struck, in any order. Of one struck twice at a tick the
            longer counts.
        markers: of tap, forced HOPO, forced strum and flip the first counts. Under ``opens``, a chord is one open
            note.
        rules: of the file.
        star_power, solos: see :func:`disjoint_phrases`.
    """
    ticks, lanes, lengths = columns
    if not len(ticks):
        return None
    ticks, rows = np.unique(ticks, return_inverse=True)
    table = np.full((len(ticks), NUM_LANES), NOT_STRUCK, dtype=np.int32)  # length of each lane at each tick
    np.maximum.at(table, (rows, lanes), np.where(lengths <= rules.sustain_cutoff, 0, lengths))
    opened = in_bounds(ticks, markers.opens)
    longest = table[opened].max(axis=1)
    table[opened] = NOT_STRUCK
    table[opened, OPEN_LANE] = longest

    kinds = _kinds(ticks, _masks(table), markers, rules)
    if rules.chord_snap > 0:
        ticks, table, kinds = _snapped(ticks, table, kinds, rules.chord_snap)
    _end_at_next(ticks, table)
    return Track(instrument, difficulty, _notes(ticks, table, kinds), star_power, solos)


def _masks(table: np.ndarray) -> np.ndarray:
    return (table != NOT_STRUCK) @ np.array(BITS)


def _kinds(ticks: np.ndarray, masks: np.ndarray, markers: Markers, rules: ReadingRules) -> np.ndarray:
    natural = natural_hopos(ticks, masks, rules.hopo_threshold, midi=rules.midi)
    kinds = np.where(natural != in_bounds(ticks, markers.flips), Kind.HOPO, Kind.STRUM)
    kinds[in_bounds(ticks, markers.strums)] = Kind.STRUM
    kinds[in_bounds(ticks, markers.hopos)] = Kind.HOPO
    kinds[in_bounds(ticks, markers.taps)] = Kind.TAP
    return kinds


def _snapped(
    ticks: np.ndarray, table: np.ndarray, kinds: np.ndarray, threshold: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Notes closer to the first one of a chord than the threshold joined with it, in its kind."""
    chords, first_tick = [], -threshold
    for i, tick in enumerate(ticks.tolist()):
        if tick - first_tick >= threshold:
            first, first_tick = i, tick
        chords.append(first)
    firsts, rows = np.unique(chords, return_inverse=True)
    joined = np.full((len(firsts), NUM_LANES), NOT_STRUCK, dtype=np.int32)
    np.maximum.at(joined, rows, table)
    return ticks[firsts], joined, kinds[firsts]


def _end_at_next(ticks: np.ndarray, table: np.ndarray) -> None:
    """A sustain that runs into the next note of its lane ends there, and that note takes over the rest of it."""
    for lane in range(NUM_LANES):
        struck = np.flatnonzero(table[:, lane] != NOT_STRUCK)
        table[struck, lane] = _disjoint(ticks[struck], table[struck, lane])


def _disjoint(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Lengths of stretches that end where the next one starts, which then goes on to the end of both."""
    ends = np.maximum.accumulate(starts + lengths)
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    return ends - starts


def _notes(ticks: np.ndarray, table: np.ndarray, kinds: np.ndarray) -> tuple[Note, ...]:
    notes: list[Note] = []
    # In pieces: the numbers of a whole hostile file at once, as Python objects, would take more memory than its notes.
    for start in range(0, len(ticks), PIECE):
        piece = slice(start, start + PIECE)
        notes += map(_note, ticks[piece].tolist(), table[piece], kinds[piece].tolist())
    return tuple(notes)


def _note(tick: int, row: np.ndarray, kind: int) -> Note:
    sustains = row.tolist()
    mask = sum([bit for length, bit in zip(sustains, BITS) if length >= 0])
    lanes = LANES_OF_MASK[mask]
    if len(lanes) == 1:
        return Note(tick, lanes, sustains[lanes[0]], KINDS[kind])
    struck = tuple([sustains[lane] for lane in lanes])
    return Note(tick, lanes, max(struck), KINDS[kind], struck)


def disjoint_phrases(starts: ArrayLike, lengths: ArrayLike) -> tuple[Phrase, ...]:
    """Phrases in order, the longest of each tick; one that runs into the next leaves the rest of its length to it."""
    lengths = np.asarray(lengths, dtype=np.int64)
    starts, rows = np.unique(np.asarray(starts, dtype=np.int64), return_inverse=True)
    longest = np.zeros(len(starts), dtype=np.int64)
    np.maximum.at(longest, rows, lengths)
    return tuple(map(Phrase, starts.tolist(), _disjoint(starts, longest).tolist()))
