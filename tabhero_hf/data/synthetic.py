"""Made training windows: a short piece of a rock or metal song whose every note is known.

A window is composed (tempo, riffs on a grid, pitches from a scale), performed (human timing), rendered by `synthesis`,
and charted by fixed rules: lanes follow the sounding pitch, lower difficulties are thinned by metrical weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tabhero_hf.data import synthesis as syn

LEAD, BASS, RHYTHM, KEYS = range(4)
EASY, MEDIUM, HARD, EXPERT = range(4)
HOPO = 1

PRE_ROLL = 1.0  # s rendered before the window, so that sounds ring into it
MIN_SUSTAIN = 0.35  # s a note must sound to be charted as held
SUSTAIN_GAP = 0.06  # s a held note ends before the next one
FASTEST_NOTES = 10.8  # 1/s

# Lowest and highest pitch (MIDI) of each lane. One pitch between neighbours is never played, so that lanes are a
# function of pitch with boundaries two semitones wide.
GUITAR_LANES = ((35, 41), (43, 47), (49, 54), (56, 62), (64, 81))
BASS_LANES = ((27, 32), (34, 37), (39, 42), (44, 47), (49, 57))
KEYS_LANES = ((45, 53), (55, 60), (62, 66), (68, 73), (75, 88))
LANES = {LEAD: GUITAR_LANES, RHYTHM: GUITAR_LANES, BASS: BASS_LANES, KEYS: KEYS_LANES}

# Shape of a chord -> (semitones above the root, lanes above the root's lane).
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "single": ((0,), (0,)),
    "fifth": ((0, 7, 12), (0, 1)),
    "octave": ((0, 12), (0, 2)),
    "minor": ((0, 7, 12, 15, 19), (0, 1, 2)),
    "major": ((0, 7, 12, 16, 19), (0, 1, 2)),
}

SCALES = (
    (0, 2, 3, 5, 7, 8, 10),
    (0, 1, 3, 5, 7, 8, 10),
    (0, 3, 5, 6, 7, 10),
    (0, 3, 5, 7, 10),
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 11),
    tuple(range(12)),
)

# Rhythms of one or two beats as note lengths in grid steps; negative lengths are rests.
STRAIGHT_CELLS = (
    (1, 1, 1, 1),
    (2, 1, 1),
    (1, 1, 2),
    (1, 2, 1),
    (2, 2),
    (3, 1),
    (1, 3),
    (4,),
    (-2, 2),
    (-1, 1, 1, 1),
    (2, -2),
    (3, 3, 2),
    (3, 3, 1, 1),
    (6, 2),
    (2, 6),
    (8,),
    (1, 1, -2),
    (-4, 4),
    (4, 2, 2),
)
TRIPLET_CELLS = ((1, 1, 1), (2, 1), (3,), (-1, 1, 1), (1, 2), (6,), (1, 1, -1), (2, 2, 2), (3, 2, 1))
LONG_CELLS = {4: ((8,), (16,), (12, 4), (6, 6, 4), (4, 4, 8), (4, 4)), 3: ((6,), (12,), (9, 3), (3, 3))}

# How often each kind of riff is played on each instrument.
STYLES = {
    LEAD: {
        "melody": 5,
        "run": 3,
        "arpeggio": 3,
        "pedal": 4,
        "chug": 3,
        "power": 3,
        "tremolo": 2,
        "chords": 1,
        "octaves": 1,
    },
    RHYTHM: {"chug": 5, "power": 5, "pedal": 3, "chords": 2, "tremolo": 1, "arpeggio": 1, "octaves": 1},
    BASS: {"roots": 4, "melody": 3, "pedal": 2, "run": 1},
    KEYS: {"melody": 4, "arpeggio": 4, "run": 2, "chords": 3, "octaves": 1},
}

BEATS = ("rock", "rock", "rock", "half", "double", "double", "blast", "punk")
DRUM_LEVELS = {  # dB
    "kick": 0,
    "snare": 0,
    "hat": -13,
    "open": -12,
    "ride": -13,
    "crash": -8,
    "china": -9,
    "tom0": -2,
    "tom1": -2,
    "tom2": -1,
}

Label = tuple[float, tuple[int, ...], int, float]


@dataclass(frozen=True, slots=True)
class SyntheticWindow:
    """Audio with its charts."""

    waveform: np.ndarray  # (samples,) float32 mono, 22050 Hz
    notes: dict[int, list[Label]]  # difficulty 0..3 -> notes (time s, lanes, modifier bits 1 HOPO, sustain s)
    instrument: int  # 0 lead 1 bass 2 rhythm 3 keys: whose notes are charted


@dataclass(frozen=True, slots=True)
class Note:
    """One struck note or chord, in grid steps while composed; `time` and `length` are seconds once performed."""

    time: float
    length: float
    root: int
    shape: str = "single"
    muted: bool = False
    legato: bool = False
    velocity: float = 1.0
    glide: float = 0.0  # semitones below its pitch from which it is bent or slid up
    take: int = 0  # notes of one pitch and take sound alike
    weight: int = 0  # metrical strength: 4 bar, 3 half bar, 2 beat, 1 half beat, 0 other
    grid_time: float = 0.0  # s, before human timing


@dataclass(frozen=True, slots=True)
class Meter:
    """The time frame of a window. Times are seconds from the start of the render."""

    bpm: float
    per_beat: int  # grid steps in a beat
    beats: int  # beats in a bar
    phase: float  # time of the first bar line, <= 0
    duration: float

    @property
    def step(self) -> float:
        """Seconds in a grid step."""
        return 60.0 / self.bpm / self.per_beat

    @property
    def bar(self) -> int:
        """Grid steps in a bar."""
        return self.per_beat * self.beats

    @property
    def bars(self) -> int:
        """Bars that cover the render."""
        return int(np.ceil((self.duration - self.phase) / (self.bar * self.step)))

    def weight(self, step: int) -> int:
        """Metrical strength of a grid step."""
        if step % self.bar == 0:
            return 4
        if step % self.per_beat == 0:
            return 3 if self.beats == 4 and step % (2 * self.per_beat) == 0 else 2
        return int(2 * step % self.per_beat == 0)


def make_window(seed: int, seconds: float = 8.0) -> SyntheticWindow:
    """Compose, render and chart a window of `seconds`; the same seed gives the same window."""
    rng = np.random.default_rng([1, seed])
    meter = draw_meter(rng, seconds + PRE_ROLL)
    instrument = int(rng.choice(4, p=(0.55, 0.14, 0.17, 0.14)))
    part = compose_part(rng, meter, instrument)
    if rng.random() < 0.015:
        part = []
    scene = rng.random()
    band = np.zeros(int(round(meter.duration * syn.SAMPLE_RATE)), np.float32)
    if scene < 0.86:
        band = render_band(rng, meter, part, instrument, len(band))
    played = render_part(rng, part, instrument, len(band))
    mix = balance(rng, played, band)
    if scene > 0.99:
        part, mix = [], np.zeros_like(band)
    mix += noise_floor(rng, len(mix))
    waveform = syn.master(mix[int(PRE_ROLL * syn.SAMPLE_RATE) :], rng)
    return SyntheticWindow(waveform, chart(part, instrument, meter, seconds), instrument)


# ---------------------------------------------------------------------------------------------------------------------
# Music


def draw_meter(rng: np.random.Generator, duration: float) -> Meter:
    """Draw tempo, subdivision and phase."""
    bpm = float(np.clip(rng.normal(128.0, 32.0), 70.0, 200.0))
    per_beat = 3 if rng.random() < 0.15 else 4
    beats = 3 if rng.random() < 0.08 else 4
    return Meter(bpm, per_beat, beats, -rng.uniform(0.0, 60.0 / bpm * beats), duration)


def playable(instrument: int, root: int, scale: tuple[int, ...]) -> np.ndarray:
    """Pitches of the scale within the instrument's lanes, ascending."""
    return np.array([p for low, high in LANES[instrument] for p in range(low, high + 1) if (p - root) % 12 in scale])


def lane_of(instrument: int, pitch: int) -> int:
    """Lane of a pitch."""
    return int(np.searchsorted([high for _, high in LANES[instrument]], pitch))


def lanes_of(instrument: int, note: Note) -> tuple[int, ...]:
    """Lanes of a note or chord: its root's and, for a chord, fixed ones above."""
    above = SHAPES[note.shape][1]
    base = min(lane_of(instrument, note.root), 4 - above[-1])
    return tuple(base + lane for lane in above)


def compose_part(rng: np.random.Generator, meter: Meter, instrument: int) -> list[Note]:
    """Compose 1-3 riffs, repeat them through the window and perform them with human timing."""
    root = int(rng.integers(12))
    scale = SCALES[rng.integers(len(SCALES))]
    pitches = playable(instrument, root, scale)
    bars = int(rng.choice([1, 2])) if meter.bpm > 100 else 1
    riffs = [compose_riff(rng, meter, instrument, pitches, bars * meter.bar) for _ in range(rng.integers(1, 4))]
    notes: list[Note] = []
    repeats, current = 0, 0
    for start in range(0, meter.bars, bars):
        if repeats == 0:
            current = int(rng.integers(len(riffs)))
            repeats = int(rng.integers(1, 5))
            silent = rng.random() < 0.06
        repeats -= 1
        if not silent:
            notes += [replace(n, time=n.time + start * meter.bar) for n in vary(rng, riffs[current])]
    return perform(rng, meter, notes)


def vary(rng: np.random.Generator, riff: list[Note]) -> list[Note]:
    """Now and then leave out a few notes of a repetition."""
    if rng.random() > 0.2:
        return riff
    return [note for note in riff if rng.random() > 0.15]


def compose_riff(
    rng: np.random.Generator, meter: Meter, instrument: int, pitches: np.ndarray, steps: int
) -> list[Note]:
    """Compose one riff of `steps` grid steps in a random style; times and lengths are in steps."""
    names = list(STYLES[instrument])
    odds = np.array([STYLES[instrument][name] for name in names], dtype=float)
    style = names[rng.choice(len(names), p=odds / odds.sum())]
    rhythm = draw_rhythm(rng, meter, steps, style)
    register = draw_register(rng, instrument, style, len(pitches))
    notes = WRITERS[style](rng, meter, rhythm, pitches, register)
    if rng.random() < 0.3:
        share = rng.uniform(0.35, 0.8)
        notes = [replace(note, length=max(0.5, note.length * share)) for note in notes]
    return notes


def draw_rhythm(
    rng: np.random.Generator, meter: Meter, steps: int, style: str, fastest: float = FASTEST_NOTES
) -> list[tuple[int, int]]:
    """Fill `steps` with a few rhythmic cells near a target density: (start, length) of each note."""
    rate = {
        "run": rng.uniform(6.0, 10.0),
        "tremolo": rng.uniform(6.0, 10.5),
        "chug": rng.uniform(3.5, 9.5),
        "chords": 1.0,
    }.get(style, rng.triangular(1.5, 5.0, 10.0))
    cells = STRAIGHT_CELLS if meter.per_beat == 4 else TRIPLET_CELLS
    if style == "chords" or (style in ("melody", "power", "octaves") and rng.random() < 0.25):
        cells = LONG_CELLS[meter.per_beat]
    cells = [cell for cell in cells if min(map(abs, cell)) * meter.step * fastest > 1.0]
    rates = np.array([sum(s > 0 for s in cell) / (sum(map(abs, cell)) * meter.step) for cell in cells])
    odds = np.exp(-np.square((rates - rate) / 1.5)) + 1e-3
    chosen = rng.choice(len(cells), size=int(rng.integers(1, 4)), p=odds / odds.sum())
    rhythm, position = [], 0
    while position < steps:
        for length in cells[rng.choice(chosen)]:
            if length > 0 and position < steps:
                rhythm.append((position, min(length, steps - position)))
            position += abs(length)
    return rhythm


def draw_register(rng: np.random.Generator, instrument: int, style: str, count: int) -> int:
    """Index of the pitch around which a riff moves."""
    low = style in ("chug", "power", "pedal", "roots") or (instrument == RHYTHM and style != "arpeggio")
    if low and instrument in (LEAD, RHYTHM):
        return int(rng.integers(0, max(1, count // 4)))
    if style in ("chords", "octaves"):
        return int(rng.integers(0, max(1, count // 2)))
    return int(rng.integers(count // 5, max(count // 5 + 1, count * 4 // 5)))


Rhythm = list[tuple[int, int]]


def write_melody(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """A walk over the scale that leans back to its register."""
    notes, at = [], register
    for start, length in rhythm:
        notes.append(Note(start, length, int(pitches[at]), velocity=rng.uniform(0.75, 1.0)))
        move = int(rng.choice([-4, -3, -2, -1, 0, 1, 2, 3, 4], p=np.array([1, 2, 3, 4, 3, 4, 3, 2, 1]) / 23))
        at = int(np.clip(at + move + np.sign(register - at) * (rng.random() < 0.3), 0, len(pitches) - 1))
    return notes


def write_run(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """A scale run up and down, often played legato."""
    legato = rng.random() < 0.5
    size = int(rng.integers(3, 7))
    figure = [abs((i % (2 * size)) - size) for i in range(2 * size)]
    if rng.random() < 0.5:
        figure = [i + step for i in range(size) for step in (0, 1, 2)]
    notes = []
    for i, (start, length) in enumerate(rhythm):
        at = int(np.clip(register + figure[i % len(figure)] - size // 2, 0, len(pitches) - 1))
        accent = start % meter.per_beat == 0
        notes.append(
            Note(
                start,
                length,
                int(pitches[at]),
                legato=legato and not accent,
                velocity=1.0 if accent else rng.uniform(0.7, 0.9),
            )
        )
    return notes


def write_arpeggio(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """Chord tones in a repeating order over a chord that changes by the half bar or bar."""
    order = rng.choice([0, 2, 4, 5, 7], size=int(rng.integers(3, 7)))
    every = meter.bar // int(rng.choice([1, 2])) if meter.beats == 4 else meter.bar
    shifts = rng.integers(-3, 4, size=8)
    notes = []
    for i, (start, length) in enumerate(rhythm):
        at = int(np.clip(register + shifts[start // every % 8] + order[i % len(order)] - 3, 0, len(pitches) - 1))
        notes.append(Note(start, length, int(pitches[at]), velocity=rng.uniform(0.75, 1.0)))
    return notes


def write_pedal(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """A low note that other notes keep coming back to."""
    muted = rng.random() < 0.7
    period = int(rng.choice([2, 2, 3, 4]))
    notes, at = [], register + 3
    for i, (start, length) in enumerate(rhythm):
        if i % period:
            notes.append(Note(start, length, int(pitches[register]), muted=muted, velocity=rng.uniform(0.7, 0.9)))
        else:
            at = int(np.clip(at + rng.integers(-3, 4), register + 1, min(register + 10, len(pitches) - 1)))
            notes.append(Note(start, length, int(pitches[at])))
    return notes


def write_chug(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """Palm-muted low notes or power chords with open accents."""
    accents = rng.random(len(rhythm)) < rng.uniform(0.05, 0.35)
    shape = "fifth" if rng.random() < 0.3 else "single"
    accent_shape = str(rng.choice(["fifth", "fifth", "single", "octave"]))
    notes = []
    for accent, (start, length) in zip(accents, rhythm, strict=True):
        if accent:
            at = register + int(rng.integers(0, 6))
            notes.append(Note(start, length, int(pitches[at]), accent_shape))
        else:
            notes.append(
                Note(start, length, int(pitches[register]), shape, muted=True, velocity=rng.uniform(0.75, 1.0))
            )
    return notes


def write_power(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """Power chords on a progression."""
    every = meter.per_beat * int(rng.choice([1, 2, meter.beats]))
    roots = register + rng.integers(0, 7, size=16)
    return [Note(start, length, int(pitches[roots[start // every % 16]]), "fifth") for start, length in rhythm]


def write_chords(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """Held chords of one kind, each on another root."""
    shape = str(rng.choice(["fifth", "minor", "major", "octave"]))
    return [Note(start, length, int(pitches[register + int(rng.integers(0, 6))]), shape) for start, length in rhythm]


def write_octaves(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """A melody in octaves."""
    return [replace(note, shape="octave") for note in write_melody(rng, meter, rhythm, pitches, register)]


def write_tremolo(
    rng: np.random.Generator, meter: Meter, rhythm: Rhythm, pitches: np.ndarray, register: int
) -> list[Note]:
    """Fast repeated notes whose pitch changes by the beat."""
    every = meter.per_beat * int(rng.choice([1, 2, meter.beats]))
    tune = np.clip(register + np.cumsum(rng.integers(-3, 4, size=16)), 0, len(pitches) - 1)
    return [
        Note(start, length, int(pitches[tune[start // every % 16]]), velocity=rng.uniform(0.85, 1.0))
        for start, length in rhythm
    ]


Writer = Callable[[np.random.Generator, Meter, Rhythm, np.ndarray, int], list[Note]]
WRITERS: dict[str, Writer] = {
    "melody": write_melody,
    "run": write_run,
    "arpeggio": write_arpeggio,
    "pedal": write_pedal,
    "chug": write_chug,
    "power": write_power,
    "chords": write_chords,
    "octaves": write_octaves,
    "tremolo": write_tremolo,
    "roots": write_tremolo,
}


def perform(rng: np.random.Generator, meter: Meter, notes: list[Note]) -> list[Note]:
    """From grid steps to seconds with human timing; a note stops when the next one starts."""
    sigma = rng.uniform(0.002, 0.006)
    grid = [meter.phase + note.time * meter.step for note in notes]
    times = [time + float(np.clip(rng.normal(0.0, sigma), -0.015, 0.015)) for time in grid]
    ends = [*times[1:], np.inf][: len(times)]
    return [
        replace(
            note,
            time=time,
            length=min(note.length * meter.step, end - time),
            grid_time=planned,
            weight=meter.weight(int(note.time)),
        )
        for note, time, end, planned in zip(notes, times, ends, grid, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Sound


def render_part(rng: np.random.Generator, part: list[Note], instrument: int, samples: int) -> np.ndarray:
    """Sound of the charted or a like part, RMS about 1, on a randomly drawn instrument of its kind."""
    if not part:
        return np.zeros(samples, np.float32)
    if instrument == BASS:
        return render_bass(rng, part, samples)
    if instrument == KEYS:
        return render_keys(rng, part, samples)
    return render_guitar(rng, part, samples)


def render_guitar(
    rng: np.random.Generator,
    part: list[Note],
    samples: int,
    drive: float | None = None,
    double: float = 0.65,
    strings: np.ndarray | None = None,
) -> np.ndarray:
    """Given or modelled strings into an amplifier of a given or drawn `drive`, double-tracked with odds `double`."""
    string = syn.guitar_string(rng)
    if drive is None:
        loud = rng.random() >= 0.5
        drive = rng.uniform(20.0, 250.0) if loud else float(np.exp(rng.uniform(np.log(1.0), np.log(300.0))))
    muted, scrape = syn.palm_muted(string, rng), rng.uniform(0.15, 0.9)
    di = strum(rng, part, samples, string, muted, scrape) if strings is None else strings
    di += 10.0 ** rng.uniform(-3.5, -2.3) * rng.normal(0.0, 1.0, samples).astype(np.float32) / np.sqrt(drive)
    amplifier = syn.guitar_amplifier(rng, drive)
    sound = syn.amplify(di, amplifier)
    if rng.random() < double:
        sound += rng.uniform(0.4, 1.0) * syn.amplify(syn.second_take(di, rng), amplifier)
    if rng.random() < 0.15:
        sound = syn.flange(sound, rng)
    if rng.random() < 0.2:
        sound = echo(sound, rng.uniform(0.2, 0.45), rng.uniform(0.1, 0.3))
    return sound


def render_bass(
    rng: np.random.Generator, part: list[Note], samples: int, strings: np.ndarray | None = None
) -> np.ndarray:
    """A bass guitar, of given or modelled strings, with anything from no to strong drive."""
    string = syn.bass_string(rng)
    muted, scrape = syn.palm_muted(string, rng), rng.uniform(0.0, 0.3)
    di = strum(rng, part, samples, string, muted, scrape) if strings is None else strings
    di /= syn.active_rms(di) + 1e-9
    grit = np.tanh(di * rng.uniform(0.5, 8.0))
    return syn.equalise(
        di + rng.uniform(0.0, 1.5) * grit, syn.random_curve(rng, 2.5), syn.low_pass(rng.uniform(1500.0, 6000.0))
    )


def render_keys(rng: np.random.Generator, part: list[Note], samples: int) -> np.ndarray:
    """Piano, organ or synthesizer."""
    timbre = syn.keyboard(rng)
    sound = strum(rng, part, samples, timbre, timbre, scrape=0.0)
    return syn.equalise(sound / (syn.active_rms(sound) + 1e-9), syn.random_curve(rng, 2.5))


def strum(
    rng: np.random.Generator, part: list[Note], samples: int, timbre: syn.Timbre, muted: syn.Timbre, scrape: float
) -> np.ndarray:
    """Sum of all notes before any amplifier; each pitch is rendered once and cut to length."""
    tuning = rng.normal(0.0, 0.08)
    spread = rng.uniform(0.0, 0.004)
    release = rng.uniform(0.004, 0.03)
    # The plectrum touches and damps the string before it strikes: what makes notes distinct at high gain.
    touch = rng.uniform(0.002, 0.012)
    picks = [syn.pick_noise(rng) for _ in range(3)]
    longest: dict[tuple[int, bool, float, int], float] = {}
    for note in part:
        for above in SHAPES[note.shape][0]:
            key = (note.root + above, note.muted, note.glide, note.take)
            longest[key] = max(longest.get(key, 0.0), note.length)
    cache = {
        key: sing(rng, muted if key[1] else timbre, key[0] + tuning, min(length, 0.4 if key[1] else 5.0), key[2])
        for key, length in longest.items()
    }
    target = np.zeros(samples, np.float32)
    for note in part:
        for voice, above in enumerate(SHAPES[note.shape][0]):
            sound = cache[note.root + above, note.muted, note.glide, note.take]
            sound = syn.fade_out(sound[: max(64, int((note.length - touch) * syn.SAMPLE_RATE))], release)
            if note.legato:
                # A hammered note lacks the brightest instant of the attack.
                rise = min(len(sound), 160)
                sound[:rise] *= np.linspace(0.2, 1.0, rise, dtype=np.float32)
            syn.add_at(target, sound, note.time + voice * spread, note.velocity * (0.7 if note.legato else 1.0))
        if scrape and not note.legato:
            syn.add_at(target, picks[rng.integers(3)], note.time, scrape * note.velocity * rng.uniform(0.6, 1.2))
    return target


def sing(rng: np.random.Generator, timbre: syn.Timbre, pitch: float, length: float, glide: float = 0.0) -> np.ndarray:
    """One pitch, reached from `glide` semitones below; other long notes sometimes with vibrato, or bent up into."""
    seconds = max(length, 0.05) + 0.02
    bend = None
    if glide:
        bend = syn.bend_up(seconds, glide, rng.uniform(0.05, 0.2))
    elif seconds > 0.4 and rng.random() < 0.4:
        bend = syn.vibrato(rng, seconds, rng.uniform(0.1, 0.5))
    elif seconds > 0.3 and rng.random() < 0.1:
        bend = syn.bend_up(seconds, rng.uniform(0.5, 2.0), rng.uniform(0.06, 0.15))
    return syn.tone(timbre, syn.midi_to_hz(pitch), seconds, rng, bend)


def echo(sound: np.ndarray, delay: float, level: float) -> np.ndarray:
    """Two fading repeats."""
    wet = sound.copy()
    syn.add_at(wet, sound, delay, level)
    syn.add_at(wet, sound, 2 * delay, level**2)
    return wet


# ---------------------------------------------------------------------------------------------------------------------
# Band


def render_band(rng: np.random.Generator, meter: Meter, part: list[Note], instrument: int, samples: int) -> np.ndarray:
    """Everything that is not charted: drums, bass, a second guitar, keys and a voice, RMS about 1."""
    band = np.zeros(samples, np.float32)
    if rng.random() < 0.93:
        drums = play_drums(rng, meter, part, samples)
        drums /= syn.active_rms(drums) + 1e-9
        drums += rng.uniform(0.0, 0.5) * syn.reverberate(drums, int(rng.integers(syn.ROOMS)))
        band += drums * decibels(rng, 0.0, 4.0)
    if instrument != BASS and rng.random() < 0.85:
        band += render_bass(rng, follow(rng, meter, part), samples) * decibels(rng, -1.0, 4.0)
    if rng.random() < 0.45:
        band += second_guitar(rng, meter, part, instrument, samples) * decibels(rng, -4.0, 4.0)
    if rng.random() < (0.0 if instrument == KEYS else 0.2):
        band += render_keys(rng, pad(rng, meter, KEYS), samples) * decibels(rng, -7.0, 4.0)
    if rng.random() < 0.3:
        band += render_voice(rng, meter, samples) * decibels(rng, -4.0, 4.0)
    return band / (syn.active_rms(band) + 1e-9)


def decibels(rng: np.random.Generator, mean: float, spread: float) -> float:
    """A random gain."""
    return float(10.0 ** (rng.normal(mean, spread) / 20.0))


def follow(rng: np.random.Generator, meter: Meter, part: list[Note]) -> list[Note]:
    """A bass line: the charted riff's roots down low, or even notes under it."""

    def low(pitch: int) -> int:
        return 28 + (pitch - 28) % 12

    if part and rng.random() < 0.5:
        return [
            replace(
                note, root=low(note.root), shape="single", legato=False, time=note.time + float(rng.normal(0.0, 0.005))
            )
            for note in part
        ]
    every = int(rng.choice([meter.per_beat, max(1, meter.per_beat // 2), meter.bar]))
    if every * meter.step * FASTEST_NOTES < 1.0:
        every = meter.per_beat
    roots = [low(note.root) for note in part[:: max(1, len(part) // 6)]] or [28 + int(rng.integers(12))]
    steps = range(0, meter.bars * meter.bar, every)
    return perform(rng, meter, [Note(s, every, roots[s // meter.bar % len(roots)]) for s in steps])


def second_guitar(
    rng: np.random.Generator, meter: Meter, part: list[Note], instrument: int, samples: int
) -> np.ndarray:
    """Another guitar: in unison with the charted one, under it with held chords, or above it with a melody."""
    kind = rng.random()
    if part and instrument in (LEAD, RHYTHM) and kind < 0.4:
        other = [replace(note, time=note.time + float(rng.normal(0.0, 0.006))) for note in part]
    elif instrument == LEAD or kind < 0.7:
        other = pad(rng, meter, RHYTHM)
    else:
        other = compose_part(rng, meter, LEAD)
    return render_guitar(rng, other, samples) if other else np.zeros(samples, np.float32)


def pad(rng: np.random.Generator, meter: Meter, instrument: int) -> list[Note]:
    """Chords held for a bar or half of one."""
    pitches = playable(instrument, int(rng.integers(12)), SCALES[0])
    every = meter.bar // int(rng.choice([1, 1, 2])) if meter.beats == 4 else meter.bar
    roots = rng.integers(0, len(pitches) // 2, size=4)
    shape = str(rng.choice(["fifth", "minor", "major"]))
    steps = range(0, meter.bars * meter.bar, every)
    return perform(rng, meter, [Note(s, every, int(pitches[roots[s // every % 4]]), shape) for s in steps])


def render_voice(rng: np.random.Generator, meter: Meter, samples: int) -> np.ndarray:
    """A sung line with vibrato and slides: sound whose onsets belong to nobody's chart."""
    timbre = syn.singer(rng)
    pitches = playable(KEYS, int(rng.integers(12)), SCALES[3])[:14]
    sound = np.zeros(samples, np.float32)
    time, at = rng.uniform(0.0, 1.0), len(pitches) // 2
    while time < meter.duration:
        length = rng.choice([1, 2, 3, 4, 8]) * 30.0 / meter.bpm
        at = int(np.clip(at + rng.integers(-2, 3), 0, len(pitches) - 1))
        bend = syn.vibrato(rng, length, rng.uniform(0.1, 0.5)) + syn.bend_up(length, rng.uniform(0.0, 2.0), 0.08)
        note = syn.tone(timbre, syn.midi_to_hz(int(pitches[at])), length, rng, bend)
        syn.add_at(sound, syn.fade_out(note, 0.05), time)
        time += length + (rng.uniform(0.2, 1.5) if rng.random() < 0.3 else 0.0)
    return sound / (syn.active_rms(sound) + 1e-9)


def play_drums(rng: np.random.Generator, meter: Meter, part: list[Note], samples: int) -> np.ndarray:
    """A beat of 1-2 bars repeated, with fills and crashes at the section ends."""
    kit = draw_kit(rng)
    beat = draw_beat(rng, meter)
    cover = rng.random() < 0.25
    sigma = rng.uniform(0.001, 0.005)
    hits: list[tuple[float, str, float]] = []
    section = int(rng.choice([2, 4, 8]))
    offset = int(rng.integers(section))
    for bar in range(meter.bars):
        first = bar * meter.bar
        bar_hits = [(first + s, name, v) for s, name, v in beat if not (cover and name == "kick")]
        if (bar + offset) % section == 0:
            bar_hits.append((first, "crash", 1.0))
        if (bar + offset) % section == section - 1 and rng.random() < 0.7:
            start = meter.bar - meter.per_beat * int(rng.integers(1, 3))
            bar_hits = [hit for hit in bar_hits if hit[0] < first + start] + fill(rng, meter, first, start)
        hits += [(meter.phase + s * meter.step + rng.normal(0.0, sigma), name, v) for s, name, v in bar_hits]
    if cover:
        hits += [(note.time + float(rng.normal(0.0, sigma)), "kick", 0.9) for note in part]
    return strike(rng, kit, hits, samples)


def draw_kit(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The sounds of a drum kit by name, each at its level in the mix."""
    kit = syn.drum_kit(int(rng.integers(syn.KITS)))
    return {name: kit[name] * np.float32(decibels(rng, level, 3.0)) for name, level in DRUM_LEVELS.items()}


def strike(
    rng: np.random.Generator, kit: dict[str, np.ndarray], hits: list[tuple[float, str, float]], samples: int
) -> np.ndarray:
    """Sound of hits (time s, drum, velocity)."""
    target = np.zeros(samples, np.float32)
    for time, name, velocity in hits:
        syn.add_at(target, kit[name], time, velocity * rng.uniform(0.85, 1.0))
    return target


def draw_beat(rng: np.random.Generator, meter: Meter, kinds: tuple[str, ...] = BEATS) -> list[tuple[int, str, float]]:
    """One bar of a rock, half-time, double-bass or blast beat: (step, drum, velocity)."""
    beat, bar, half = meter.per_beat, meter.bar, max(1, meter.per_beat // 2)
    if half * meter.step < 0.1:
        half = beat
    fast = 1 if meter.step > 0.08 else 2
    kind = rng.choice(kinds)
    cymbal = str(rng.choice(["hat", "hat", "open", "ride", "crash", "china"]))
    pulse = int(rng.choice([beat, half, half]))
    hits = [(s, cymbal, 1.0 if s % beat == 0 else 0.7) for s in range(0, bar, pulse)]
    backbeat = range(beat, bar, 2 * beat)
    if kind == "half":
        backbeat = range(bar // 2 // beat * beat, bar, bar)
    elif kind == "punk":
        backbeat = range(half if half < beat else beat, bar, beat if half < beat else 2 * beat)
    elif kind == "blast":
        backbeat = range(0, bar, half)
    hits += [(s, "snare", 0.8 if kind == "blast" else 1.0) for s in backbeat]
    if kind in ("double", "blast"):
        every = fast if kind == "double" or rng.random() < 0.5 else half
        hits += [(s, "kick", 0.8) for s in range(0, bar, every)]
    else:
        taken = set(backbeat)
        odds = rng.uniform(0.15, 0.5)
        hits += [(s, "kick", 1.0) for s in range(0, bar, max(1, half)) if s not in taken and rng.random() < odds]
        hits.append((0, "kick", 1.0))
    return hits


def fill(rng: np.random.Generator, meter: Meter, first: int, start: int) -> list[tuple[int, str, float]]:
    """A fill over snare and toms from step `start` to the end of the bar that begins at step `first`."""
    every = 1 if meter.step > 0.08 else 2
    names = ("snare", "tom0", "tom1", "tom2")
    steps = range(start, meter.bar, every)
    return [
        (first + s, names[min(3, i * 4 // len(steps) + int(rng.random() < 0.2))], rng.uniform(0.7, 1.0))
        for i, s in enumerate(steps)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Mix


def balance(rng: np.random.Generator, played: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Set the charted instrument against the band and put some of it in a room."""
    level = syn.active_rms(played)
    mix = band.copy()
    if level > 1e-6:
        mix += played / level * 10.0 ** (rng.uniform(-5.0, 8.0) / 20.0)
    if rng.random() < 0.8:
        mix += rng.uniform(0.05, 0.6) * syn.reverberate(mix, int(rng.integers(syn.ROOMS)))
    return mix


def noise_floor(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Background hiss."""
    return (10.0 ** rng.uniform(-3.5, -1.5) * rng.normal(0.0, 1.0, samples)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Labels

# Least time (s) between notes of each lower difficulty, and its map of Expert's lanes.
THINNING = {HARD: (0.16, (0, 1, 2, 3, 4)), MEDIUM: (0.30, (0, 1, 2, 3, 3)), EASY: (0.58, (0, 1, 1, 2, 2))}


def chart(part: list[Note], instrument: int, meter: Meter, seconds: float) -> dict[int, list[Label]]:
    """Notes of each difficulty, times in seconds from the window's start."""
    inside = [note for note in part if 0.0 <= note.time - PRE_ROLL < seconds]
    beat = 60.0 / meter.bpm
    charts = {EXPERT: label(inside, [lanes_of(instrument, note) for note in inside], beat, seconds)}
    for difficulty, (gap, fold) in THINNING.items():
        inside = thin(inside, gap)
        voices = {HARD: 2, MEDIUM: 2, EASY: 1}[difficulty]
        lanes = [tuple(sorted({fold[lane] for lane in lanes_of(instrument, note)[:voices]})) for note in inside]
        charts[difficulty] = label(inside, lanes, beat, seconds)
    return {difficulty: charts[difficulty] for difficulty in (EASY, MEDIUM, HARD, EXPERT)}


def thin(notes: list[Note], gap: float) -> list[Note]:
    """Keep metrically strong notes first, then whatever is at least `gap` seconds from all kept ones."""
    kept: list[Note] = []
    for note in sorted(notes, key=lambda n: (-n.weight, n.grid_time)):
        if all(abs(note.grid_time - other.grid_time) > gap for other in kept):
            kept.append(note)
    return sorted(kept, key=lambda n: n.time)


def label(notes: list[Note], lanes: list[tuple[int, ...]], beat: float, seconds: float) -> list[Label]:
    """Add sustains and natural hammer-ons; `beat` is the length of one in seconds."""
    labels: list[Label] = []
    for i, note in enumerate(notes):
        close = i > 0 and note.grid_time - notes[i - 1].grid_time <= beat / 3 + 1e-6
        hopo = close and len(lanes[i]) == 1 and lanes[i][0] not in lanes[i - 1]
        time = note.time - PRE_ROLL
        end = min(time + note.length - SUSTAIN_GAP, seconds)
        held = not note.muted and note.length > MIN_SUSTAIN
        labels.append((time, lanes[i], HOPO if hopo else 0, max(0.0, end - time) if held else 0.0))
    return labels
