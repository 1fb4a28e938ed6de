import numpy as np
import pytest

from tabhero_hf.charts import TempoMap
from tabhero_hf.evaluation.baselines import (
    LibrosaOnsets,
    OnsetSettings,
    blind_clicks,
    chart,
    eighth_notes,
    fitted_eighth_notes,
    most_common_lanes,
    near_silence,
    other_half,
    tune_onsets,
)
from tabhero_hf.evaluation.metrics import onset_f1

RATE = 22050


def clicks(times: np.ndarray, seconds: float) -> np.ndarray:
    """A short noise at each time."""
    audio = np.zeros(int(seconds * RATE), dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.3, 1500) * np.exp(-np.arange(1500) / 300)
    for time in times:
        start = round(time * RATE)
        audio[start : start + len(noise)] += noise[: len(audio) - start]
    return audio


@pytest.fixture(scope="module")
def steady() -> tuple[np.ndarray, np.ndarray]:
    """Times and sound of eighths at 120 BPM from 0.13 s on."""
    times = np.arange(0.13, 11.9, 0.25)
    return times, clicks(times, 12.0)


def test_librosa_hears_clicks(steady):
    times, audio = steady
    assert onset_f1(chart(times), chart(LibrosaOnsets(audio, RATE).times())) > 0.95


def test_tuning_takes_the_lag_of_charts_out(steady):
    times, audio = steady
    onsets = LibrosaOnsets(audio, RATE)
    # Charts 40 ms before the audio: without a shift, a late onset misses them.
    early = [chart(times - lead) for lead in (0.04, 0.06)]
    settings = tune_onsets([(onsets, early[0])])
    assert settings.shift > 0
    assert onset_f1(early[1], chart(onsets.times(settings))) > onset_f1(early[1], chart(onsets.times()))


def test_without_songs_to_tune_on_the_settings_are_librosas():
    assert tune_onsets([]) == OnsetSettings(delta=0.07, shift=0.0)


def test_nothing_is_tuned_on_the_song_it_is_scored_on():
    for count in (1, 2, 7):
        for index in range(count):
            assert index not in other_half(index, count)
    assert sorted(other_half(0, 5) + other_half(1, 5)) == [0, 1, 2, 3, 4]


def test_the_commonest_fret_is_that_of_most_notes():
    charts = [[(0.0, (1,), 0, 0.0), (1.0, (0, 2), 0, 0.0)], [(0.0, (0, 2), 0, 0.0)]]
    assert most_common_lanes(charts) == (0, 2)
    assert most_common_lanes([]) == (0,)
    assert chart([0.5], (0, 2)) == [(0.5, (0, 2), 0, 0.0)]


def test_blind_clicks_come_five_times_a_second():
    assert blind_clicks(1.0).tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_eighths_follow_tempo_changes_and_the_offset():
    tempo_map = TempoMap(192, ((0, 120.0), (384, 60.0)))
    assert eighth_notes(tempo_map, 3.0, 0.5).tolist() == pytest.approx([0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5])
    assert eighth_notes(tempo_map, 0.5, -0.3).tolist() == pytest.approx([0.2, 0.45])
    endless = TempoMap(480, ((0, 120.0), (480, 6e7)))  # 2e6 of them a second
    assert len(eighth_notes(endless, 1e4)) == 0
    assert eighth_notes(tempo_map, 0.5, 0.7).tolist() == []


def test_eighths_of_a_fitted_tempo_fall_on_the_clicks(steady):
    times, audio = steady
    assert onset_f1(chart(times), chart(fitted_eighth_notes(audio, RATE)), 0.025) > 0.95


def test_near_silence_is_quiet_but_not_nothing():
    noise = near_silence(RATE)
    assert noise.shape == (RATE,) and noise.dtype == np.float32
    assert 1e-4 < np.abs(noise).max() < 1e-3
    assert (noise == near_silence(RATE)).all()
