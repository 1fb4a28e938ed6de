"""How often heard notes break the rules that arranging would hold them to: the fewer, the less of them is lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tabhero_hf.charts import OPEN_LANE, Difficulty, SecondsNote

from .ladder import MOST_LANES, SHORTEST_GAP
from .playability import longest_leap


def count_broken_rules(notes: Sequence[SecondsNote], difficulty: Difficulty) -> int:
    """Notes with too many lanes, or too soon or too far a leap after the one before; ``notes`` ascend."""
    crowded = sum(len(lanes) > MOST_LANES[difficulty] for _, lanes, *_ in notes)
    rushed = sum(after[0] - before[0] < SHORTEST_GAP[difficulty] for before, after in pairwise(notes))
    return crowded + rushed + sum(_leaps(before, after, difficulty) for before, after in pairwise(notes))


def _leaps(before: SecondsNote, after: SecondsNote, difficulty: Difficulty) -> bool:
    lanes = (*before[1], *after[1])
    if len(lanes) != 2 or OPEN_LANE in lanes:
        return False
    return abs(lanes[1] - lanes[0]) > longest_leap(after[0] - before[0], difficulty)
