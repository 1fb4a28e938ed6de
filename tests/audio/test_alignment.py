import numpy as np
import pytest

from tabhero_hf.audio.alignment import chart_lag


def test_a_chart_beside_silence_stays():
    assert chart_lag(np.array([1.0, 2.0, 3.0]), np.zeros(110_250, dtype=np.float32), 22050) == 0.0


@pytest.mark.parametrize("lag", [-0.06, 0.0, 0.035])
def test_a_chart_beside_its_audio_is_found(lag):
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.15, 0.6, 40))
    waveform = np.zeros(round((onsets[-1] + 1) * 22050), dtype=np.float32)
    for onset in onsets:
        start = round(onset * 22050)
        waveform[start : start + 4000] += rng.normal(size=4000) * np.exp(-np.arange(4000) / 800)
    assert chart_lag(onsets - lag, waveform, 22050) == pytest.approx(lag, abs=0.004)
