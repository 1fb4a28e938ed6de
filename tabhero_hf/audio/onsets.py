"""How much a sound grows around each moment, without the lag of an onset detector."""

from __future__ import annotations

import numpy as np

WINDOW_SECONDS = 0.012
HOP_SECONDS = 0.004
RISE_SECONDS = 0.008
BLOCK_SECONDS = 20.0

LOW_HZ = 150.0
"""Up to here sound kick drums and basses."""

ATTACK_HZ = 4000.0
"""From here on sound sticks, cymbals and picks, whose attacks are the sharpest."""

ATTACK_SECONDS = 0.010
MAX_LAG_SECONDS = 0.020
CLEAR_ATTACK = 0.1
"""By how much (natural logarithm) the energy grows at an attack, at least, for it to tell a lag."""


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
    times, strengths = onset_strengths(waveform, sampling_rate)
    return times, strengths[0]


def onset_strengths(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`onset_strength`, of all frequencies and of those to 150 Hz: strengths of shape ``(2, frames)``."""
    import librosa

    hop = round(HOP_SECONDS * sampling_rate)
    n_fft = 2 ** round(np.log2(WINDOW_SECONDS * sampling_rate))
    half_rise = round(RISE_SECONDS / 2 / HOP_SECONDS)
    low_bins = 1 + round(LOW_HZ * n_fft / sampling_rate)
    frames = 1 + len(waveform) // hop
    padded = np.pad(np.asarray(waveform, dtype=np.float32), (n_fft // 2, n_fft))
    strengths = np.zeros((2, frames), dtype=np.float32)
    block = round(BLOCK_SECONDS / HOP_SECONDS)
    # Blocks keep the spectrogram of a long song out of memory.
    for start in range(0, frames, block):
        first, last = max(start - half_rise, 0), min(start + block + half_rise, frames)
        samples = padded[first * hop : (last - 1) * hop + n_fft]
        spectrum = np.sqrt(np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, center=False)))
        rise = np.maximum(spectrum[:, 2 * half_rise :] - spectrum[:, : -2 * half_rise], 0)
        inside = slice(first + half_rise, first + half_rise + rise.shape[1])
        strengths[:, inside] = rise.mean(axis=0), rise[:low_bins].mean(axis=0)
    return np.arange(frames) * (hop / sampling_rate), strengths


def attack_lag(waveform: np.ndarray, sampling_rate: int, times: np.ndarray) -> float:
    """By how many seconds attacks come later than some times, on average; negative where they come earlier.

    :func:`onset_strength` peaks where most of the spectrum grows, some 10 ms late where drums are soft. This is where
    the energy of high frequencies grows most from one 10 ms to the next.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        times: in seconds, shape ``(times,)``, such as those of beats.

    Returns:
        Not over 20 ms either way; 0 where there are no attacks to tell it from.
    """
    from scipy.signal import butter, sosfiltfilt

    lags = np.arange(-round(MAX_LAG_SECONDS * sampling_rate), round(MAX_LAG_SECONDS * sampling_rate) + 1)
    span = round(ATTACK_SECONDS * sampling_rate)
    places = np.rint(np.asarray(times) * sampling_rate).astype(np.int64)
    places = places[(places + lags[0] >= span) & (places + lags[-1] + span < len(waveform))]
    if not len(places):
        return 0.0
    high = butter(4, min(ATTACK_HZ, sampling_rate / 4), "high", fs=sampling_rate, output="sos")
    energy = np.cumsum(np.pad(sosfiltfilt(high, waveform) ** 2, (1, 0)))
    floor = max(energy[-1] / len(waveform) * span / 100, 1e-12)  # where there is next to nothing, nothing grows

    def level(start: np.ndarray) -> np.ndarray:
        return np.log(energy[start + span] - energy[start] + floor)

    growth = np.zeros(len(lags))
    for place in places.tolist():
        growth += level(place + lags) - level(place + lags - span)
    growth /= len(places)
    best = int(growth.argmax())
    return float(lags[best] / sampling_rate) if growth[best] >= CLEAR_ATTACK else 0.0
