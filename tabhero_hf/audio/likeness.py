"""How alike notes sound, and which of two is the higher: what a record tells of a melody without naming a pitch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .harmony import window_length

HOPS = 8
"""Frames in a window."""

LOWEST, HIGHEST = 60.0, 3000.0
"""Hertz that are compared."""

SKIPPED, HEARD = 0.03, 0.25
"""Seconds behind an onset that a note is heard from and to: behind its attack, and no further than the next note."""

MEDIAN_FRAMES = 15
"""Of the filters that tell what sounds on from what is struck (Fitzgerald, 2010), in frames and in bins."""

BLOCK_FRAMES = 2048

BACK = 12
"""Each note is compared with so many before it."""

BINS_PER_OCTAVE = 24


class Comparison(NamedTuple):
    """Each note beside those before it: entry ``[back - 1, note]`` is of it and the note so many before.

    ``likeness`` is the cosine of their spectra, about 1 for the same pitches; ``rise`` is above 0 where the spectrum
    of the later one is that of the earlier one shifted up, and below where it is shifted down. Both of shape
    ``(BACK, notes)``, 0 where there is no such note.
    """

    likeness: np.ndarray
    rise: np.ndarray


def compare_notes(waveform: np.ndarray, sampling_rate: int, charts: Sequence[np.ndarray]) -> list[Comparison]:
    """The notes of charts of one song compared.

    What is struck is taken out of the sound first, as drums hide what a guitar plays: harmonic-percussive separation
    ([Fitzgerald, 2010](http://dafx10.iem.at/papers/DerryFitzGerald_DAFx10_P15.pdf)).

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        charts: of each the seconds of its onsets, ascending, shape ``(notes,)``.
    """
    starts = [onsets + SKIPPED for onsets in charts]
    ends = [np.minimum(np.append(onsets[1:], np.inf), onsets + HEARD) for onsets in charts]
    spectra, frequencies = _sounds(waveform, sampling_rate, np.concatenate(starts), np.concatenate(ends))
    to_octaves = _octave_filters(frequencies)
    spectra /= max(float(spectra.mean()), 1e-9) if len(spectra) else 1.0
    parts = np.split(spectra, np.cumsum([len(onsets) for onsets in charts])[:-1])
    return [_compared(part, to_octaves) for part in parts]


def _sounds(
    waveform: np.ndarray, sampling_rate: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean magnitude of what sounds on between times, ``(spans, bins)``, and the frequencies of the bins in Hz."""
    import librosa

    n_fft = window_length(sampling_rate)
    hop = n_fft // HOPS
    frequencies = librosa.fft_frequencies(sr=sampling_rate, n_fft=n_fft)
    heard = (frequencies >= LOWEST) & (frequencies <= HIGHEST)
    padded = np.pad(np.asarray(waveform, dtype=np.float32), n_fft // 2)
    frames = 1 + len(waveform) // hop
    first = np.clip(np.rint(starts * sampling_rate / hop).astype(np.int64), 0, frames - 1)
    last = np.clip((ends * sampling_rate / hop).astype(np.int64), first + 1, frames)
    spectra = np.zeros((len(starts), int(heard.sum())), dtype=np.float32)
    # A block begins early and ends late enough for the filters, and for the notes that begin in it.
    margin = MEDIAN_FRAMES + int(np.ceil(HEARD * sampling_rate / hop))
    for block in range(0, frames, BLOCK_FRAMES):
        inside = np.flatnonzero((first >= block) & (first < block + BLOCK_FRAMES))
        if not len(inside):
            continue
        begin, end = max(block - margin, 0), min(block + BLOCK_FRAMES + margin, frames)
        samples = padded[begin * hop : (end - 1) * hop + n_fft]
        magnitude = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, center=False)[heard])
        sounding = sounding_on(magnitude)
        for span in inside.tolist():
            spectra[span] = sounding[:, first[span] - begin : last[span] - begin].mean(axis=1)
    return spectra, frequencies[heard]


def sounding_on(magnitude: np.ndarray) -> np.ndarray:
    """
    What sounds on in a spectrogram ``(bins, frames)``, without what is struck: the harmonic part that
    ``librosa.decompose.hpss`` finds, by medians of one row after the other, which SciPy has several times as fast as
    those of a table.
    """
    import librosa
    from scipy.ndimage import median_filter

    def medians(rows: np.ndarray) -> np.ndarray:
        return np.stack([median_filter(row, MEDIAN_FRAMES, mode="reflect") for row in np.ascontiguousarray(rows)])

    along, across = medians(magnitude), medians(magnitude.T).T
    return magnitude * librosa.util.softmask(along, across, power=2, split_zeros=True)


def _octave_filters(frequencies: np.ndarray) -> np.ndarray:
    """From bins of one width in Hertz to bins of one width in octaves: ``(octave bins, bins)``."""
    count = int(np.log2(HIGHEST / LOWEST) * BINS_PER_OCTAVE)
    centres = LOWEST * 2 ** (np.arange(count) / BINS_PER_OCTAVE)
    width = np.maximum(1 / BINS_PER_OCTAVE, np.log2(1 + (frequencies[1] - frequencies[0]) / centres))[:, None]
    filters = np.maximum(1 - np.abs(np.log2(frequencies / centres[:, None])) / width, 0)
    return (filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _compared(spectra: np.ndarray, to_octaves: np.ndarray) -> Comparison:
    likeness, rise = np.zeros((2, BACK, len(spectra)), dtype=np.float32)
    by_bin, by_octave = _unit(np.log1p(spectra)), _unit(np.sqrt(spectra) @ to_octaves.T)
    bins = by_octave.shape[1]
    for back in range(1, min(BACK, len(spectra) - 1) + 1):
        likeness[back - 1, back:] = (by_bin[back:] * by_bin[:-back]).sum(axis=1)
        earlier, later = by_octave[:-back], by_octave[back:]
        up, down = (
            [(a[:, : bins - shift] * b[:, shift:]).sum(axis=1) for shift in range(2, BINS_PER_OCTAVE + 1)]
            for a, b in ((earlier, later), (later, earlier))
        )
        rise[back - 1, back:] = np.max(up, axis=0) - np.max(down, axis=0)
    return Comparison(likeness, rise)


def _unit(values: np.ndarray) -> np.ndarray:
    """Rows without their mean, of length 1; 0 for rows without any change."""
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
