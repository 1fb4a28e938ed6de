"""Where the beats of a song let onsets be expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .beats import Beats
from .onsets import onset_strengths
from .tempo_curve import Pulse

BETWEEN_EIGHTHS = 0.35
"""How usual an onset is on a sixteenth between two eighths, against one on an eighth: as in the Expert charts of the
three real songs that the bundled checkpoint was trained on, in beats with notes."""

GRIDS = {4: ((2, 4), (1.0, BETWEEN_EIGHTHS)), 3: ((3,), (1.0,))}
"""Parts of a beat: sixteenths, or triplets. The harmonics of the beat that a passage in them has, and how usual onsets
are on them, in turn."""

PASSAGE_SECONDS = 8.0
TIMING_ERROR = 0.015
"""Standard deviation of onsets around the grid, in seconds."""

OFF_GRID = 0.02
"""How likely an onset is between two places of the grid, where the beat is sure, against one on it."""

FINER, SHORTEST = 0.2, 0.07
"""How likely it is halfway between them, where this is so many seconds."""


def onset_prior(
    beats: Beats,
    waveform: np.ndarray,
    sampling_rate: int,
    starts: Sequence[float],
    bins: int,
    bin_seconds: float = 0.01,
) -> np.ndarray:
    """How likely onsets are at each moment of some windows, by the beat alone.

    Each passage is in sixteenths or in triplets, whichever its onsets agree with more; sixteenths between eighths are
    less usual than eighths. Where the beat is unsure, all moments become alike, as for less than half a passage.

    Args:
        beats: those of the song; a beat without confidence, as that of a given map, is sure.
        waveform: mono samples of the song, shape ``(samples,)``.
        sampling_rate: in Hz.
        starts: of the windows, in seconds.
        bins: of each window.
        bin_seconds: between two bins.

    Returns:
        Shape ``(windows, bins)``, float32, 1 where onsets are the likeliest.
    """
    unknown = beats.confidence is not None and not beats.confidence.any()
    if unknown or len(waveform) < sampling_rate * PASSAGE_SECONDS / 2:
        return np.ones((len(starts), bins), np.float32)
    times, strengths = onset_strengths(waveform, sampling_rate)
    moments = np.asarray(starts)[:, None] + bin_seconds * np.arange(bins)
    turns, of_frames = (
        beats.tempo_map.ticks(at - beats.offset) / beats.tempo_map.resolution for at in (moments, times)
    )
    edges = (np.floor(turns) + [[[0]], [[1]]]) * beats.tempo_map.resolution
    (length,) = np.diff(beats.tempo_map.seconds(edges), axis=0)
    agreement, prior = [], []
    for parts, (harmonics, usual) in GRIDS.items():
        passages = Pulse(times, strengths, harmonics).agreement(of_frames, PASSAGE_SECONDS)
        agreement.append(np.interp(moments, times, passages))
        finer = np.where(length / (2 * parts) >= SHORTEST, FINER * _on_grid(turns, length, 2 * parts), 0.0)
        of_place = np.array(usual)[np.rint(turns * parts).astype(int) % len(usual)]
        prior.append(np.maximum(of_place * _on_grid(turns, length, parts), finer))
    prior = np.where(agreement[0] >= agreement[1], *prior)
    off_grid = np.full(1, OFF_GRID)
    if beats.confidence is not None and len(beats.confidence):
        sure = beats.confidence[np.clip(np.floor(turns).astype(int), 0, len(beats.confidence) - 1)]
        off_grid = OFF_GRID**sure
    return (off_grid + (1 - off_grid) * prior).astype(np.float32)


def _on_grid(turns: np.ndarray, length: np.ndarray, parts: int) -> np.ndarray:
    """How likely an onset on the nearest of the beat's parts is heard at so many beats; 1 on it."""
    away = np.abs(turns * parts - np.rint(turns * parts)) * length / parts
    return np.exp(-0.5 * (away / TIMING_ERROR) ** 2)
