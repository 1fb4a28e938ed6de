"""Where the beats of a song are: onset strength that does not lag, and a constant tempo map fitted to it."""

from __future__ import annotations

import numpy as np

from tabhero_hf.charts.tempo import TempoMap

MIN_BPM, MAX_BPM = 80.0, 190.0
MIN_GIVEN_BPM, MAX_GIVEN_BPM = 20.0, 600.0
DEFAULT_RESOLUTION = 480
MIN_SECONDS = 4.0
"""Less audio than this has no tempo to speak of."""

WINDOW_SECONDS = 0.012
HOP_SECONDS = 0.004
RISE_SECONDS = 0.008
BLOCK_SECONDS = 20.0

HARMONICS = (1, 2, 4)
"""Beats, eighths and sixteenths."""

SLOWNESS = 0.1
"""Of two tempos an octave apart that fit almost alike, the slower is taken: the faster loses 7 % of its strength."""

PHASES = 4096
"""How finely a beat is divided to find its phase."""

SILENCE = 1e-4
"""The peak under which a waveform is silent: three steps of 16-bit audio."""


def estimate_tempo_map(
    waveform: np.ndarray, sampling_rate: int, resolution: int = DEFAULT_RESOLUTION, bpm: float | None = None
) -> TempoMap:
    """A tempo map with one tempo for the whole song, fitted to its audio.

    Tempo and phase are those of the regular pulse of beats, eighths and sixteenths that explains most of the onset
    strength. Tick 0 is second 0; the first quarter note has a tempo of its own, so that every later one falls on a
    beat.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        resolution: ticks per quarter note of the result.
        bpm: the tempo, where it is known; only its phase is fitted then.

    Returns:
        A map with tempos of 80 to 190 BPM, in whole 0.001 BPM as ``.chart`` holds them, after the first quarter note;
        120 BPM for silence and for less than four seconds, if the tempo is not known.

    Raises:
        ValueError: a ``bpm`` that no chart has.
    """
    if bpm is not None and not MIN_GIVEN_BPM <= bpm <= MAX_GIVEN_BPM:
        raise ValueError(f"a tempo is {MIN_GIVEN_BPM:g} to {MAX_GIVEN_BPM:g} BPM, not {bpm:g}")
    if len(waveform) < MIN_SECONDS * sampling_rate or np.abs(waveform).max() < SILENCE:
        return TempoMap(resolution) if bpm is None else TempoMap(resolution, ((0, round(bpm, 3)),))
    times, strength = onset_strength(waveform, sampling_rate)
    strength -= strength.mean()
    bpm = round(60 * _beats_per_second(times, strength) if bpm is None else bpm, 3)
    first = _first_beat(times, strength, bpm / 60)
    # From half to one and a half beats, so that the first quarter note's tempo stays a sane one.
    if first < 30 / bpm:
        first += 60 / bpm
    return TempoMap(resolution, ((0, round(60 / first, 3)), (resolution, bpm)))


def onset_strength(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """How much the sound grows around each moment.

    The rise of the square root of the magnitude spectrum, averaged over frequency, between two short windows that lie
    alike before and after the moment: it comes within a few milliseconds of an attack, where a detector's onsets come
    late. The root stands between raw magnitudes, whose rise lags where noise dies away, and their logarithm, whose
    rise leads.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.

    Returns:
        Times in seconds and strengths of 0 and more, both of shape ``(frames,)``, about 4 ms apart. Strength scales
        with the square root of amplitude.
    """
    import librosa

    hop = round(HOP_SECONDS * sampling_rate)
    n_fft = 2 ** round(np.log2(WINDOW_SECONDS * sampling_rate))
    half_rise = round(RISE_SECONDS / 2 / HOP_SECONDS)
    frames = 1 + len(waveform) // hop
    padded = np.pad(np.asarray(waveform, dtype=np.float32), (n_fft // 2, n_fft))
    strength = np.zeros(frames, dtype=np.float32)
    block = round(BLOCK_SECONDS / HOP_SECONDS)
    # Blocks keep the spectrogram of a long song out of memory.
    for start in range(0, frames, block):
        first, last = max(start - half_rise, 0), min(start + block + half_rise, frames)
        samples = padded[first * hop : (last - 1) * hop + n_fft]
        spectrum = np.sqrt(np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, center=False)))
        rise = np.maximum(spectrum[:, 2 * half_rise :] - spectrum[:, : -2 * half_rise], 0).mean(axis=0)
        strength[first + half_rise : first + half_rise + len(rise)] = rise
    return np.arange(frames) * (hop / sampling_rate), strength


def _beats_per_second(times: np.ndarray, strength: np.ndarray) -> float:
    """The frequency between the tempo bounds whose harmonics are strongest in the onset strength."""
    from scipy.optimize import minimize_scalar

    padded = 2 ** int(np.ceil(np.log2(8 * len(strength))))
    magnitude = np.abs(np.fft.rfft(strength, padded))
    step = 1 / (padded * times[1])
    coarse = np.arange(MIN_BPM / 60, MAX_BPM / 60, step)
    pulse = sum(np.interp(h * coarse / step, np.arange(len(magnitude)), magnitude) for h in HARMONICS)
    best = coarse[(pulse * coarse**-SLOWNESS).argmax()]

    def weakness(frequency: float) -> float:
        return -np.abs(_harmonics(times, strength, frequency)).sum()

    bounds = (max(best - step, MIN_BPM / 60), min(best + step, MAX_BPM / 60))
    return float(minimize_scalar(weakness, bounds=bounds, method="bounded", options={"xatol": 1e-7}).x)


def _first_beat(times: np.ndarray, strength: np.ndarray, frequency: float) -> float:
    """Seconds of the first beat from 0 on."""
    phases = np.arange(PHASES) / PHASES
    harmonics = _harmonics(times, strength, frequency)
    pulse = sum((c * np.exp(2j * np.pi * h * phases)).real for h, c in zip(HARMONICS, harmonics))
    return float(phases[pulse.argmax()] / frequency)


def _harmonics(times: np.ndarray, strength: np.ndarray, frequency: float) -> np.ndarray:
    """Fourier coefficients of the onset strength at the harmonics of a frequency in Hz."""
    turn = np.exp(-2j * np.pi * frequency * times)
    return np.array([strength @ turn**h for h in HARMONICS])
