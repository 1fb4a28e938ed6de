import numpy as np
import pytest

from tabhero_hf.arranging.snapping import MAX_SHIFT, snap
from tabhero_hf.charts import Difficulty, Instrument, TempoMap, read_song
from tabhero_hf.evaluation.metrics import on_grid_share, onset_f1

EXPERT, HARD = Difficulty.EXPERT, Difficulty.HARD
MAP = TempoMap(480, ((0, 120.0),))


def heard(beats, error, seed=0, tempo_map=MAP):
    times = tempo_map.seconds(np.asarray(beats) * tempo_map.resolution)
    return [(float(time), (0,), 0, 0.0) for time in times + np.random.default_rng(seed).normal(0, error, len(times))]


def beats_of(notes, tempo_map=MAP):
    return np.array([tempo_map.ticks(note[0]) / tempo_map.resolution for note in notes])


@pytest.mark.parametrize(
    "rhythm",
    [(0, 0.25, 0.5, 0.75), (0, 1 / 3, 2 / 3), (0.5,), (0, 0.75), (0, 0.5, 0.625, 0.75), (0, 1 / 6, 1 / 3, 2 / 3)],
)
def test_a_rhythm_that_comes_back_is_found(rhythm):
    played = np.sort((np.arange(2, 42)[:, None] + np.array(rhythm)).ravel())
    snapped = snap({EXPERT: heard(played, 0.012)}, MAP)[EXPERT]
    assert np.mean(np.abs(beats_of(snapped) - played) < 0.003) > 0.97


def test_no_note_moves_far_and_notes_stay_apart():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.02, 0.5, 400))
    notes = [(float(time), (int(rng.integers(5)),), 0, float(rng.choice([0.0, 0.3]))) for time in times]
    snapped = snap({EXPERT: notes}, MAP)[EXPERT]
    assert [note[1:3] for note in snapped] == [note[1:3] for note in notes]
    moved = np.array([note[0] for note in snapped])
    assert np.abs(moved - times).max() <= MAX_SHIFT + 1e-9
    assert (np.diff(moved) > 0).all()


def test_a_lag_of_the_whole_song_is_no_rhythm():
    played = np.arange(4, 100, 0.25)
    quick = TempoMap(480, ((0, 180.0),))
    late = [(time + 0.014, *rest) for time, *rest in heard(played, 0.008, tempo_map=quick)]
    snapped = snap({EXPERT: late}, quick)[EXPERT]
    assert np.mean(np.abs(beats_of(snapped, quick) - played) < 0.003) > 0.97


def test_difficulties_move_together():
    played = np.arange(4, 60, 0.5)
    tracks = {EXPERT: heard(played, 0.006, 1), HARD: heard(played[::2], 0.006, 2)}
    snapped = snap(tracks, MAP)
    assert {note[0] for note in snapped[HARD]} <= {note[0] for note in snapped[EXPERT]}


def test_where_no_beat_is_sure_notes_stay():
    notes = heard(np.arange(4, 60, 0.5), 0.01)
    confidence = np.ones(64)
    confidence[30:] = 0.0
    snapped = snap({EXPERT: notes}, MAP, confidence)[EXPERT]
    changed = [a != b for a, b in zip(notes, snapped, strict=True)]
    assert any(changed[:40]) and not any(changed[53:])
    assert snap({EXPERT: []}, MAP) == {EXPERT: []}


@pytest.mark.parametrize(("error", "loss"), [(0.010, 0.001), (0.015, 0.005)])
def test_snapping_loses_nothing_of_human_charts(real_songs, error, loss):
    for folder in sorted(path.parent for path in real_songs.glob("*/*/notes.mid")):
        chart = read_song(folder).chart
        human = chart.to_seconds(Instrument.LEAD, EXPERT)
        rng = np.random.default_rng(0)
        noisy = sorted((time + rng.normal(0, error), *rest) for time, *rest in human)
        snapped = snap({EXPERT: noisy}, chart.tempo_map)[EXPERT]
        for tolerance in (0.025, 0.05):
            assert onset_f1(human, snapped, tolerance) >= onset_f1(human, noisy, tolerance) - loss, folder
        assert on_grid_share(snapped, chart.tempo_map) > 0.985 - 5 * loss, folder
