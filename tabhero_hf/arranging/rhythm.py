"""When notes begin: what a listener holds likely at each moment, told by the rhythm that the song has there."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from tabhero_hf.charts import Difficulty, TempoMap

SHORTEST = 0.075
"""Seconds between two places of the grid, which is as fine as that leaves it."""

BINARY, TRIPLETS = 4, 3
"""Parts of a beat, or of the half, quarter or eighth of it that leads to places that near."""

NEUTRAL = {Difficulty.EASY: -2.35, Difficulty.MEDIUM: -1.75, Difficulty.HARD: -1.4, Difficulty.EXPERT: -1.15}
"""Log-odds of a note at a place that speak neither for nor against one. Listeners are the less sure the less a song is
like those they have learned from, so that these are below the log-odds of a usual place. These, the first ``TRUST``
and ``ENOUGH`` were chosen for the bundled checkpoint, see docs/charting.md."""

SURE = 0.75, 0.88
"""Where places part clearly into those with notes and those without, as those of an instrument alone do, a listener is
sure: how much of the variance of the log-odds lies between the two from which share on, and from which wholly."""

HIGHER, UNDER = 0.6, 0.3
"""By how much log-odds that speak neither for nor against a note are higher then, and how far below those of places
with notes they stay, as all of these may be soft. These, ``SURE`` and what ``TRUST`` is then were chosen on made songs
that no training saw."""

CLEARLY = 1.6
"""Triplets have to agree with what is heard better by this factor than halves and quarters of a beat."""

TRUST = 0.75, 3.0
"""Of the log-odds beyond that, as places next to each other are heard by the same ear: of a listener who is not sure,
and of one who is."""

PASSAGE_BEATS, SECTION_BEATS = 8.0, 32.0
"""Standard deviations of the passage and of the section around a beat, each of which has a rhythm of its own."""

USUAL = 0.3
"""How often there is a note at a place in general, which counts as much as one place of the song."""

AS_AROUND = 0.5
"""How much a section is as the song is, and a passage as its section, beside what is heard in it."""

ROUNDS = 12
ENOUGH = 0.6
"""A note is written that is as likely as this."""


class _Places(NamedTuple):
    """Where notes may begin, ascending: ticks, seconds of the audio, beats, and parts of the beat, ``(places,)`` each.

    A place at 3/4 of a beat is a quarter of it, and so is that at 1/4; one at 2/4 is a half.
    """

    ticks: np.ndarray
    seconds: np.ndarray
    beats: np.ndarray
    parts: np.ndarray


class Onsets(NamedTuple):
    """When notes begin, told by sound and rhythm.

    ``ticks`` are those of the notes, ascending; ``probability`` is that of a note in each bin of the audio, 0 between
    the places of the grid, shape ``(bins,)``.
    """

    ticks: np.ndarray
    probability: np.ndarray


def find_onsets(
    probability: np.ndarray,
    tempo_map: TempoMap,
    offset: float = 0.0,
    difficulty: Difficulty = Difficulty.EXPERT,
    bin_seconds: float = 0.01,
    on_beat: bool = True,
) -> Onsets:
    """The onsets that a listener's probabilities and the song's own rhythm make likely.

    Every place of the grid holds a note or does not. How usual a note is on beats, halves, quarters and so on, around
    a place, is told from how likely notes are there (expectation maximisation, [Dempster et al.,
    1977](https://doi.org/10.1111/j.2517-6161.1977.tb01600.x)): a run of sixteenths is not torn where one of them is
    hardly heard, and a song in eighths has none between them for an echo. Where a passage says little of itself, it
    is as its section is, and that as the song is.

    Where there is no beat to go by, peaks of the probabilities are the places, and passages differ in density alone.

    Args:
        probability: of an onset in each bin of the audio, shape ``(bins,)``.
        tempo_map: of the song.
        offset: the second of the audio that its tick 0 is at.
        difficulty: that the probabilities are of.
        bin_seconds: between two bins.
        on_beat: whether notes are on the map's beat, or wherever they are heard.
    """
    places = (_places if on_beat else _peaks)(probability, tempo_map, offset, bin_seconds)
    onsets = np.zeros(len(probability))
    if not len(places.seconds):
        return Onsets(np.zeros(0, dtype=np.int64), onsets)
    # A place reaches as far as it is the nearest.
    between = (places.seconds[1:] + places.seconds[:-1]) / 2
    reach = np.diff(places.seconds, prepend=places.seconds[0] - SHORTEST)[:2].max() / 2
    edges = np.concatenate([[places.seconds[0] - reach], between, [places.seconds[-1] + reach]])
    edges = np.clip(np.rint(edges / bin_seconds).astype(np.int64), 0, len(probability))
    log_none = np.log1p(-np.clip(probability.astype(np.float64), 0.0, 1 - 1e-6))
    none = np.concatenate([[0.0], np.cumsum(log_none)])
    likely = np.clip(1 - np.exp(none[edges[1:]] - none[edges[:-1]]), 3e-4, 0.9)
    log_odds = np.log(likely / (1 - likely))
    parted, notes = _parted(log_odds)
    sure, neutral = np.interp(parted, SURE, (0.0, 1.0)), NEUTRAL[difficulty]
    neutral += sure * min(HIGHER, notes - UNDER - neutral)
    evidence = np.interp(parted, SURE, TRUST) * (log_odds - neutral)
    bins = np.rint(places.seconds / bin_seconds).astype(np.int64)
    within = bins < len(probability)
    told = _with_rhythm(evidence, places)
    onsets[bins[within]] = told[within]
    return Onsets(places.ticks[within & (told >= ENOUGH)], onsets)


def _parted(values: np.ndarray) -> tuple[float, float]:
    """The share of the variance of values that lies between those below and above the threshold at which it is most
    ([Otsu, 1979](https://doi.org/10.1109/TSMC.1979.4310076)), 1 for two values, 0 for one; and the mean of those
    above."""
    values, count = np.sort(values), len(values)
    if values[0] == values[-1]:
        return 0.0, float(values[0])
    below = np.arange(1, count)
    total = values.cumsum()[:-1]
    lower, upper = total / below, (values.sum() - total) / (count - below)
    between = below * (count - below) * (upper - lower) ** 2 / count**2
    most = between.argmax()
    return float(between[most] / values.var()), float(upper[most])


def _with_rhythm(evidence: np.ndarray, places: _Places) -> np.ndarray:
    """How likely a note is at each place, by the evidence there and by how usual notes are at such places: in the
    passage around it, which is much as its section is, as that is as the song is (empirical Bayes)."""
    kinds, kind = np.unique(places.parts, return_inverse=True)
    beat = places.beats - places.beats.min()
    shape = beat.max() + 1, len(kinds)
    likely = 1 / (1 + np.exp(-evidence))
    spreads = SECTION_BEATS, PASSAGE_BEATS
    counts = [_around(np.ones(len(beat)), beat, kind, shape, spread) for spread in spreads]
    for _ in range(ROUNDS):
        usual = (np.bincount(kind, likely) + USUAL) / (np.bincount(kind) + 1)
        for spread, count in zip(spreads, counts, strict=True):
            weight = AS_AROUND * count.max(axis=0)
            usual = (_around(likely, beat, kind, shape, spread) + weight * usual) / (count + weight)
        usual = usual[beat, kind]
        likely = 1 / (1 + np.exp(-evidence) * (1 - usual) / usual)
    return likely


def _around(
    values: np.ndarray, beat: np.ndarray, kind: np.ndarray, shape: tuple[int, int], spread: float
) -> np.ndarray:
    """Sums of values over what is around each beat, by kind, of ``shape`` (beats, kinds)."""
    table = np.zeros(shape)
    np.add.at(table, (beat, kind), values)
    return gaussian_filter1d(table, spread, axis=0, mode="constant")


def _places(probability: np.ndarray, tempo_map: TempoMap, offset: float, bin_seconds: float) -> _Places:
    """The places of the grid within the audio."""
    end, resolution = len(probability) * bin_seconds, tempo_map.resolution
    num_beats = int(np.ceil(int(tempo_map.ticks(end - offset)) / resolution))
    if num_beats < 1:
        nowhere = np.zeros(0, dtype=np.int64)
        return _Places(nowhere, np.zeros(0), nowhere, nowhere)
    beats = np.arange(num_beats)
    starts = tempo_map.seconds(np.append(beats, num_beats) * resolution) + offset
    finer = 2.0 ** np.floor(np.log2(np.maximum(np.diff(starts) / (BINARY * SHORTEST), 1)))
    parts = np.where(_in_triplets(probability, starts, finer, bin_seconds), TRIPLETS, BINARY) * finer.astype(np.int64)
    ticks, of_beat, of_part = [], [], []
    for beat, count in zip(beats.tolist(), parts.tolist(), strict=True):
        ticks.append(np.rint((beat + np.arange(count) / count) * resolution).astype(np.int64))
        of_beat.append(np.full(count, beat))
        of_part.append([Fraction(part, count).denominator for part in range(count)])
    ticks, of_beat, of_part = (np.concatenate(values) for values in (ticks, of_beat, of_part))
    seconds = tempo_map.seconds(ticks) + offset
    within = (seconds >= 0) & (seconds < end)
    return _Places(ticks[within], seconds[within], of_beat[within], of_part[within])


def _peaks(probability: np.ndarray, tempo_map: TempoMap, offset: float, bin_seconds: float) -> _Places:
    """The places, all of one kind, where an onset is likelier than around them."""
    smooth = np.pad(gaussian_filter1d(probability.astype(np.float64), 1.0), 1)  # the first and last bin may be peaks
    seconds = (find_peaks(smooth, distance=int(SHORTEST / bin_seconds))[0] - 1) * bin_seconds
    ticks = tempo_map.ticks(seconds - offset)
    kept = (ticks >= 0) & (np.diff(ticks, prepend=-1) > 0)
    ticks, seconds = ticks[kept], seconds[kept]
    return _Places(ticks, seconds, ticks // tempo_map.resolution, np.ones_like(ticks))


def _in_triplets(probability: np.ndarray, starts: np.ndarray, finer: np.ndarray, bin_seconds: float) -> np.ndarray:
    """Whether the passage around each beat is in triplets: what is likely then comes with a third of the beat.

    It may come late all the time, as the attack of a guitar does.
    """
    moments = np.arange(len(probability)) * bin_seconds
    turns = np.interp(moments, starts, np.arange(len(starts)))
    beat = np.clip(turns.astype(np.int64), 0, len(finer) - 1)
    turns = 2 * np.pi * turns * finer[beat]

    def agreement(times: int) -> np.ndarray:
        waves = (np.bincount(beat, probability * wave(times * turns), len(finer)) for wave in (np.cos, np.sin))
        return np.hypot(*(gaussian_filter1d(wave, PASSAGE_BEATS / 2, mode="constant") for wave in waves))

    return agreement(TRIPLETS) > CLEARLY * (agreement(BINARY // 2) + agreement(BINARY)) / 2
