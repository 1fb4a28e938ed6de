"""How much a sound grows around each moment, without the lag of an onset detector."""

from __future__ import annotations

import numpy as np

WINDOW_SECONDS = 0.012
HOP_SECONDS = 0.004
RISE_SECONDS = 0.008
BLOCK_SECONDS = 20.0

LOW_HZ = 150.0
"""Up to here sound kick drums and basses."""


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
