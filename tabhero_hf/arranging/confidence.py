"""How sure the notes of a measure are."""

from __future__ import annotations

import numpy as np

from tabhero_hf.charts.measures import Measures

CELLS = 4
"""Parts of a beat: as many onsets as this are to be expected in one, at most."""

NEAR_BINS = 4
"""So many bins from an onset a listener's probability is still one of it."""

SILENCE = 0.5
"""Where less than so many onsets were written and expected, nobody can be unsure."""


def measure_confidence(
    onsets: np.ndarray, probability: np.ndarray, measures: Measures, offset: float = 0.0, bin_seconds: float = 0.01
) -> np.ndarray:
    """The onset F1 that each measure would reach if what a listener holds likely were true.

    That is twice the expected number of onsets that are written and right, over the number of those written and the
    expected number of those to write.

    Args:
        onsets: that were written, in seconds of the audio, ascending, shape ``(notes,)``.
        probability: of an onset in each bin of the audio, shape ``(bins,)``.
        measures: of the song.
        offset: the second of the audio that tick 0 is at.
        bin_seconds: between two bins.

    Returns:
        Shape ``(measures, 3)``, up to the end of the audio: the seconds at which each starts and ends, and its
        confidence, 0 to 1, or ``nan`` where nothing is written and nothing expected.
    """
    tempo_map = measures.tempo_map
    cell = tempo_map.resolution / CELLS
    end = len(probability) * bin_seconds - offset
    last = measures.at(max(int(tempo_map.ticks(end)), 0))
    bins = np.rint(np.asarray(onsets) / bin_seconds).astype(np.int64)
    right = np.array([probability[max(at - NEAR_BINS, 0) : at + NEAR_BINS + 1].max(initial=0) for at in bins.tolist()])
    rows = np.full((last + 1, 3), np.nan)
    for measure, row in enumerate(rows):
        line, following = measures.line(measure), measures.line(measure + 1)
        row[:2] = tempo_map.seconds([line, following]) + offset
        # From half a cell before the first place to half a cell before the next measure's.
        edges = tempo_map.seconds(np.rint(np.arange(line - cell / 2, following, cell))) + offset
        places = np.clip(np.rint(edges / bin_seconds), 0, len(probability)).astype(np.int64).tolist()
        expected = sum(float(probability[a:b].max(initial=0)) for a, b in zip(places, places[1:], strict=False))
        written = slice(*np.searchsorted(onsets, edges[[0, -1]]))
        total = expected + written.stop - written.start
        if total >= SILENCE:
            row[2] = min(2 * right[written].sum() / total, 1.0)
    return rows


def least_sure(confidence: np.ndarray, stretches: int = 3, length: int = 4) -> list[tuple[float, float]]:
    """Where a chart is best looked at first: stretches of so many measures, in seconds, in order of time.

    Args:
        confidence: as :func:`measure_confidence` returns it.
        stretches: how many, at most.
        length: of each, in measures.
    """
    if len(confidence) < length:
        return []
    known = np.nan_to_num(confidence[:, 2], nan=1.0)
    means = np.convolve(known, np.full(length, 1 / length), "valid")
    chosen: list[int] = []
    for first in np.argsort(means, kind="stable").tolist():
        if means[first] < 1 and len(chosen) < stretches and all(abs(first - other) >= length for other in chosen):
            chosen.append(first)
    return [(float(confidence[at, 0]), float(confidence[at + length - 1, 1])) for at in sorted(chosen)]
