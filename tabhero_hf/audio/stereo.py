"""What stands in the middle of a stereo recording, and what at its sides, where guitars often play alone."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

WIDE = 0.2
"""The sides of a song are listened to if they are so loud beside its middle, as root mean squares: softer ones are
what a room or a codec leaves of it."""

NOTHING = 0.1
"""A middle that is softer than this beside the sides is what is left of a channel that was turned over, and a channel
that is softer beside the other has nothing to hear."""

AUDIBLE = 0.01
"""Sides are heard wherever they are so loud beside the middle: softer ones say nothing, not even that no guitar
plays."""

FRAME, AROUND_SECONDS = 512, 2.0
"""Samples for which that is told at once, and around which seconds it is measured: rests are shorter."""


def middle_and_sides(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean of left and right and half of their difference.

    Drums, bass and voices are mixed to the middle, which their difference is without; rhythm guitars, played twice, to
    both sides. Where the middle has next to nothing, one channel is the other turned over, and as good as mono; so is
    what has next to nothing in one channel.

    Args:
        waveform: samples, ``(samples,)`` or left and right ``(2, samples)``.

    Returns:
        Both of shape ``(samples,)``; no sides where there is next to nothing.
    """
    if waveform.ndim == 1 or not waveform.size:
        return waveform.reshape(-1), None
    left, right = waveform
    middle, sides = (left + right) / 2, (left - right) / 2
    in_middle, at_sides, at_left, at_right = map(_loudness, (middle, sides, left, right))
    if in_middle < NOTHING * at_sides or at_right < NOTHING * at_left:
        return left, None
    if at_left < NOTHING * at_right:
        return right, None
    return middle, sides if at_sides > WIDE * in_middle else None


def _loudness(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.square(waveform, dtype=np.float64).mean()))


def wide_frames(middle: np.ndarray, sides: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Whether there is something to hear at the sides, bool for each `FRAME` samples, ``(frames,)``."""
    count = -(-len(middle) // FRAME)
    size = max(round(AROUND_SECONDS * sampling_rate / FRAME), 1)
    framed = (np.pad(each, (0, count * FRAME - len(each))).reshape(count, FRAME) for each in (middle, sides))
    power = [uniform_filter1d(np.einsum("ij,ij->i", each, each), size) for each in framed]
    return power[1] > AUDIBLE**2 * power[0]
