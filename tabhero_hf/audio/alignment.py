"""How far a chart is from the audio that it was written for."""

from __future__ import annotations

import numpy as np

from .onsets import onset_strength

MAX_LAG_SECONDS = 0.1


def chart_lag(onsets: np.ndarray, waveform: np.ndarray, sampling_rate: int) -> float:
    """
    Seconds, to the millisecond, by which to move charted onsets so that they meet the strongest onset strength.

    Args:
        onsets: charted times in seconds, shape ``(notes,)``, at least one.
        waveform: mono samples ``(samples,)`` of the charted instrument.
        sampling_rate: in Hz.

    Returns:
        -0.1 to 0.1; positive where the chart is early, 0 where nothing is heard.
    """
    times, strength = onset_strength(waveform, sampling_rate)
    lags = np.arange(-MAX_LAG_SECONDS, MAX_LAG_SECONDS, 0.001)
    strengths = [np.interp(onsets + lag, times, strength).mean() for lag in lags]
    if np.ptp(strengths) < 1e-9:
        return 0.0
    return round(float(lags[np.argmax(strengths)]), 3)
