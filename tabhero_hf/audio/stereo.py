"""What stands in the middle of a stereo recording, and what at its sides, where guitars often play alone."""

from __future__ import annotations

import numpy as np

WIDE = 0.1
"""Sides are listened to where they are so loud beside the middle, as root mean squares: softer ones are what a room or
a codec leaves of it."""


def middle_and_sides(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean of left and right and half of their difference.

    Drums, bass and voices are mixed to the middle, which their difference is without; rhythm guitars, played twice, to
    both sides.

    Args:
        waveform: samples, ``(samples,)`` or left and right ``(2, samples)``.

    Returns:
        Both of shape ``(samples,)``; no sides where there is next to nothing.
    """
    if waveform.ndim == 1:
        return waveform, None
    left, right = waveform
    middle, sides = (left + right) / 2, (left - right) / 2
    loudness = [np.sqrt(np.square(each, dtype=np.float64).mean()) if len(each) else 0.0 for each in (middle, sides)]
    return middle, sides if loudness[1] > WIDE * loudness[0] else None
