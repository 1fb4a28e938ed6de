"""Where in its measure a tick is, and how strong a place that is."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from .tempo import TempoMap


class Measures:
    """The measures of a tempo map whose time signatures are on measure lines, counted from 0."""

    def __init__(self, tempo_map: TempoMap) -> None:
        self.tempo_map = tempo_map
        self._starts = [tick for tick, _, _ in tempo_map.meters]
        # A measure's length in ticks, as a fraction.
        self._lengths = [(4 * tempo_map.resolution * beats, unit) for _, beats, unit in tempo_map.meters]
        self._firsts = [0]
        for (start, following), (length, unit) in zip(pairwise(self._starts), self._lengths, strict=False):
            self._firsts.append(self._firsts[-1] + (following - start) * unit // length)

    def at(self, tick: int) -> int:
        """The measure that a tick is in."""
        i = bisect_right(self._starts, tick) - 1
        length, unit = self._lengths[i]
        return self._firsts[i] + (tick - self._starts[i]) * unit // length

    def line(self, measure: int) -> int:
        """The first tick of a measure."""
        i = bisect_right(self._firsts, measure) - 1
        length, unit = self._lengths[i]
        # Rounded up: the line itself may fall between two ticks.
        return self._starts[i] - (self._firsts[i] - measure) * length // unit

    def strength(self, tick: int) -> int:
        """4 on a measure line, 3 on a beat, 2 on half a beat, 1 on a quarter or a third of one, else 0."""
        since = tick - self.line(self.at(tick))
        if since == 0:
            return 4
        for strength, parts in ((3, 1), (2, 2), (1, 4), (1, 3)):
            if since * parts % self.tempo_map.resolution == 0:
                return strength
        return 0
