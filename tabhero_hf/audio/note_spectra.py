"""What sounds at the notes of a chart, without what is struck: spectra to compare, and to name pitches by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .harmony import window_length
from .stereo import FRAME, wide_frames

HOPS = 8
"""Frames in a window."""

LOWEST, HIGHEST = 30.0, 4200.0
"""Hertz that are heard."""

SKIPPED, HEARD = 0.03, 0.25
"""Seconds behind an onset that a note is heard from and to: behind its attack, and no further than the next note."""

BEFORE, UNTIL = 0.15, 0.04
"""Seconds before an onset from and to which is heard what the note is struck into."""

MEDIAN_FRAMES = 15
"""Of the filters that tell what sounds on from what is struck (Fitzgerald, 2010), in frames and in bins."""

MIDDLE = 0.5
"""How much of the middle of a stereo recording is heard where there is something at its sides."""

BLOCK_FRAMES = 2048

CONTRAST = 4.0
"""Magnitudes are compared as the logarithm of 1 and so many times their share of a song's mean."""


class NoteSpectra(NamedTuple):
    """Mean magnitudes of what sounds at each note of a chart, as shares of the song's mean.

    Args:
        frequencies: of the bins in Hz, of one width, shape ``(bins,)``.
        notes: behind each onset, shape ``(notes, bins)``.
        before: before each onset, of the same shape.
    """

    frequencies: np.ndarray
    notes: np.ndarray
    before: np.ndarray

    def in_octaves(self, lowest: float, bins: int, bins_per_octave: int) -> np.ndarray:
        """Logarithms of both in bins of one width in octaves: float32 of shape ``(notes, 2, bins)``, the second what
        sounds before."""
        filters = octave_filters(self.frequencies, lowest, bins, bins_per_octave).T
        return np.log1p(CONTRAST * np.stack([self.notes @ filters, self.before @ filters], axis=1))


def hear_notes(
    waveform: np.ndarray, sampling_rate: int, charts: Sequence[np.ndarray], sides: np.ndarray | None = None
) -> list[NoteSpectra]:
    """The spectra of the notes of charts of one song.

    What is struck is taken out of the sound first, as drums hide what a guitar plays: harmonic-percussive separation
    ([Fitzgerald, 2010](http://dafx10.iem.at/papers/DerryFitzGerald_DAFx10_P15.pdf)).

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        charts: of each the seconds of its onsets, ascending, shape ``(notes,)``.
        sides: what stands at the sides of a stereo recording, and not in its middle, ``(samples,)``, see
            :func:`~tabhero_hf.audio.stereo.middle_and_sides`.
    """
    starts = [onsets + SKIPPED for onsets in charts]
    ends = [np.minimum(np.append(onsets[1:], np.inf), onsets + HEARD) for onsets in charts]
    starts += [np.maximum(onsets - BEFORE, 0) for onsets in charts]
    ends += [np.maximum(onsets - UNTIL, 0) for onsets in charts]
    waveforms = [waveform]
    if sides is not None:
        gain = np.where(wide_frames(waveform, sides, sampling_rate), MIDDLE, 1.0).astype(np.float32)
        waveforms = [waveform * np.repeat(gain, FRAME)[: len(waveform)], sides]
    spectra, frequencies = _sounds(waveforms, sampling_rate, np.concatenate(starts), np.concatenate(ends))
    spectra /= max(float(spectra.mean()), 1e-9) if len(spectra) else 1.0
    parts = np.split(spectra, np.cumsum([len(each) for each in starts])[:-1])
    return [NoteSpectra(frequencies, *both) for both in zip(parts[: len(charts)], parts[len(charts) :], strict=True)]


def _sounds(
    waveforms: Sequence[np.ndarray], sampling_rate: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean magnitude of what sounds on between times, ``(spans, bins)``, and the frequencies of the bins in Hz.

    The magnitudes of waveforms of one length are added up.
    """
    import librosa

    n_fft = window_length(sampling_rate)
    hop = n_fft // HOPS
    frequencies = librosa.fft_frequencies(sr=sampling_rate, n_fft=n_fft)
    heard = (frequencies >= LOWEST) & (frequencies <= HIGHEST)
    padded = [np.pad(np.asarray(waveform, dtype=np.float32), n_fft // 2) for waveform in waveforms]
    frames = 1 + len(waveforms[0]) // hop
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
        cuts = [samples[begin * hop : (end - 1) * hop + n_fft] for samples in padded]
        magnitude = sum(np.abs(librosa.stft(cut, n_fft=n_fft, hop_length=hop, center=False)[heard]) for cut in cuts)
        sounding = sounding_on(magnitude)
        for note in inside.tolist():
            spectra[note] = sounding[:, first[note] - begin : last[note] - begin].mean(axis=1)
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


def octave_filters(frequencies: np.ndarray, lowest: float, bins: int, bins_per_octave: int) -> np.ndarray:
    """From bins of one width in Hertz to ``bins`` of one width in octaves, the first at ``lowest`` Hz: triangles of
    sum 1, ``(bins, len(frequencies))``."""
    centres = lowest * 2 ** (np.arange(bins) / bins_per_octave)
    width = np.maximum(1 / bins_per_octave, np.log2(1 + (frequencies[1] - frequencies[0]) / centres))[:, None]
    filters = np.maximum(1 - np.abs(np.log2(frequencies / centres[:, None])) / width, 0)
    return (filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
