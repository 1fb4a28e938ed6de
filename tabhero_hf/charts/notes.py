"""What a chart is: notes, phrases, tracks, and the chart that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from .errors import ChartError
from .tempo import TempoMap

OPEN_LANE = 6
"""The lane of an open note, see :attr:`Instrument.lanes`."""

HOPO_BIT, TAP_BIT, STAR_POWER_BIT = 1, 2, 4
"""Modifier bits of a note in seconds."""

SecondsNote = tuple[float, tuple[int, ...], int, float]
"""A note on the model's side: ``(time in seconds, lanes, modifier bits, sustain in seconds)``."""


class _Named(IntEnum):
    @classmethod
    def parse(cls, value: str | int) -> Self:
        """The member of this number, or of this name in any case; a member is returned as it is.

        Raises:
            ValueError: there is none; the message lists the names.
        """
        try:
            return cls[value.strip().upper()] if isinstance(value, str) else cls(value)
        except (KeyError, ValueError):
            known = ", ".join(member.name.lower() for member in cls)
            raise ValueError(f"no {cls.__name__.lower()} is called {value!r}; known are {known}") from None


class Difficulty(_Named):
    """The four difficulties, from the fewest notes to the most."""

    EASY = 0
    MEDIUM = 1
    HARD = 2
    EXPERT = 3


class Instrument(_Named):
    """The guitar-like instruments: five-fret ones, of which models chart the first four, and six-fret (GHL) ones."""

    LEAD = 0
    BASS = 1
    RHYTHM = 2
    KEYS = 3
    COOP = 4
    GHL_LEAD = 5
    GHL_BASS = 6
    GHL_RHYTHM = 7
    GHL_COOP = 8

    @property
    def six_fret(self) -> bool:
        """Whether lanes 0-2 are white and 3-5 black, instead of 0-4 green to orange."""
        return self >= Instrument.GHL_LEAD

    @property
    def lanes(self) -> tuple[int, ...]:
        """Its lanes, the open note's last."""
        return (*range(6 if self.six_fret else 5), OPEN_LANE)


class Kind(IntEnum):
    """How the player sees a note, after the natural HOPO rule and all forcing."""

    STRUM = 0
    HOPO = 1
    TAP = 2


@dataclass(frozen=True, slots=True)
class Note:
    """All lanes struck at one tick.

    Args:
        tick: when.
        lanes: sorted and unique, each 0-6, see :data:`OPEN_LANE`.
        sustain: length in ticks, of the longest lane; 0 is no sustain.
        kind: what the player sees.
        lane_sustains: the length of each lane where they differ, parallel to ``lanes``; empty where they do not.

    Raises:
        ChartError: any of them is not so.
    """

    tick: int
    lanes: tuple[int, ...]
    sustain: int = 0
    kind: Kind = Kind.STRUM
    lane_sustains: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = f"tick {self.tick}"
        if self.tick < 0:
            raise ChartError("a note before tick 0", position=where)
        if not self.lanes or any(not 0 <= lane <= OPEN_LANE for lane in self.lanes):
            raise ChartError(f"lanes are one or more of 0-{OPEN_LANE}, not {self.lanes}", position=where)
        if any(a >= b for a, b in zip(self.lanes, self.lanes[1:])):
            raise ChartError(f"lanes are sorted and unique, not {self.lanes}", position=where)
        if self.sustain < 0:
            raise ChartError(f"a sustain of {self.sustain} ticks", position=where)
        differ = self.lane_sustains
        if differ and (len(differ) != len(self.lanes) or min(differ) < 0 or max(differ) != self.sustain):
            raise ChartError(f"sustains {differ} of lanes {self.lanes}, longest {self.sustain}", position=where)
        if differ and len(set(differ)) == 1:
            object.__setattr__(self, "lane_sustains", ())

    @property
    def sustains(self) -> tuple[int, ...]:
        """Length in ticks of each lane, parallel to ``lanes``."""
        return self.lane_sustains or (self.sustain,) * len(self.lanes)

    @property
    def mask(self) -> int:
        """The lanes as bits, lane ``i`` as ``2 ** i``."""
        return sum(1 << lane for lane in self.lanes)


class Event(NamedTuple):
    """A text at a tick: a section's name, a syllable, or whatever an editor put there."""

    tick: int
    text: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """Star power, a solo or a line of lyrics: from ``tick`` on, ``length`` ticks, its end excluded."""

    tick: int
    length: int

    @property
    def end(self) -> int:
        """The first tick after the phrase."""
        return self.tick + self.length

    def __contains__(self, tick: int) -> bool:
        return self.tick <= tick < self.end


@dataclass(frozen=True, slots=True)
class Track:
    """One instrument at one difficulty.

    Args:
        instrument, difficulty: which.
        notes: ascending in tick, at most one a tick.
        star_power, solos: ascending in tick.

    Raises:
        ChartError: notes out of order, two at one tick, or a lane that the instrument does not have.
    """

    instrument: Instrument
    difficulty: Difficulty
    notes: tuple[Note, ...] = ()
    star_power: tuple[Phrase, ...] = ()
    solos: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        last, five_fret = -1, not self.instrument.six_fret
        for note in self.notes:
            if note.tick <= last:
                raise ChartError(f"a note after the one at tick {last}", position=f"tick {note.tick}")
            if five_fret and 5 in note.lanes:
                raise ChartError("five-fret tracks have no lane 5", position=f"tick {note.tick}")
            last = note.tick

    @property
    def end_tick(self) -> int:
        """The tick at which the last note or sustain ends; 0 without notes."""
        return max((note.tick + note.sustain for note in self.notes), default=0)

    @classmethod
    def from_seconds(
        cls,
        notes: Iterable[SecondsNote],
        tempo_map: TempoMap,
        instrument: Instrument = Instrument.LEAD,
        difficulty: Difficulty = Difficulty.EXPERT,
    ) -> Track:
        """A track of the model's notes.

        Each note goes to the nearest tick, those before 0 to tick 0. Notes that meet on one tick become one chord with
        the longest of their sustains and the strongest of their kinds (tap, HOPO, strum). Tap beats HOPO within a note
        too. A sustain that rounds to no tick is none, and every sustain ends before the next note of one of its lanes.
        Each run of star power notes becomes one phrase.

        Args:
            notes: ``(seconds, lanes, modifier bits, sustain in seconds)``, in any order. Seconds count from tick 0 of
                ``tempo_map``: a chart's ``offset`` is not in them.
            tempo_map: the map to place them on.

        Raises:
            ChartError: lanes that are not, a negative sustain, or a time or sustain that is not finite.
        """
        notes = list(notes)
        times = np.array([note[0] for note in notes], dtype=np.float64)
        lengths = np.array([note[3] for note in notes], dtype=np.float64)
        if not (np.isfinite(times).all() and np.isfinite(lengths).all()):
            raise ChartError("a note's time or sustain is not finite")
        if (lengths < 0).any():
            raise ChartError("a note's sustain is negative")
        ticks = np.maximum(tempo_map.ticks(times), 0)
        sustains = tempo_map.ticks(tempo_map.seconds(ticks) + lengths) - ticks
        merged: dict[int, tuple[set[int], Kind, bool, int]] = {}
        for tick, sustain, (_, lanes, bits, _) in zip(ticks.tolist(), sustains.tolist(), notes):
            kind = Kind.TAP if bits & TAP_BIT else Kind.HOPO if bits & HOPO_BIT else Kind.STRUM
            starred = bool(bits & STAR_POWER_BIT)
            if tick in merged:
                old_lanes, old_kind, old_starred, old_sustain = merged[tick]
                kind, starred, sustain = max(kind, old_kind), starred or old_starred, max(sustain, old_sustain)
                lanes = old_lanes | set(lanes)
            merged[tick] = (set(lanes), kind, starred, sustain)
        order = sorted(merged)
        chords = [Note(tick, tuple(sorted(merged[tick][0])), merged[tick][3], merged[tick][1]) for tick in order]
        chords = cut_sustains(chords, gap=1)
        phrases = _runs(chords, [merged[tick][2] for tick in order])
        return cls(instrument, difficulty, tuple(chords), tuple(phrases))

    def to_seconds(self, tempo_map: TempoMap) -> list[SecondsNote]:
        """The notes as ``(seconds, lanes, modifier bits, sustain in seconds)``, ascending: ``from_seconds`` undone.

        Seconds count from tick 0 of ``tempo_map``; :meth:`Chart.to_seconds` counts from the start of the audio. A
        chord whose lanes differ in length gives the longest.
        """
        ticks = np.array([note.tick for note in self.notes], dtype=np.int64)
        ends = ticks + np.array([note.sustain for note in self.notes], dtype=np.int64)
        onsets = tempo_map.seconds(ticks)
        sustains = tempo_map.seconds(ends) - onsets
        starred = in_phrases(ticks, self.star_power).tolist()
        bits = {Kind.STRUM: 0, Kind.HOPO: HOPO_BIT, Kind.TAP: TAP_BIT}
        return [
            (onset, note.lanes, bits[note.kind] | STAR_POWER_BIT * star, sustain)
            for onset, note, star, sustain in zip(onsets.tolist(), self.notes, starred, sustains.tolist())
        ]


@dataclass(frozen=True, slots=True)
class Chart:
    """A whole song's chart.

    Args:
        tempo_map: its ticks in seconds.
        tracks: what is charted. A track that is not charted is absent.
        sections: the practice sections, ascending.
        lyrics: the syllables, ascending.
        lyric_phrases: the lines that the syllables make up.
        events: all other texts of the song, ascending; they mean nothing here.
        end_ticks: the ticks of the end events: one in a sound chart.
        metadata: lower-case keys as in ``song.ini`` (``name``, ``artist``, ``album``, ``genre``, ``year``,
            ``charter``).
        offset: seconds to add to a chart's time to get the audio's: ``audio = chart + offset``.
        warnings: what a reader passed over, and where. Not compared.
        left_out: what else the file that was read has notes for, such as drums, by its names. Not compared.
    """

    tempo_map: TempoMap
    tracks: dict[tuple[Instrument, Difficulty], Track] = field(default_factory=dict)
    sections: tuple[Event, ...] = ()
    lyrics: tuple[Event, ...] = ()
    lyric_phrases: tuple[Phrase, ...] = ()
    events: tuple[Event, ...] = ()
    end_ticks: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    offset: float = 0.0
    warnings: tuple[str, ...] = field(default=(), compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @property
    def last_tick(self) -> int:
        """The tick at which the last note, sustain or end event is; 0 in an empty chart."""
        return max((*self.end_ticks, *(track.end_tick for track in self.tracks.values())), default=0)

    def to_seconds(self, instrument: Instrument, difficulty: Difficulty) -> list[SecondsNote]:
        """A track's notes as ``(seconds, lanes, modifier bits, sustain in seconds)``, in the audio's time.

        Raises:
            KeyError: the chart has no such track.
        """
        notes = self.tracks[instrument, difficulty].to_seconds(self.tempo_map)
        return [(time + self.offset, lanes, bits, sustain) for time, lanes, bits, sustain in notes]


def cut_sustains(notes: Sequence[Note], gap: int) -> list[Note]:
    """Notes whose sustains end at least ``gap`` ticks before the next note of any of their lanes.

    Args:
        notes: ascending in tick; all lanes of one are cut alike, at the first that has to be.
        gap: ticks to leave free.
    """
    following: dict[int, int] = {}
    cut = []
    for note in reversed(notes):
        nearest = min((following[lane] for lane in note.lanes if lane in following), default=None)
        if nearest is not None and note.sustain > nearest - gap - note.tick:
            note = replace(note, sustain=nearest - gap - note.tick, lane_sustains=())
        cut.append(note)
        following.update(dict.fromkeys(note.lanes, note.tick))
    return cut[::-1]


def in_phrases(ticks: ArrayLike, phrases: Iterable[Phrase]) -> np.ndarray:
    """For each of the ascending ticks whether it lies in one of the phrases: bool, shape ``(ticks,)``."""
    bounds = [(phrase.tick, phrase.end) for phrase in phrases]
    return in_bounds(ticks, np.array(bounds, dtype=np.int64).reshape(-1, 2))


def in_bounds(ticks: ArrayLike, bounds: np.ndarray) -> np.ndarray:
    """As :func:`in_phrases`, for the first tick of each stretch and the one after its last, ``(stretches, 2)``."""
    ticks = np.asarray(ticks, dtype=np.int64)
    first, last = np.searchsorted(ticks, bounds).T
    depth = np.zeros(len(ticks) + 1, dtype=np.int64)
    np.add.at(depth, first, 1)
    np.add.at(depth, np.maximum(first, last), -1)
    return depth[:-1].cumsum() > 0


def _runs(notes: Sequence[Note], marked: Sequence[bool]) -> list[Phrase]:
    """A phrase for each run of marked notes: through its last sustain, but never onto the note after it."""
    phrases = []
    first = None
    for i, note in enumerate(notes):
        if not marked[i]:
            first = None
            continue
        if first is None:
            first = note.tick
        if i + 1 == len(notes) or not marked[i + 1]:
            end = note.tick + max(note.sustain, 1)
            if i + 1 < len(notes):
                end = min(end, notes[i + 1].tick)
            phrases.append(Phrase(first, end - first))
    return phrases
