"""Where measures begin: the beats that are struck harder, by the drums, and where the harmony changes."""

from __future__ import annotations

import numpy as np

from .harmony import chroma_between

METERS = (4, 3, 5, 7)
"""Beats of a measure, the usual first."""

UNUSUAL_GAIN = 1.3
"""By how much another meter than the first has to stand out more."""

PLAIN = 2.0
"""Standard errors by which the first one counts as standing out at least: chance alone tells of no other."""

MIN_MEASURES = 8
NEAR_SECONDS = 0.03


def find_downbeats(
    waveform: np.ndarray,
    sampling_rate: int,
    beats: np.ndarray,
    times: np.ndarray,
    strengths: np.ndarray,
    meters: tuple[int, ...] = METERS,
    phase: int | None = None,
) -> tuple[int, int]:
    """Which beats are downbeats: every ``meter``-th from the first one on.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        beats: seconds of the beats, shape ``(beats,)``.
        times, strengths: onset strength, as of :func:`~tabhero_hf.audio.onsets.onset_strengths`.
        meters: those that may be, the first unless another stands out.
        phase: the number of the first downbeat, where it is known.

    Returns:
        Beats in a measure, and the number of the first downbeat, less than that.
    """
    if len(beats) < 2:
        return meters[0], 0 if phase is None else phase % meters[0]
    accents = _accents(waveform, sampling_rate, beats, times, strengths)
    found = []
    for meter in meters:
        if meter != meters[0] and len(beats) < MIN_MEASURES * meter:
            continue
        phases = range(meter) if phase is None else [phase % meter]
        contrast, first = max((_contrast(accents, meter, first), -first) for first in phases)
        if meter == meters[0]:
            contrast = UNUSUAL_GAIN * max(contrast, PLAIN)
        found.append((contrast, meter, -first))
    _, meter, first = max(found, key=lambda entry: entry[0])
    return meter, first


def _accents(
    waveform: np.ndarray, sampling_rate: int, beats: np.ndarray, times: np.ndarray, strengths: np.ndarray
) -> np.ndarray:
    """How much each beat is one to begin a measure with, of mean 0."""
    near = np.searchsorted(times, [beats - NEAR_SECONDS, beats + NEAR_SECONDS])
    struck = [
        [band[first:last].max(initial=0.0) for first, last in zip(*near.tolist(), strict=True)] for band in strengths
    ]
    spacing = np.diff(beats, append=2 * beats[-1] - beats[-2])
    chroma, _ = chroma_between(waveform, sampling_rate, np.append(beats, beats[-1] + spacing[-1]))
    before = np.concatenate([chroma[:1], chroma[:-1]]) + np.concatenate([chroma[:1], chroma[:1], chroma[:-2]])
    after = chroma + np.concatenate([chroma[1:], chroma[-1:]])
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    changed = 1 - (before * after).sum(axis=1) / np.where(lengths > 0, lengths, np.inf)
    changed[lengths == 0] = 0
    accents = np.zeros(len(beats))
    # Once for what the ear hears as one: any drum, the kick, the harmony.
    for cue in (*np.array(struck), changed):
        accents += (cue - cue.mean()) / (cue.std() or 1)
    return accents


def _contrast(accents: np.ndarray, meter: int, first: int) -> float:
    """How far downbeats stand out of the other beats, in standard errors."""
    downbeat = np.arange(len(accents)) % meter == first
    if downbeat.all() or not downbeat.any():
        return 0.0
    on, off = accents[downbeat], accents[~downbeat]
    error = np.sqrt(on.var() / len(on) + off.var() / len(off))
    return float((on.mean() - off.mean()) / error) if error > 0 else 0.0
