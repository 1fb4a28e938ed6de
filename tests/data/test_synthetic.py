"""Made training windows: reproducible, legal, nested, and labelled where the sound begins."""

import numpy as np
import pytest
from onsets import onsets_heard

from tabhero_hf.data import synthesis as syn
from tabhero_hf.data.synthetic import (
    BASS,
    EASY,
    EXPERT,
    HARD,
    KEYS,
    LANES,
    LEAD,
    MEDIUM,
    PRE_ROLL,
    RHYTHM,
    SyntheticWindow,
    compose_part,
    draw_meter,
    lane_of,
    make_window,
    render_part,
)

SECONDS = 8.0
SEEDS = range(60)


@pytest.fixture(scope="module")
def windows() -> list[SyntheticWindow]:
    return [make_window(seed, SECONDS) for seed in SEEDS]


def test_same_seed_same_window(windows):
    again = make_window(5, SECONDS)
    assert np.array_equal(again.waveform, windows[5].waveform)
    assert again.notes == windows[5].notes
    assert again.instrument == windows[5].instrument
    assert not np.array_equal(windows[5].waveform, windows[6].waveform)


def test_waveform_is_sound(windows):
    for window in windows:
        assert window.waveform.shape == (int(SECONDS * syn.SAMPLE_RATE),)
        assert window.waveform.dtype == np.float32
        assert np.isfinite(window.waveform).all()
        assert 0.01 < np.max(np.abs(window.waveform)) <= 1.0


@pytest.mark.parametrize("seconds", [2.0, 5.5, 12.0])
def test_other_lengths(seconds):
    window = make_window(3, seconds)
    assert len(window.waveform) == int(seconds * syn.SAMPLE_RATE)
    assert all(time < seconds for time, *_ in window.notes[EXPERT])


def test_notes_are_legal(windows):
    for window in windows:
        assert list(window.notes) == [EASY, MEDIUM, HARD, EXPERT]
        for notes in window.notes.values():
            for time, lanes, modifiers, sustain in notes:
                assert 0.0 <= time < SECONDS
                assert lanes == tuple(sorted(set(lanes))) and set(lanes) <= set(range(5)) and lanes
                assert modifiers in (0, 1) and not (modifiers and len(lanes) > 1)
                assert 0.0 <= sustain <= SECONDS - time


def test_notes_keep_their_distance(windows):
    least = {EASY: 0.5, MEDIUM: 0.25, HARD: 0.12, EXPERT: 0.06}
    for window in windows:
        for difficulty, notes in window.notes.items():
            times = np.array([time for time, *_ in notes])
            ends = times + np.array([sustain for *_, sustain in notes])
            assert np.all(np.diff(times) >= least[difficulty])
            assert np.all(times[1:] - ends[:-1] >= 0.0599)


def test_difficulties_are_nested_and_bounded(windows):
    for window in windows:
        onsets = [{time for time, *_ in window.notes[difficulty]} for difficulty in range(4)]
        assert onsets[EASY] <= onsets[MEDIUM] <= onsets[HARD] <= onsets[EXPERT]
        assert all(len(lanes) == 1 and lanes[0] <= 2 for _, lanes, *_ in window.notes[EASY])
        assert all(len(lanes) <= 2 and max(lanes) <= 3 for _, lanes, *_ in window.notes[MEDIUM])
        assert all(len(lanes) <= 2 for _, lanes, *_ in window.notes[HARD])


def test_difficulties_differ_in_density(windows):
    counts = [sum(len(window.notes[difficulty]) for window in windows) for difficulty in range(4)]
    assert counts[EASY] < 0.8 * counts[MEDIUM] < 0.7 * counts[HARD] < 0.7 * counts[EXPERT]
    assert 2.5 < counts[EXPERT] / len(windows) / SECONDS < 6.0


def test_every_instrument_and_silence_occur():
    windows = [make_window(seed, 2.0) for seed in range(200)]
    assert {window.instrument for window in windows} == {LEAD, BASS, RHYTHM, KEYS}
    assert any(not any(window.notes.values()) for window in windows)


@pytest.mark.parametrize("instrument", [LEAD, BASS, RHYTHM, KEYS])
def test_lane_rises_with_pitch(instrument):
    pitches = [p for low, high in LANES[instrument] for p in range(low, high + 1)]
    lanes = [lane_of(instrument, pitch) for pitch in pitches]
    assert lanes == sorted(lanes) and set(lanes) == set(range(5))
    assert all(later - earlier == 2 for (_, earlier), (later, _) in zip(LANES[instrument], LANES[instrument][1:]))


@pytest.mark.parametrize("instrument", [LEAD, BASS, RHYTHM, KEYS])
def test_labels_stand_where_the_sound_begins(instrument):
    found, shuffled = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        meter = draw_meter(rng, SECONDS + PRE_ROLL)
        part = compose_part(rng, meter, instrument)
        sound = render_part(rng, part, instrument, int(meter.duration * syn.SAMPLE_RATE))
        if not np.any(sound):
            continue
        times = np.array([note.time for note in part if 0.1 < note.time < meter.duration - 0.1])
        found.extend(onsets_heard(sound, times))
        shuffled.extend(onsets_heard(sound, times + rng.uniform(0.04, 0.06, len(times))))
    assert np.mean(found) > 0.9
    assert np.mean(found) > np.mean(shuffled) + 0.2
