"""What a chart is: notes, phrases, tracks, and the chart that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Self

import numpy as np

from .errors import ChartError
from .tempo import TempoMap

OPEN_LANE = 6
"""The lane of an open note. 0-4 are green to orange; on six-fret guitars 0-2 are white and 3-5 black."""

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
    """The five-fret instruments."""

    LEAD = 0
    BASS = 1
    RHYTHM = 2
    KEYS = 3


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

    def with_sustains(self, sustains: Sequence[int]) -> Note:
        """This note with these lengths in ticks, one a lane."""
        return replace(self, sustain=max(sustains), lane_sustains=tuple(sustains))


@dataclass(frozen=True, slots=True)
class Phrase:
    """A stretch of a track, star power or a solo: from ``tick`` on, ``length`` ticks, its end excluded."""

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
        ChartError: notes out of order, or two at one tick.
    """

    instrument: Instrument
    difficulty: Difficulty
    notes: tuple[Note, ...] = ()
    star_power: tuple[Phrase, ...] = ()
    solos: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        for before, after in zip(self.notes, self.notes[1:]):
            if after.tick <= before.tick:
                raise ChartError(f"a note after the one at tick {before.tick}", position=f"tick {after.tick}")

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
        chords = cut_sustains(chords, gap=1, together=True)
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
        starred = in_phrases(ticks.tolist(), self.star_power)
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
        sections: ``(tick, name)``, ascending: the practice sections.
        end_tick: the tick of the end event, if there is one.
        metadata: lower-case keys as in ``song.ini`` (``name``, ``artist``, ``album``, ``genre``, ``year``,
            ``charter``).
        offset: seconds to add to a chart's time to get the audio's: ``audio = chart + offset``.
    """

    tempo_map: TempoMap
    tracks: dict[tuple[Instrument, Difficulty], Track] = field(default_factory=dict)
    sections: tuple[tuple[int, str], ...] = ()
    end_tick: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    offset: float = 0.0

    def to_seconds(self, instrument: Instrument, difficulty: Difficulty) -> list[SecondsNote]:
        """A track's notes as ``(seconds, lanes, modifier bits, sustain in seconds)``, in the audio's time.

        Raises:
            KeyError: the chart has no such track.
        """
        notes = self.tracks[instrument, difficulty].to_seconds(self.tempo_map)
        return [(time + self.offset, lanes, bits, sustain) for time, lanes, bits, sustain in notes]


def cut_sustains(notes: Sequence[Note], *, gap: int = 0, together: bool = False) -> list[Note]:
    """Notes whose sustains end where the next note of their lane begins.

    Args:
        notes: ascending in tick.
        gap: ticks to leave free before that next note.
        together: cut all lanes of a chord alike, at the first that has to be cut.
    """
    following: dict[int, int] = {}
    cut = []
    for note in reversed(notes):
        limits = [
            following[lane] - gap - note.tick if lane in following else length
            for lane, length in zip(note.lanes, note.sustains)
        ]
        if together:
            limits = [min(limits)] * len(limits)
        sustains = tuple(min(length, limit) for length, limit in zip(note.sustains, limits))
        cut.append(note if sustains == note.sustains else note.with_sustains(sustains))
        following.update(dict.fromkeys(note.lanes, note.tick))
    return cut[::-1]


def in_phrases(ticks: Sequence[int], phrases: Iterable[Phrase]) -> list[bool]:
    """For each of the ascending ticks whether it lies in one of the phrases."""
    ticks = np.asarray(ticks, dtype=np.int64)
    inside = np.zeros(len(ticks), dtype=bool)
    for phrase in phrases:
        first, last = np.searchsorted(ticks, (phrase.tick, phrase.end))
        inside[first:last] = True
    return inside.tolist()


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
