import numpy as np
import pytest

from tabhero_hf.audio import estimate_tempo_map, load_audio
from tabhero_hf.audio.beats import onset_strength
from tabhero_hf.charts import Difficulty, Instrument, TempoMap, read_song

RATE = 22050


def plucks(times, seconds):
    """Decaying tones at these times, over faint noise."""
    samples = np.random.default_rng(0).normal(0, 1e-3, round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        since = np.arange(len(samples[start : start + RATE // 3])) / RATE
        samples[start : start + RATE // 3] += 0.5 * np.sin(2 * np.pi * 330 * since) * np.exp(-8 * since)
    return samples.astype(np.float32)


@pytest.mark.parametrize("bpm", [84.0, 97.3, 120.0, 137.21, 188.0])
@pytest.mark.parametrize("first", [0.0, 0.02, 0.31, 2.9])
def test_beats_fall_on_quarter_ticks(bpm, first):
    beats = np.arange(first, 39.5, 60 / bpm)
    tempo_map = estimate_tempo_map(plucks(beats, 40), RATE)
    assert tempo_map.resolution == 480
    assert tempo_map.tempos[-1][1] == pytest.approx(bpm, abs=0.02)
    beats = beats[beats > tempo_map.seconds(480) - 0.1]
    ticks = tempo_map.ticks(beats)
    on_beat = tempo_map.seconds(np.rint(ticks / 480) * 480)
    assert np.abs(on_beat - beats).max() < 0.008


def test_tempo_map_is_what_a_chart_file_holds():
    tempo_map = estimate_tempo_map(plucks(np.arange(0.4, 20, 0.437), 20), RATE)
    assert all(bpm == round(bpm, 3) for _, bpm in tempo_map.tempos)
    assert tempo_map.tempos[0][0] == 0
    assert 60 / 1.5 < tempo_map.tempos[0][1] < 190 * 2


def test_busier_rhythm_keeps_its_beat():
    eighths = np.arange(0.2, 39, 60 / 128 / 2)
    keep = np.random.default_rng(1).random(len(eighths)) < 0.7
    keep[::2] = True
    tempo_map = estimate_tempo_map(plucks(eighths[keep], 40), RATE)
    assert tempo_map.tempos[-1][1] == pytest.approx(128, abs=0.02)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(RATE * 30), np.ones(RATE * 3), np.full(RATE * 9, 1e-6)])
def test_silence_and_scraps_are_120_bpm(samples):
    assert estimate_tempo_map(samples.astype(np.float32), RATE, 192) == TempoMap(192)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_onset_strength_does_not_lag(rate):
    times = np.arange(0.5, 59, 0.613)
    samples = np.interp(np.arange(60 * rate) / rate, np.arange(60 * RATE) / RATE, plucks(times, 60))
    at, strength = onset_strength(samples, rate)
    assert at.shape == strength.shape
    peaks = [at[near][strength[near].argmax()] for near in (np.abs(at - time) < 0.1 for time in times)]
    assert np.abs(np.array(peaks) - times).max() < 0.008


def test_demo_chart_agrees_with_its_audio(demo_song):
    onsets = np.array([note[0] for note in read_song(demo_song).chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)])
    at, strength = onset_strength(load_audio(demo_song), RATE)
    lags = np.arange(-0.1, 0.1, 0.001)
    strengths = np.array([np.interp(onsets + lag, at, strength).mean() for lag in lags])
    assert abs(lags[strengths.argmax()]) < 0.005
    assert strengths.max() > 2 * np.median(strengths)


def test_tempos_of_real_songs(real_songs):
    for folder in sorted(path.parent for path in real_songs.glob("muldjord/*/notes.mid")):
        chart = read_song(folder).chart
        tempo_map = estimate_tempo_map(load_audio(folder), RATE)
        assert tempo_map.tempos[-1][1] == pytest.approx(chart.tempo_map.tempos[0][1], abs=0.02)
        beats = chart.tempo_map.ticks(tempo_map.seconds(np.arange(1, 400) * 480))
        half = chart.tempo_map.resolution // 2
        off = np.abs(beats - np.rint(beats / half) * half)
        assert chart.tempo_map.seconds(off.max()) < 0.015
