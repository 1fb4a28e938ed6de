"""What sounds between two moments: the pitches, and how loud."""

from __future__ import annotations

import numpy as np

WINDOW_SECONDS = 0.19
MIN_WINDOW = 256
QUIET = 1e-6


def window_length(sampling_rate: int) -> int:
    """Samples of a window long enough to tell the lower notes of a guitar apart, a power of 2."""
    return max(2 ** round(np.log2(WINDOW_SECONDS * sampling_rate)), MIN_WINDOW)


def chroma_between(waveform: np.ndarray, sampling_rate: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch classes and loudness of each stretch between two times.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        times: ascending, in seconds, shape ``(stretches + 1,)``; what lies outside the waveform is silence.

    Returns:
        Chroma of length 1 (0 for silence), shape ``(stretches, 12)``, and level in dB, shape ``(stretches,)``.
    """
    import librosa

    n_fft = window_length(sampling_rate)
    hop = n_fft // 2
    filters = librosa.filters.chroma(sr=sampling_rate, n_fft=n_fft, tuning=0.0)
    padded = np.pad(np.asarray(waveform, dtype=np.float32), (n_fft // 2, n_fft))
    frames = 1 + len(waveform) // hop
    chroma, power = np.empty((frames, 12)), np.empty(frames)
    for frame in range(0, frames, MIN_WINDOW):
        last = min(frame + MIN_WINDOW, frames)
        samples = padded[frame * hop : (last - 1) * hop + n_fft]
        magnitude = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, center=False))
        # Roots, so that one loud partial does not hide the others.
        chroma[frame:last] = (filters @ np.sqrt(magnitude)).T
        power[frame:last] = (magnitude**2).mean(axis=0)
    edges = np.searchsorted(np.arange(frames) * hop / sampling_rate, times)
    counts = np.maximum(np.diff(edges), 1)

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros_like(values[:1]), values.cumsum(axis=0)])
        return (sums[edges[1:]] - sums[edges[:-1]]) / counts.reshape(-1, *[1] * (values.ndim - 1))

    chroma = means(chroma)
    length = np.linalg.norm(chroma, axis=1, keepdims=True)
    return chroma / np.where(length > QUIET, length, np.inf), 10 * np.log10(means(power) + QUIET)
