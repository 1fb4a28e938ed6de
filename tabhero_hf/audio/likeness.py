"""How notes sound beside each other: how alike, of one pitch or not, and which of two is the higher."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .note_spectra import NoteSpectra, octave_filters

LOWEST, HIGHEST = 60.0, 3000.0
"""Hertz that are compared."""

BACK = 12
"""Each note is compared with so many before it."""

BINS_PER_OCTAVE = 24

SUREST = 1e-3
"""Probabilities of pitches are kept so far from 0 and from 1: what names them is not right more often."""


class Comparison(NamedTuple):
    """Each note beside those before it: entry ``[back - 1, note]`` is of it and the note so many before.

    ``likeness`` is the cosine of their spectra, about 1 for the same pitches; ``rise`` is above 0 where the spectrum
    of the later one is that of the earlier one shifted up, and below where it is shifted down. ``same`` and
    ``higher`` are log-odds: of the same pitch, and of a higher one against a lower one; `None` where nothing names
    pitches. All of shape ``(BACK, notes)``, 0 where there is no such note.
    """

    likeness: np.ndarray
    rise: np.ndarray
    same: np.ndarray | None = None
    higher: np.ndarray | None = None


def compare_notes(spectra: NoteSpectra, pitches: np.ndarray | None = None) -> Comparison:
    """The notes of a chart compared.

    Args:
        spectra: of the notes.
        pitches: how likely each note has each pitch, ascending, ``(notes, pitches)``, if something names them.
    """
    heard = (spectra.frequencies >= LOWEST) & (spectra.frequencies <= HIGHEST)
    frequencies, notes = spectra.frequencies[heard], spectra.notes[:, heard]
    bins = int(np.log2(HIGHEST / LOWEST) * BINS_PER_OCTAVE)
    to_octaves = octave_filters(frequencies, LOWEST, bins, BINS_PER_OCTAVE).T
    likeness, rise, same, higher = np.zeros((4, BACK, len(notes)), dtype=np.float32)
    by_bin, by_octave = _unit(np.log1p(notes)), _unit(np.sqrt(notes) @ to_octaves)
    for back in range(1, min(BACK, len(notes) - 1) + 1):
        likeness[back - 1, back:] = (by_bin[back:] * by_bin[:-back]).sum(axis=1)
        earlier, later = by_octave[:-back], by_octave[back:]
        up, down = (
            [(a[:, : bins - shift] * b[:, shift:]).sum(axis=1) for shift in range(2, BINS_PER_OCTAVE + 1)]
            for a, b in ((earlier, later), (later, earlier))
        )
        rise[back - 1, back:] = np.max(up, axis=0) - np.max(down, axis=0)
        if pitches is not None:
            earlier, later = pitches[:-back], pitches[back:]
            alike = (earlier * later).sum(axis=1)
            above = ((earlier.cumsum(axis=1) - earlier) * later).sum(axis=1)
            same[back - 1, back:] = _log_ratio(alike, 1 - alike)
            higher[back - 1, back:] = _log_ratio(above, 1 - alike - above)
    return Comparison(likeness, rise) if pitches is None else Comparison(likeness, rise, same, higher)


def _log_ratio(likely: np.ndarray, unlikely: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(likely, SUREST)) - np.log(np.maximum(unlikely, SUREST))


def _unit(values: np.ndarray) -> np.ndarray:
    """Rows without their mean, of length 1; 0 for rows without any change."""
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
