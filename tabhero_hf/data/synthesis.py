"""Sound of made songs: strings, amplifiers, keys, voice, drums, room and mixing desk.

Everything is mono float32 at `SAMPLE_RATE`. Filters are applied as zero-phase gains on a Fourier transform, so that no
sound moves in time: the onset in the audio stays the onset in the label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, signal

SAMPLE_RATE = 22050
BLOCK, MARGIN = 1 << 16, 1 << 12  # samples
KITS = 32
ROOMS = 24

Gain = Callable[[np.ndarray], np.ndarray]


def midi_to_hz(pitch: float) -> float:
    """Frequency in Hz of a MIDI pitch."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def active_rms(x: np.ndarray, block: int = 2048) -> float:
    """RMS over the louder blocks of `x`, so that rests do not count as quietness."""
    energies = np.sort(np.mean(np.square(x[: len(x) // block * block].reshape(-1, block)), axis=1))
    return float(np.sqrt(energies[len(energies) // 2 :].mean()))


def add_at(target: np.ndarray, sound: np.ndarray, seconds: float, gain: float = 1.0) -> None:
    """Add `sound` into `target` in place, starting at `seconds`; what falls outside is dropped."""
    start = round(seconds * SAMPLE_RATE)
    if start < 0:
        sound, start = sound[-start:], 0
    length = min(len(sound), len(target) - start)
    if length > 0:
        target[start : start + length] += gain * sound[:length]


# ---------------------------------------------------------------------------------------------------------------------
# Filters


def in_blocks(effect: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """`effect`, whose reach is less than `MARGIN` samples, on overlapping blocks that fit the processor's cache."""
    starts = range(0, len(x), BLOCK)
    pieces = [(start, max(0, start - MARGIN)) for start in starts]
    return np.concatenate([effect(x[low : start + BLOCK + MARGIN])[start - low :][:BLOCK] for start, low in pieces])


def equalise(x: np.ndarray, *gains: Gain) -> np.ndarray:
    """Multiply the spectrum of `x` by each gain function of frequency (Hz)."""
    return in_blocks(lambda block: _equalise(block, gains), x)


def _equalise(x: np.ndarray, gains: tuple[Gain, ...]) -> np.ndarray:
    size = fft.next_fast_len(len(x) + 2048, real=True)
    spectrum = fft.rfft(x, size)
    frequencies = _frequencies(size)
    for gain in gains:
        spectrum *= gain(frequencies)
    return fft.irfft(spectrum, size)[: len(x)]


@lru_cache(maxsize=16)
def _frequencies(size: int) -> np.ndarray:
    return fft.rfftfreq(size, 1.0 / SAMPLE_RATE).astype(np.float32)


def low_pass(cutoff: float, order: int = 2) -> Gain:
    """Butterworth-like gain that falls above `cutoff` Hz."""
    return lambda f: 1.0 / np.sqrt(1.0 + (f / cutoff) ** (2 * order))


def high_pass(cutoff: float, order: int = 2) -> Gain:
    """Butterworth-like gain that falls below `cutoff` Hz."""
    return lambda f: 1.0 / np.sqrt(1.0 + (cutoff / np.maximum(f, 1.0)) ** (2 * order))


def curve(knots_hz: np.ndarray | list[float], decibels: np.ndarray | list[float]) -> Gain:
    """Gain that runs linearly in dB over log frequency through the knots."""
    octaves = np.log2(np.asarray(knots_hz, dtype=np.float32))
    levels = np.asarray(decibels, dtype=np.float32)

    def gain(f: np.ndarray) -> np.ndarray:
        # Interpolating on a coarse grid first is far cheaper than taking logarithms of every bin.
        grid = np.geomspace(20.0, SAMPLE_RATE / 2, 256)
        coarse = 10.0 ** (np.interp(np.log2(grid), octaves, levels) / 20.0)
        return np.interp(f, grid, coarse).astype(np.float32)

    return gain


def random_curve(rng: np.random.Generator, depth: float, knots: int = 9) -> Gain:
    """Smooth random colouring with a standard deviation of `depth` dB."""
    return curve(np.geomspace(50.0, 10000.0, knots), rng.normal(0.0, depth, knots))


# ---------------------------------------------------------------------------------------------------------------------
# Tones


@dataclass(frozen=True, slots=True)
class Timbre:
    """A decaying harmonic tone: what a string, pipe, oscillator or voice has in common."""

    slope: float  # partial h starts at h ** -slope
    pluck: float = 0.0  # pluck position on the string, 0..0.5; 0 for none
    decay: float = 1.0  # 1/s, of the fundamental
    bright_decay: float = 1.0  # 1/s more for each kHz of a partial
    top: float = 6000.0  # Hz, no partials above
    stretch: float = 0.0  # inharmonicity
    attack: float = 0.001  # s
    odd: float = 1.0  # gain of the even partials: 0 gives a hollow square-like sound
    formants: tuple[tuple[float, float], ...] = ()  # (Hz, width Hz) of vocal resonances


def tone(
    timbre: Timbre, hz: float, seconds: float, rng: np.random.Generator, bend: np.ndarray | None = None
) -> np.ndarray:
    """Render one note.

    Each period is one row of a (periods, partials) spectrum, inverse-transformed in one go and read at the wanted
    speed, which makes decay per partial, slight inharmonicity and pitch bends cheap. `bend` is in semitones, one value
    per sample.
    """
    samples = int(seconds * SAMPLE_RATE)
    partials = max(2, min(56, int(min(timbre.top, 9500.0) / hz)))
    size = 1 << int(np.ceil(np.log2(5 * partials)))
    h = np.arange(1, partials + 1, dtype=np.float32)
    amplitudes = h**-timbre.slope
    if timbre.pluck:
        amplitudes *= np.abs(np.sin(np.pi * h * timbre.pluck)) + 0.03
    amplitudes[1::2] *= timbre.odd
    for centre, width in timbre.formants:
        amplitudes *= 0.15 + 1.0 / (1.0 + ((h * hz - centre) / width) ** 2)
    amplitudes *= np.exp(rng.normal(0.0, 0.15, partials))
    amplitudes /= np.sqrt(np.sum(amplitudes**2))

    step = np.full(samples, hz / SAMPLE_RATE) if bend is None else hz / SAMPLE_RATE * 2.0 ** (bend[:samples] / 12.0)
    cycles = np.cumsum(step) - step[0]
    periods = int(cycles[-1]) + 2
    decays = timbre.decay + timbre.bright_decay * h * hz / 1000.0
    # Larger steps of phase between periods would be heard as clicks.
    drift = np.minimum(np.pi * timbre.stretch * h**3, 0.35)
    rate = (-decays / hz + 1j * drift).astype(np.complex64)
    spectrum = np.zeros((periods, size // 2 + 1), np.complex64)
    start = amplitudes * np.exp(1j * rng.uniform(-np.pi, np.pi, partials))
    spectrum[:, 1 : partials + 1] = start * np.exp(np.arange(periods, dtype=np.float32)[:, None] * rate)
    table = fft.irfft(spectrum, size, axis=1).ravel() * size

    position = cycles * size
    index = position.astype(np.int32)
    fraction = (position - index).astype(np.float32)
    sound = table[index]
    sound += fraction * (table[index + 1] - sound)
    rise = max(1, int(timbre.attack * SAMPLE_RATE))
    sound[:rise] *= np.linspace(0.0, 1.0, len(sound[:rise]), dtype=np.float32)
    return sound


def fade_out(sound: np.ndarray, seconds: float) -> np.ndarray:
    """Let go of a note: a linear release over its last `seconds`."""
    count = min(len(sound), max(2, int(seconds * SAMPLE_RATE)))
    faded = sound.copy()
    faded[-count:] *= np.linspace(1.0, 0.0, count, dtype=np.float32)
    return faded


def vibrato(rng: np.random.Generator, seconds: float, depth: float, delay: float = 0.15) -> np.ndarray:
    """Semitones per sample of a vibrato that sets in after `delay` seconds."""
    t = np.arange(int(seconds * SAMPLE_RATE) + 1, dtype=np.float32) / SAMPLE_RATE
    return depth * np.clip((t - delay) / 0.2, 0.0, 1.0) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t)


def bend_up(seconds: float, semitones: float, duration: float = 0.12) -> np.ndarray:
    """Semitones per sample of a string bent up to its pitch from `semitones` below."""
    t = np.arange(int(seconds * SAMPLE_RATE) + 1, dtype=np.float32) / SAMPLE_RATE
    return -semitones * np.clip(1.0 - t / duration, 0.0, 1.0)


def pick_noise(rng: np.random.Generator) -> np.ndarray:
    """Scrape of a plectrum: a few milliseconds of bright noise, peak about 1."""
    count = int(rng.uniform(0.004, 0.014) * SAMPLE_RATE)
    noise = rng.normal(0.0, 0.4, count) * np.exp(-np.arange(count) / (0.3 * count))
    return np.diff(noise, prepend=0.0).astype(np.float32)


def guitar_string(rng: np.random.Generator) -> Timbre:
    """An open electric guitar string."""
    return Timbre(
        slope=rng.uniform(0.5, 1.2),
        pluck=rng.uniform(0.07, 0.3),
        decay=rng.uniform(0.5, 1.5),
        bright_decay=rng.uniform(0.6, 2.5),
        top=rng.uniform(3500.0, 7500.0),
        stretch=rng.uniform(0.0, 3e-5),
    )


def palm_muted(string: Timbre, rng: np.random.Generator) -> Timbre:
    """The same string damped by the palm: short and dull."""
    return Timbre(
        slope=string.slope + rng.uniform(0.0, 0.4),
        pluck=string.pluck,
        decay=rng.uniform(7.0, 18.0),
        bright_decay=rng.uniform(6.0, 22.0),
        top=string.top * 0.7,
        stretch=string.stretch,
    )


def bass_string(rng: np.random.Generator) -> Timbre:
    """A bass guitar string, from dull fingers to a bright pick."""
    return Timbre(
        slope=rng.uniform(0.6, 1.5),
        pluck=rng.uniform(0.08, 0.35),
        decay=rng.uniform(0.5, 2.0),
        bright_decay=rng.uniform(2.0, 8.0),
        top=rng.uniform(1200.0, 4500.0),
        stretch=rng.uniform(0.0, 2e-5),
    )


def keyboard(rng: np.random.Generator) -> Timbre:
    """A piano, electric piano, organ, or a saw- or square-like synthesizer."""
    kind = rng.integers(5)
    if kind == 0:
        return Timbre(
            slope=rng.uniform(0.9, 1.6),
            pluck=0.12,
            decay=rng.uniform(0.8, 2.5),
            bright_decay=rng.uniform(0.5, 2.0),
            stretch=6e-5,
            attack=0.002,
        )
    if kind == 1:
        return Timbre(
            slope=rng.uniform(1.4, 2.4),
            decay=rng.uniform(0.8, 2.5),
            bright_decay=rng.uniform(2.0, 6.0),
            top=5000.0,
            attack=0.002,
        )
    sustained = {"decay": rng.uniform(0.0, 0.6), "bright_decay": rng.uniform(0.0, 0.6)}
    if kind == 2:
        return Timbre(slope=rng.uniform(0.8, 1.8), top=rng.uniform(1500.0, 5000.0), attack=0.006, **sustained)
    return Timbre(
        slope=rng.uniform(0.7, 1.3),
        top=rng.uniform(2500.0, 9000.0),
        odd=float(rng.choice([0.05, 1.0])),
        attack=rng.uniform(0.002, 0.012),
        **sustained,
    )


def singer(rng: np.random.Generator) -> Timbre:
    """A voice on one vowel."""
    first, second = rng.uniform(350.0, 850.0), rng.uniform(900.0, 2200.0)
    return Timbre(
        slope=rng.uniform(0.3, 0.8),
        decay=0.2,
        bright_decay=0.0,
        top=8000.0,
        attack=rng.uniform(0.02, 0.06),
        formants=((first, 120.0), (second, 180.0), (rng.uniform(2400.0, 3200.0), 300.0)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Amplifier


@dataclass(frozen=True, slots=True)
class Amplifier:
    """A guitar amplifier with its cabinet; `drive` 1 is clean and 300 is as high a gain as metal has."""

    drive: float
    bias: float
    before: tuple[Gain, ...]
    after: tuple[Gain, ...]


def guitar_amplifier(rng: np.random.Generator, drive: float) -> Amplifier:
    """Draw pre-emphasis and a cabinet: resonance, scooped or pushed middle, presence and a steep fall above."""
    before = (
        high_pass(rng.uniform(60.0, 250.0), 1),
        curve([100.0, rng.uniform(500.0, 1500.0), 5000.0], [0.0, rng.uniform(0.0, 9.0), rng.uniform(-6.0, 3.0)]),
    )
    after = (
        high_pass(rng.uniform(60.0, 110.0), 2),
        low_pass(rng.uniform(4000.0, 8000.0), int(rng.integers(2, 5))),
        curve(
            [70.0, rng.uniform(90.0, 180.0), rng.uniform(350.0, 900.0), rng.uniform(2000.0, 3800.0), 6000.0],
            [0.0, rng.uniform(0.0, 8.0), rng.uniform(-15.0, 2.0), rng.uniform(0.0, 8.0), 0.0],
        ),
        random_curve(rng, 2.0, 24),
    )
    return Amplifier(drive, rng.uniform(0.0, 0.4), before, after)


def amplify(di: np.ndarray, amplifier: Amplifier) -> np.ndarray:
    """Play a summed string signal through the amplifier, clipped at twice the rate against aliasing. RMS about 1."""
    sound = in_blocks(lambda block: _amplify(block, amplifier), di / (active_rms(di) * 3.0 + 1e-9))
    return sound / (active_rms(sound) + 1e-9)


def _amplify(di: np.ndarray, amplifier: Amplifier) -> np.ndarray:
    size = fft.next_fast_len(len(di) + 2048, real=True)
    size += size % 2
    spectrum = fft.rfft(di, size)
    frequencies = _frequencies(size)
    for gain in amplifier.before:
        spectrum *= gain(frequencies)
    wide = np.zeros(size + 1, spectrum.dtype)
    wide[: len(spectrum)] = 2.0 * spectrum
    driven = fft.irfft(wide, 2 * size)
    driven *= amplifier.drive
    driven += amplifier.bias
    np.tanh(driven, out=driven)
    driven -= np.tanh(amplifier.bias)
    spectrum = fft.rfft(driven)[: len(spectrum)] / 2.0
    for gain in amplifier.after:
        spectrum *= gain(frequencies)
    return fft.irfft(spectrum, size)[: len(di)]


def second_take(di: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Double-track: the same performance slightly late and slightly out of tune, varying slowly."""
    knots = np.arange(0, len(di) + SAMPLE_RATE // 4, SAMPLE_RATE // 4)
    return delayed(di, np.interp(np.arange(len(di)), knots, rng.uniform(0.001, 0.009, len(knots))))


def flange(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a copy whose short delay sweeps: moving notches through the whole spectrum."""
    t = np.arange(len(sound)) / SAMPLE_RATE
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * (rng.uniform(0.1, 1.0) * t + rng.random()))
    copy = delayed(sound, 0.0004 + rng.uniform(0.001, 0.004) * swing)
    return sound + rng.uniform(0.4, 0.9) * float(rng.choice([-1.0, 1.0])) * copy


def delayed(sound: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """`sound` read `seconds` late, one value per sample, interpolated."""
    position = np.maximum(np.arange(len(sound)) - seconds * SAMPLE_RATE, 0.0)
    index = position.astype(np.int32)
    fraction = (position - index).astype(np.float32)
    early = sound[index]
    return early + fraction * (sound[np.minimum(index + 1, len(sound) - 1)] - early)


# ---------------------------------------------------------------------------------------------------------------------
# Drums


@lru_cache(maxsize=KITS)
def drum_kit(seed: int) -> dict[str, np.ndarray]:
    """One-shot sounds of a kit by name; kits differ in tuning, damping and brightness."""
    rng = np.random.default_rng([7, seed])
    cymbals = {
        name: _cymbal(rng, rng.uniform(*length), rng.uniform(*low))
        for name, length, low in (
            ("hat", (0.03, 0.08), (4000, 7500)),
            ("open", (0.2, 0.5), (3500, 6500)),
            ("ride", (0.4, 1.2), (2500, 5500)),
            ("crash", (0.8, 2.0), (1500, 4000)),
            ("china", (0.4, 1.2), (1000, 3000)),
        )
    }
    toms = {
        f"tom{i}": _drum(rng, hz * rng.uniform(0.85, 1.2), rng.uniform(0.12, 0.3), 0.25)
        for i, hz in enumerate((160.0, 120.0, 80.0))
    }
    return {"kick": _kick(rng), "snare": _snare(rng), **cymbals, **toms}


def _envelope(seconds: float, length: float) -> np.ndarray:
    """Exponential decay with time constant `length` seconds, `seconds` long."""
    return np.exp(-np.arange(int(seconds * SAMPLE_RATE)) / (length * SAMPLE_RATE)).astype(np.float32)


def _drum(rng: np.random.Generator, hz: float, length: float, noise: float) -> np.ndarray:
    """A struck skin: a falling sine with a burst of noise."""
    envelope = _envelope(5.0 * length, length)
    t = np.arange(len(envelope)) / SAMPLE_RATE
    sweep = hz * (1.0 + rng.uniform(0.2, 1.0) * np.exp(-t / rng.uniform(0.008, 0.04)))
    skin = np.sin(2 * np.pi * np.cumsum(sweep) / SAMPLE_RATE) * envelope
    burst = rng.normal(0.0, 1.0, len(t)) * np.exp(-t / rng.uniform(0.004, 0.02))
    return _normalise(skin + noise * burst)


def _kick(rng: np.random.Generator) -> np.ndarray:
    """A bass drum: a fast deep sweep with a beater click, sometimes the bright click of metal."""
    body = _drum(rng, rng.uniform(42.0, 65.0), rng.uniform(0.05, 0.16), rng.uniform(0.0, 0.1))
    click = rng.normal(0.0, 1.0, 300) * _envelope(301 / SAMPLE_RATE, rng.uniform(0.001, 0.004))[:300]
    click = equalise(click, high_pass(rng.uniform(800.0, 3000.0)), low_pass(rng.uniform(4000.0, 9000.0)))
    body[:300] += rng.uniform(0.1, 1.2) * click
    return _normalise(body)


def _snare(rng: np.random.Generator) -> np.ndarray:
    """A snare drum: skin plus rattling wires."""
    skin = _drum(rng, rng.uniform(150.0, 260.0), rng.uniform(0.03, 0.1), 0.2)
    wires = rng.normal(0.0, 1.0, int(0.5 * SAMPLE_RATE)) * _envelope(0.5, rng.uniform(0.04, 0.13))
    wires = equalise(wires, high_pass(rng.uniform(300.0, 1800.0)), low_pass(rng.uniform(5000.0, 10000.0)))
    wires *= rng.uniform(0.4, 1.4) / np.max(np.abs(wires))
    wires[: min(len(skin), len(wires))] += skin[: len(wires)]
    return _normalise(wires)


def _cymbal(rng: np.random.Generator, length: float, low: float) -> np.ndarray:
    """Bronze: high-passed noise over a cluster of inharmonic partials."""
    envelope = _envelope(min(3.0 * length, 2.5), length)
    t = np.arange(len(envelope), dtype=np.float32) / SAMPLE_RATE
    partials = sum(np.sin(2 * np.pi * hz * t) for hz in rng.uniform(low * 0.5, 9500.0, 14)) / 14.0
    sound = (rng.normal(0.0, 0.3, len(t)) + rng.uniform(0.3, 3.0) * partials) * envelope
    return _normalise(equalise(sound, high_pass(low * rng.uniform(0.5, 1.0)), random_curve(rng, 3.0)))


def _normalise(sound: np.ndarray) -> np.ndarray:
    return (sound / np.max(np.abs(sound))).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Room and mixing desk


@lru_cache(maxsize=ROOMS)
def room(seed: int) -> np.ndarray:
    """Impulse response of a room, energy 1, without the direct sound; highs die sooner."""
    rng = np.random.default_rng([8, seed])
    length = rng.uniform(0.06, 0.5)
    t = np.arange(int(4 * length * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    noise = rng.normal(0.0, 1.0, (2, len(t)))
    dark = signal.lfilter([0.2], [1.0, -0.8], noise[0]) * np.exp(-t / length)
    response = 2.0 * dark + noise[1] * np.exp(-t / (length * rng.uniform(0.2, 0.7)))
    response[: int(rng.uniform(0.002, 0.02) * SAMPLE_RATE)] = 0.0
    return (response / np.sqrt(np.sum(response**2))).astype(np.float32)


def reverberate(x: np.ndarray, seed: int) -> np.ndarray:
    """The wet part of `x` in room number `seed`."""
    return signal.oaconvolve(x, room(seed % ROOMS))[: len(x)]


def compress(x: np.ndarray, threshold: float, ratio: float, release: float) -> np.ndarray:
    """Bus compressor on the RMS of blocks of 6 ms; `threshold` is relative to the RMS of `x`."""
    block = 128
    count = -(-len(x) // block)
    level = np.sqrt(np.mean(np.square(np.pad(x, (0, count * block - len(x))).reshape(-1, block)), axis=1))
    level /= active_rms(x) + 1e-9
    pole = np.exp(-block / (release * SAMPLE_RATE))
    smooth = np.maximum(level, signal.lfilter([1.0 - pole], [1.0, -pole], level))
    gain = np.maximum(smooth / threshold, 1.0) ** (1.0 / ratio - 1.0)
    return x * np.interp(np.arange(len(x)), (np.arange(count) + 0.5) * block, gain).astype(np.float32)


def master(mix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Equalise, compress, clip softly, limit the bandwidth now and then and scale to a random peak below 1."""
    level = active_rms(mix)
    if level < 1e-6:
        return mix.astype(np.float32)
    tilt, smile = rng.normal(0.0, 2.5), rng.uniform(0.0, 1.5)
    gains = [
        random_curve(rng, 1.5),
        curve([60.0, 10000.0], [-tilt, tilt]),
        high_pass(rng.uniform(20.0, 40.0)),
        curve([60.0, 150.0, 350.0, 900.0, 2500.0], smile * np.array([6.0, 4.0, 0.0, -3.0, 0.0])),
    ]
    if rng.random() < 0.2:
        gains.append(low_pass(rng.uniform(6000.0, 10500.0), 8))
    mix = equalise(mix, *gains)
    if rng.random() < 0.8:
        mix = compress(mix, rng.uniform(0.5, 1.5), rng.uniform(1.5, 6.0), rng.uniform(0.03, 0.2))
    clip = active_rms(mix) * 10.0 ** rng.uniform(0.3, 1.2)
    mix = np.tanh(mix / clip)
    return (mix * rng.uniform(0.3, 0.98) / np.max(np.abs(mix))).astype(np.float32)
