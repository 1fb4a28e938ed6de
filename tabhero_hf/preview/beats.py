"""Where the beats and measures of a chart begin."""

from __future__ import annotations

import math

import numpy as np

from tabhero_hf.charts.tempo import TempoMap

MAX_LINES = 200_000
"""More than six hours of music have; a broken chart would have billions."""


def beat_lines(tempo_map: TempoMap, end_tick: int) -> tuple[np.ndarray, np.ndarray]:
    """The beats from tick 0 to ``end_tick``, that one included, but for those after the first 200,000.

    A beat is what the denominator of the time signature says. Each time signature begins a measure.

    Returns:
        Ticks, float64 as beats need not fall on whole ones, and whether a measure begins there, bool; both of shape
        ``(beats,)`` and ascending.
    """
    ticks, measures, room = [], [], MAX_LINES
    ends = [*(start for start, *_ in tempo_map.meters[1:]), end_tick + 1]
    for (start, numerator, denominator), end in zip(tempo_map.meters, ends):
        step = tempo_map.resolution * 4 / denominator
        beats = np.arange(min(max(math.ceil((min(end, end_tick + 1) - start) / step), 0), room))
        ticks.append(start + beats * step)
        measures.append(beats % numerator == 0)
        room -= len(beats)
    return np.concatenate(ticks), np.concatenate(measures)
