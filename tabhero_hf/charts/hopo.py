"""Natural hammer-ons: which notes a player sees as HOPO when nothing forces them.

Follows the community specification (TheNathannator/GuitarGame_ChartFormats) and Clone Hero's defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike


def hopo_threshold(resolution: int, settings: Mapping[str, str] | None = None, *, midi: bool = False) -> int:
    """The largest distance in ticks, inclusive, from the previous note at which a note is a natural HOPO.

    Args:
        resolution: ticks per quarter note.
        settings: keys of ``song.ini``, of which ``hopo_frequency`` (ticks; 0, negative or not a number is unset) and
            ``eighthnote_hopo`` (``1`` or ``true``) count, in this order.
        midi: the rule of ``notes.mid`` instead of that of ``notes.chart``.
    """
    settings = settings or {}
    frequency = whole_number(settings.get("hopo_frequency"))
    if frequency > 0:
        return frequency
    if settings.get("eighthnote_hopo", "").strip().lower() in ("1", "true"):
        return resolution // 2 + 1
    return resolution // 3 + 1 if midi else 65 * resolution // 192


def whole_number(text: str | None) -> int:
    """A setting of ``song.ini`` as a number; -1, which means unset, where it is none."""
    try:
        return int(text or "")
    except ValueError:
        return -1


def natural_hopos(ticks: ArrayLike, masks: ArrayLike, threshold: int, *, midi: bool = False) -> np.ndarray:
    """For each note whether it is a natural HOPO.

    A single note at most ``threshold`` ticks after the previous note, and not that same single note again. In
    ``notes.mid`` it may not be a member of the previous chord either.

    Args:
        ticks: one tick a note (all lanes struck together), strictly ascending.
        masks: the lanes of each note, lane ``i`` as bit ``i``; see :attr:`~tabhero_hf.charts.Note.mask`.
        threshold: see :func:`hopo_threshold`.
        midi: the rule of ``notes.mid`` instead of that of ``notes.chart``.

    Returns:
        bool, shape ``(notes,)``.
    """
    ticks, masks = np.asarray(ticks, dtype=np.int64), np.asarray(masks, dtype=np.int64)
    natural = np.zeros(len(ticks), dtype=bool)
    note, previous = masks[1:], masks[:-1]
    single = note & (note - 1) == 0
    repeated = note & previous != 0 if midi else note == previous
    natural[1:] = (np.diff(ticks) <= threshold) & single & ~repeated
    return natural
