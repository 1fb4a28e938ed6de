"""Scores of made songs: whole rock and metal songs, written for a band and drawn from a seed.

A song has a style, a tuning and a scale. Its sections (verse, chorus, solo, ...) take turns, and each kind of section
has its themes: the riff of the guitars with a bass under it, a beat, a sung line, a keyboard part. A section that
comes back brings its themes back. Riffs are written by the writers of `synthetic`, a bar or two at a time, and
repeated with another ending.

What a score sounds like is in `made_songs`, and how a human would chart it in `made_charts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

import numpy as np

from ..charts import Instrument, TempoMap
from .score import PARTS, RESOLUTION, Placed, Riff, Score, Section
from .synthetic import SCALES, WRITERS, Meter, Note, draw_beat, draw_rhythm, fill

FASTEST_NOTES = 13.5  # 1/s
MIN_SECONDS, MAX_SECONDS = 60.0, 240.0
LONGEST_SECONDS = 3600.0

FEATURED = {Instrument.LEAD: 0.6, Instrument.RHYTHM: 0.2, Instrument.BASS: 0.1, Instrument.KEYS: 0.1}
"""How often the song is about each instrument: the one that is charted where only one is."""

TUNINGS = (40, 40, 39, 38, 38, 37, 36, 35)  # MIDI pitch of the lowest string
METAL_SCALES = (SCALES[0], SCALES[1], SCALES[1], SCALES[5], SCALES[2], SCALES[6])
ROCK_SCALES = (SCALES[3], SCALES[2], SCALES[0], SCALES[4])

# Beats of riffs that gallop, in quarters of a beat, and in thirds.
GALLOPS = {4: ((2, 1, 1), (2, 1, 1), (1, 1, 2)), 3: ((2, 1), (1, 1, 1)), 2: ((1, 1), (2,))}
EVEN = {4: ((1, 1, 1, 1), (2, 2), (2, 2)), 3: ((1, 1, 1),), 2: ((1, 1), (2,))}


@dataclass(frozen=True, slots=True)
class Style:
    """What bands of one kind play, and how often."""

    bpm: tuple[float, float]
    scales: tuple[tuple[int, ...], ...]
    riffs: dict[str, float]  # of verses, bridges and introductions
    hooks: dict[str, float]  # of choruses
    beats: tuple[str, ...]
    drive: tuple[float, float]
    clean: float  # odds that a section that may be played clean is
    odds: float  # how often such a band is drawn


STYLES = {
    "heavy": Style(
        bpm=(120.0, 190.0),
        scales=METAL_SCALES,
        riffs={"gallop": 4, "chug": 3, "pedal": 4, "power": 3, "melody": 2},
        hooks={"power": 3, "held": 3, "octaves": 1, "melody": 2, "tremolo": 1, "gallop": 1},
        beats=("rock", "rock", "double", "punk"),
        drive=(30.0, 200.0),
        clean=0.4,
        odds=0.3,
    ),
    "thrash": Style(
        bpm=(150.0, 220.0),
        scales=METAL_SCALES,
        riffs={"even": 4, "gallop": 3, "chug": 4, "pedal": 4, "power": 1, "tremolo": 2},
        hooks={"power": 3, "held": 2, "tremolo": 2, "pedal": 2, "octaves": 1},
        beats=("punk", "double", "double", "rock"),
        drive=(60.0, 300.0),
        clean=0.3,
        odds=0.25,
    ),
    "extreme": Style(
        bpm=(140.0, 220.0),
        scales=METAL_SCALES,
        riffs={"tremolo": 5, "even": 2, "chug": 2, "pedal": 2, "power": 1},
        hooks={"tremolo": 4, "power": 2, "held": 1, "melody": 1},
        beats=("blast", "blast", "double", "double", "half"),
        drive=(80.0, 300.0),
        clean=0.25,
        odds=0.15,
    ),
    "groove": Style(
        bpm=(95.0, 150.0),
        scales=METAL_SCALES,
        riffs={"chug": 6, "pedal": 3, "power": 3, "even": 2, "melody": 1},
        hooks={"power": 3, "held": 2, "octaves": 1, "chug": 2, "melody": 1},
        beats=("rock", "half", "double", "double"),
        drive=(60.0, 300.0),
        clean=0.3,
        odds=0.15,
    ),
    "rock": Style(
        bpm=(100.0, 170.0),
        scales=ROCK_SCALES,
        riffs={"power": 5, "melody": 3, "pedal": 2, "chug": 2, "arpeggio": 1},
        hooks={"power": 4, "held": 2, "chords": 2, "octaves": 1, "melody": 1},
        beats=("rock", "rock", "rock", "half", "punk"),
        drive=(4.0, 60.0),
        clean=0.5,
        odds=0.15,
    ),
}

LOW_STYLES = ("gallop", "even", "chug", "pedal", "power", "held", "tremolo")
"""Riffs that stand on the lowest string. `held` is long power chords; the others are writers of `synthetic`, `gallop`
and `even` with a rhythm that goes through."""

FORM = (
    ("verse", "chorus"),
    ("verse", "prechorus", "chorus"),
    ("bridge", "solo", "chorus"),
    ("interlude", "verse", "chorus"),
    ("breakdown", "solo", "chorus"),
    ("bridge", "interlude", "solo"),
)
"""What comes between introduction and end, in this order, again and again until the song is long enough."""

CLEAN_KINDS = ("intro", "interlude")
"""The kinds of sections that may be played without distortion."""

T = TypeVar("T", bound=Hashable)


def compose_song(seed: int, seconds: float | None = None, featured: Instrument | None = None) -> Score:
    """Write a song; the same arguments give the same one.

    Args:
        seed: not negative.
        seconds: about how long: it ends with the section that reaches it. Drawn from 1 to 4 minutes where it is not
            given.
        featured: the instrument that it is about. Drawn by `FEATURED` where it is not given.

    Raises:
        ValueError: the length is not positive, or over an hour.
    """
    rng = np.random.default_rng([2, seed])
    drawn = rng.uniform(MIN_SECONDS, MAX_SECONDS)
    seconds = drawn if seconds is None else seconds
    if not 0.0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"a song is up to {LONGEST_SECONDS:.0f} s long, not {seconds}")
    return _Composer(rng, seed, featured).compose(seconds)


@dataclass(slots=True)
class _Composer:
    """What holds for the whole of a song while it is written."""

    rng: np.random.Generator
    seed: int
    featured: Instrument | None
    name: str = field(init=False)
    style: Style = field(init=False)
    low: int = field(init=False)
    tonic: int = field(init=False)
    scale: tuple[int, ...] = field(init=False)
    themes: dict[tuple[str, str | int], Riff | None] = field(init=False, default_factory=dict)
    beats: dict[str, list[tuple[int, str, float]]] = field(init=False, default_factory=dict)
    has_keys: bool = field(init=False)
    has_vocals: bool = field(init=False)
    second_guitar: str = field(init=False)
    bass_line: str = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng
        drawn = pick(rng, FEATURED)
        self.featured = drawn if self.featured is None else self.featured
        self.name = pick(rng, {name: style.odds for name, style in STYLES.items()})
        self.style = STYLES[self.name]
        self.low = int(rng.choice(TUNINGS))
        # Most riffs stand on the open lowest string.
        self.tonic = self.low + (0 if rng.random() < 0.65 else int(rng.integers(1, 8)))
        self.scale = self.style.scales[rng.integers(len(self.style.scales))]
        self.has_keys = rng.random() < 0.3 or self.featured == Instrument.KEYS
        self.has_vocals = rng.random() < 0.6
        self.second_guitar = pick(rng, {"unison": 4, "harmony": 2, "chords": 3, "none": 2})
        self.bass_line = pick(rng, {"unison": 6, "roots": 3, "pulse": 2})

    def compose(self, seconds: float) -> Score:
        """The whole score."""
        sections, tempo_map = self.lay_out(seconds)
        parts: dict[str, list[Placed]] = {name: [] for name in PARTS}
        drums: list[tuple[int, str, float]] = []
        for section in sections[1:]:
            for name in parts:
                riff = self.theme(name, section)
                if riff is not None:
                    parts[name] += place(riff, section)
            drums += self.drum(section)
        return Score(
            self.seed,
            self.name,
            self.featured,
            tempo_map,
            tuple(sections),
            {name: tuple(part) for name, part in parts.items()},
            tuple(sorted(drums)),
        )

    # Form

    def lay_out(self, seconds: float) -> tuple[list[Section], TempoMap]:
        """The sections, and the tempo map through them."""
        rng = self.rng
        bpm = round(float(np.clip(rng.normal(np.mean(self.style.bpm), 18.0), *self.style.bpm)))
        # 120 BPM throughout is what charts have whose tempo was never set.
        bpm += bpm == 120
        per_beat = 3 if rng.random() < 0.1 else 4
        beats = 3 if rng.random() < 0.05 else 4
        odd = rng.random() < 0.15
        changes = rng.random() < 0.25
        drifts = rng.random() < 0.15
        meters = {kind: Meter(bpm, per_beat, beats, 0.0, 0.0) for kind in ("intro", *sum(FORM, ()), "outro")}
        if odd:
            unusual = Meter(bpm, 4, 5, 0.0, 0.0), Meter(2.0 * bpm, 2, 7, 0.0, 0.0), Meter(bpm, 4, 3, 0.0, 0.0)
            meters[str(rng.choice(["bridge", "verse", "breakdown", "intro"]))] = unusual[rng.integers(3)]
        if changes:
            for kind in rng.choice(["bridge", "breakdown", "solo", "interlude", "outro", "intro"], 2, replace=False):
                factor = float(rng.choice([0.5, 0.75, 0.8, 0.9, 1.1, 1.2]))
                meters[kind] = replace(meters[kind], bpm=round(meters[kind].bpm * factor))
        clean = {kind: kind in CLEAN_KINDS and rng.random() < self.style.clean for kind in meters}

        lead_in = 1 if meters["intro"].bar * meters["intro"].step > 1.0 else 2
        sections = [Section("count-in", 0, lead_in, meters["intro"], False)]
        elapsed = 0.0  # s
        closing = bars_of("outro", meters["outro"]) * meters["outro"].bar * meters["outro"].step
        blocks = (kind for _ in count() for block in self.shuffled_form() for kind in block)
        kind = "intro"
        while True:
            meter = meters[kind]
            bars = bars_of(kind, meter)
            sections.append(Section(kind, sections[-1].end, bars, meter, clean[kind]))
            elapsed += bars * meter.bar * meter.step
            if kind == "outro":
                break
            kind = next(blocks) if elapsed + closing < seconds else "outro"
        return sections, self.tempo_map(sections, changes, drifts)

    def shuffled_form(self) -> list[tuple[str, ...]]:
        """The form, now and then in another order."""
        if self.rng.random() < 0.5:
            return list(FORM)
        return [FORM[i] for i in self.rng.permutation(len(FORM))]

    def tempo_map(self, sections: list[Section], changes: bool, drifts: bool) -> TempoMap:
        """Tempos of the sections; where tempos change, the last bar of a section may lead over to the next."""
        rng = self.rng
        tempos, meters = [], []
        for section, following in zip(sections, [*sections[1:], None]):
            bpm = quarter_bpm(section)
            tempos.append((section.tick, bpm))
            if drifts:
                bars = range(section.tick, section.end, section.bar)
                tempos += [(tick, round(bpm * (1.0 + rng.normal(0.0, 0.004)), 3)) for tick in bars]
            slows = following is None and rng.random() < 0.4
            if changes and (slows or (following and quarter_bpm(following) != bpm and rng.random() < 0.5)):
                goal = 0.7 * bpm if slows else quarter_bpm(following)
                ticks = range(section.end - section.bar, section.end, RESOLUTION)
                tempos += [(tick, round(bpm + (goal - bpm) * i / len(ticks), 3)) for i, tick in enumerate(ticks)]
            if not meters or meters[-1][1:] != section.signature:
                meters.append((section.tick, *section.signature))
        return TempoMap(RESOLUTION, tuple(tempos), tuple(meters))

    # Themes

    def theme(self, part: str, section: Section) -> Riff | None:
        """What a part plays in a kind of section, written when it first comes. Every solo is another."""
        key = (part, section.tick if section.kind == "solo" else section.kind)
        if key not in self.themes:
            write = {
                "lead": self.write_lead,
                "rhythm": self.write_rhythm,
                "second": self.write_second,
                "bass": self.write_bass,
                "keys": self.write_keys,
                "vocals": self.write_vocals,
            }
            self.themes[key] = write[part](section)
        return self.themes[key]

    def write_lead(self, section: Section) -> Riff | None:
        """The main guitar: the riff, a melody over it, or a solo."""
        rng = self.rng
        if section.clean:
            return self.riff(section, pick(rng, {"arpeggio": 4, "melody": 1, "chords": 1}), self.guitar(12, 31))
        if section.kind == "solo":
            return self.solo(section)
        if section.kind == "interlude" and rng.random() < 0.3:
            return None
        if section.kind in ("chorus", "prechorus"):
            name = pick(rng, self.style.hooks)
        elif section.kind == "breakdown":
            name = pick(rng, {"chug": 3, "power": 1})
        elif section.kind == "outro":
            name = pick(rng, {"held": 2, "power": 2, "tremolo": 1})
        else:
            name = pick(rng, self.style.riffs)
        high = name in ("melody", "octaves", "tremolo") and rng.random() < (0.35 if section.kind == "chorus" else 0.15)
        return self.riff(section, name, self.guitar(17, 44) if high else self.guitar(0, 22))

    def write_rhythm(self, section: Section) -> Riff | None:
        """The other charted guitar: with the lead in riffs, under it in melodies and solos."""
        lead = self.theme("lead", section)
        if section.clean:
            return lead if self.rng.random() < 0.3 else None
        if section.kind == "solo" and ("lead", "verse") in self.themes and self.rng.random() < 0.5:
            return fitted(self.themes["lead", "verse"], section)
        if lead is None or section.kind == "solo" or min(note.root for note in flat(lead)) > self.low + 15:
            return self.riff(section, pick(self.rng, {"power": 3, "chug": 2, "even": 1}), self.guitar(0, 20))
        return lead

    def write_second(self, section: Section) -> Riff | None:
        """The guitar that nobody charts: in unison, a third above, or holding chords."""
        lead = self.theme("lead", section)
        if self.second_guitar == "none" or section.clean:
            return None
        if self.second_guitar == "chords" or lead is None or section.kind == "solo":
            return self.riff(section, "held", self.guitar(0, 20))
        if self.second_guitar == "harmony" and section.kind == "chorus":
            return self.harmony(lead)
        return self.theme("rhythm", section)

    def write_bass(self, section: Section) -> Riff | None:
        """Under the guitars: note for note, or their roots in longer or even notes."""
        guitar = self.theme("rhythm", section) or self.theme("lead", section)
        if guitar is None:
            return self.riff(section, "melody", self.pitches(self.low - 12, self.low + 7))
        lowest = self.low - 12
        under = Riff(
            tuple(
                tuple(replace(note, root=bass_pitch(note.root, lowest), shape="single", glide=0.0) for note in phrase)
                for phrase in guitar.phrases
            ),
            guitar.length,
        )
        if self.bass_line == "unison" and not section.clean:
            return under
        every = max(1, section.meter.per_beat // (1 if self.bass_line == "roots" else 2))
        return Riff(tuple(pulse(phrase, every, section) for phrase in under.phrases), under.length)

    def write_keys(self, section: Section) -> Riff | None:
        """Held chords, or more where the song is about the keys."""
        if not self.has_keys or (self.featured != Instrument.KEYS and self.rng.random() < 0.3):
            return None
        if self.featured == Instrument.KEYS or section.clean:
            name = pick(self.rng, {"melody": 3, "arpeggio": 3, "chords": 2, "run": 1, "octaves": 1})
        else:
            name = pick(self.rng, {"chords": 3, "arpeggio": 1, "melody": 1})
        return self.riff(section, name, self.pitches(52, 84))

    def write_vocals(self, section: Section) -> Riff | None:
        """A sung line."""
        if not self.has_vocals or section.kind not in ("verse", "prechorus", "chorus", "bridge"):
            return None
        return self.riff(section, "melody", self.pitches(52, 72), rate="chords")

    def riff(self, section: Section, name: str, pitches: np.ndarray, rate: str | None = None) -> Riff:
        """A phrase of one or two bars and, to end every fourth or second time, the same with another ending."""
        rng = self.rng
        bars = 1 if section.bars % 2 or section.meter.bar * section.meter.step > 1.8 else int(rng.choice([1, 2]))
        if name in ("chords", "held", "melody", "power") and section.bars % 2 == 0:
            bars = 2
        meter, steps = section.meter, bars * section.meter.bar
        first = self.phrase(meter, steps, name, pitches, rate)
        cut = int(rng.choice([steps // 2, steps // 2, steps - meter.per_beat]))
        ending = [note for note in self.phrase(meter, steps, name, pitches, rate) if note.time >= cut]
        kept = [replace(n, length=min(n.length, cut - n.time)) for n in first if n.time < cut]
        phrases = (self.finish(first, section), self.finish([*kept, *ending], section))
        return Riff(phrases, steps * section.step)

    def harmony(self, riff: Riff) -> Riff:
        """The riff a third higher, or a fourth where the scale has no third."""
        phrases = (
            tuple(replace(note, root=int(self.pitches(note.root + 3, note.root + 12)[0])) for note in phrase)
            for phrase in riff.phrases
        )
        return replace(riff, phrases=tuple(phrases))

    def solo(self, section: Section) -> Riff:
        """Licks of two bars high up: runs, melodies with bends, tremolo picking."""
        rng = self.rng
        bars = 2 if section.bars % 2 == 0 else 1
        phrases = []
        for _ in range(min(6, section.bars // bars)):
            name = pick(rng, {"run": 4, "melody": 4, "arpeggio": 2, "tremolo": 1, "pedal": 1})
            start = int(rng.integers(14, 26))
            notes = self.phrase(section.meter, bars * section.meter.bar, name, self.guitar(start, start + 22), None)
            if rng.random() < 0.3:
                notes = [note for note in notes if note.time < (bars - 0.5) * section.meter.bar]
            phrases.append(self.finish([replace(note, muted=False) for note in notes], section))
        return Riff(tuple(phrases), bars * section.bar)

    def phrase(self, meter: Meter, steps: int, name: str, pitches: np.ndarray, rate: str | None) -> list[Note]:
        """Notes of a phrase in grid steps."""
        rng = self.rng
        low = name in LOW_STYLES and pitches[0] < self.low + 12
        register = int(rng.integers(len(pitches) // (4 if low else 2)))
        if low and rng.random() < 0.75:
            register = 0
        if name in ("gallop", "even"):
            rhythm = cells_rhythm(rng, meter, steps, (GALLOPS if name == "gallop" else EVEN)[meter.per_beat])
            writer = WRITERS[pick(rng, {"chug": 4, "pedal": 4, "tremolo": 1})]
        else:
            # Meters in eighth notes take the rhythms of quarter notes, whose steps are theirs.
            grid = replace(meter, per_beat=4, bpm=meter.bpm / 2.0) if meter.per_beat == 2 else meter
            rhythm = draw_rhythm(rng, grid, steps, rate or ("chords" if name == "held" else name), FASTEST_NOTES)
            writer = WRITERS["power" if name == "held" else name]
        notes = writer(rng, meter, rhythm, pitches, min(register, len(pitches) - 8))
        if name in ("melody", "power", "octaves") and rng.random() < 0.25:
            share = rng.uniform(0.4, 0.8)
            notes = [replace(note, length=max(0.5, note.length * share)) for note in notes]
        return notes

    def finish(self, notes: list[Note], section: Section) -> tuple[Note, ...]:
        """Notes in ticks with their metrical weight, some long ones bent or slid up into."""
        rng, step, meter = self.rng, section.step, section.meter
        finished = []
        for note in notes:
            long = note.length * meter.step > 0.3 and not note.muted and note.shape == "single"
            finished.append(
                replace(
                    note,
                    time=round(note.time * step),
                    length=round(note.length * step),
                    weight=meter.weight(int(note.time)),
                    glide=float(rng.choice([1.0, 2.0, 2.0, 3.0])) if long and rng.random() < 0.15 else 0.0,
                    take=int(rng.integers(3)) if long else 0,
                )
            )
        return tuple(finished)

    def guitar(self, low: int, high: int) -> np.ndarray:
        """Pitches of the scale between two heights above the guitar's lowest string, in semitones."""
        return self.pitches(self.low + low, self.low + high)

    def pitches(self, low: int, high: int) -> np.ndarray:
        """Pitches of the scale from `low` to `high`, ascending."""
        return np.array([pitch for pitch in range(low, high + 1) if (pitch - self.tonic) % 12 in self.scale])

    # Drums

    def drum(self, section: Section) -> list[tuple[int, str, float]]:
        """A beat for each bar, crashes where phrases begin, a fill at the section's end."""
        rng, meter = self.rng, section.meter
        if section.clean and rng.random() < 0.7:
            return []
        if section.kind not in self.beats:
            kinds = ("half",) if section.kind == "breakdown" else self.style.beats
            self.beats[section.kind] = draw_beat(rng, meter, kinds)
        beat = self.beats[section.kind]
        hits: list[tuple[int, str, float]] = []
        for bar in range(section.bars):
            first = bar * meter.bar
            bar_hits = [(first + step, name, velocity) for step, name, velocity in beat]
            if bar % 4 == 0:
                bar_hits.append((first, "crash", 1.0))
            if bar == section.bars - 1 and rng.random() < 0.8:
                start = meter.bar - meter.per_beat * int(rng.integers(1, 3))
                bar_hits = [hit for hit in bar_hits if hit[0] < first + start] + fill(rng, meter, first, start)
            hits += bar_hits
        ticks = [(section.tick + step * section.step, name, velocity) for step, name, velocity in hits]
        riff = self.theme("rhythm", section)
        if riff is not None and not section.clean and rng.random() < 0.35:
            # The bass drums double the riff.
            ticks = [hit for hit in ticks if hit[1] != "kick"]
            ticks += [(int(note.time), "kick", 0.9) for placed in place(riff, section) for note in placed.notes]
        return ticks


def pick(rng: np.random.Generator, odds: dict[T, float]) -> T:
    """One of the keys, as often as its value says."""
    keys = list(odds)
    weights = np.array([odds[key] for key in keys], dtype=float)
    return keys[rng.choice(len(keys), p=weights / weights.sum())]


def bars_of(kind: str, meter: Meter) -> int:
    """How many bars a section has; more where they are short."""
    long = kind in ("verse", "chorus", "bridge", "solo")
    seconds = meter.bar * meter.step
    return (8 if long else 4) * (2 if long and seconds < 1.3 else 1) // (2 if seconds > 2.0 else 1)


def quarter_bpm(section: Section) -> float:
    """Quarter notes in a minute."""
    return section.meter.bpm / (2.0 if section.meter.per_beat == 2 else 1.0)


def place(riff: Riff, section: Section) -> list[Placed]:
    """A riff through a section.

    Every fourth time, in short sections every second, a riff of two phrases has its other one; one of more goes
    through them.
    """
    count = section.bars * section.bar // riff.length
    if len(riff.phrases) == 2:
        turn = 4 if count >= 4 else 2
        order = [int(i % turn == turn - 1) for i in range(count)]
    else:
        order = [i % len(riff.phrases) for i in range(count)]
    return [Placed(section.tick + i * riff.length, riff, phrase) for i, phrase in enumerate(order)]


def flat(riff: Riff) -> Iterator[Note]:
    """The notes of all its phrases."""
    return (note for phrase in riff.phrases for note in phrase)


def fitted(riff: Riff | None, section: Section) -> Riff | None:
    """The riff where its phrases fill bars of the section, else none."""
    return riff if riff is not None and riff.length % section.bar == 0 else None


def bass_pitch(pitch: int, lowest: int) -> int:
    """The pitch that a bass plays under a guitar's: an octave or more lower, within an octave and a half."""
    return lowest + (pitch - lowest) % 12 if pitch - 12 > lowest + 17 else max(lowest, pitch - 12)


def pulse(phrase: tuple[Note, ...], every: int, section: Section) -> tuple[Note, ...]:
    """Even notes, `every` so many grid steps through the phrase, on the pitches that it has at the time."""
    times = [note.time for note in phrase]
    end = max((note.time + note.length for note in phrase), default=0)
    notes = []
    for step in range(0, round(end / section.step), every):
        tick = step * section.step
        under = phrase[max(bisect_right(times, tick) - 1, 0)]
        weight = section.meter.weight(step)
        notes.append(Note(tick, every * section.step, under.root, velocity=under.velocity, weight=weight))
    return tuple(notes)


def cells_rhythm(
    rng: np.random.Generator, meter: Meter, steps: int, cells: tuple[tuple[int, ...], ...]
) -> list[tuple[int, int]]:
    """One cell for all beats but for some last ones: (start, length) of each note in steps."""
    cells = [cell for cell in cells if min(cell) * meter.step * FASTEST_NOTES > 1.0] or [(meter.per_beat,)]
    cell = cells[rng.integers(len(cells))]
    other = cells[rng.integers(len(cells))] if rng.random() < 0.5 else (meter.per_beat,)
    rhythm, position = [], 0
    while position < steps:
        last = position >= steps - meter.per_beat
        for length in other if last else cell:
            if position < steps:
                rhythm.append((position, min(length, steps - position)))
            position += length
    return rhythm
