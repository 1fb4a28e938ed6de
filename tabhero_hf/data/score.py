"""What a made song's score is: its sections, and riffs placed in them for each instrument, in ticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..charts import Event, Instrument, TempoMap
from .synthetic import Meter, Note

RESOLUTION = 192
"""Ticks in a quarter note."""

PARTS = ("lead", "rhythm", "second", "bass", "keys", "vocals")
"""What has notes: `second` is a guitar that nobody charts."""


# eq=False: riffs are told apart by identity, and never compared note by note.
@dataclass(frozen=True, slots=True, eq=False)
class Riff:
    """A musical idea, of one or more phrases of one length that share their notes.

    Args:
        phrases: the notes of each, in ticks from its start.
        length: ticks of a phrase.
    """

    phrases: tuple[tuple[Note, ...], ...]
    length: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A phrase of a riff where it is played, at a tick of the song."""

    tick: int
    riff: Riff
    phrase: int

    @property
    def notes(self) -> Iterator[Note]:
        """Its notes, in ticks of the song."""
        return (replace(note, time=note.time + self.tick) for note in self.riff.phrases[self.phrase])

    @property
    def end(self) -> int:
        """The first tick after it."""
        return self.tick + self.riff.length


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the song, `bars` of one meter long."""

    kind: str
    tick: int
    bars: int
    meter: Meter
    clean: bool  # whether the guitars are not distorted

    @property
    def step(self) -> int:
        """Ticks in a grid step of its meter."""
        # A meter of two steps a beat counts in eighth notes.
        return RESOLUTION // 4 if self.meter.per_beat == 2 else RESOLUTION // self.meter.per_beat

    @property
    def bar(self) -> int:
        """Ticks in a bar."""
        return self.meter.bar * self.step

    @property
    def end(self) -> int:
        """The first tick after it."""
        return self.tick + self.bars * self.bar

    @property
    def signature(self) -> tuple[int, int]:
        """Numerator and denominator of the time signature."""
        return self.meter.beats, 8 if self.meter.per_beat == 2 else 4


@dataclass(frozen=True, slots=True)
class Score:
    """A song as it is written.

    Args:
        seed: that it was drawn from.
        style: its name in `STYLES`.
        featured: the instrument that the song is about.
        tempo_map: ticks to seconds.
        sections: ascending in tick, without gaps, the first one a bar or more before the band begins.
        parts: what each of `PARTS` plays, ascending in tick.
        drums: (tick, drum, velocity).
        title: what it is called, where somebody else wrote it.
    """

    seed: int
    style: str
    featured: Instrument
    tempo_map: TempoMap
    sections: tuple[Section, ...]
    parts: dict[str, tuple[Placed, ...]]
    drums: tuple[tuple[int, str, float], ...]
    title: str = ""

    @property
    def end(self) -> int:
        """The tick at which the last section ends."""
        return self.sections[-1].end

    @property
    def section_events(self) -> tuple[Event, ...]:
        """The practice sections, those of a kind numbered."""
        seen: dict[str, int] = {}
        events = []
        for section in self.sections:
            seen[section.kind] = seen.get(section.kind, 0) + 1
            events.append(Event(section.tick, f"{section.kind.capitalize()} {seen[section.kind]}"))
        return tuple(events)
