import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf.arranging import find_onsets
from tabhero_hf.arranging.rhythm import ENOUGH, SHORTEST
from tabhero_hf.charts import Difficulty, TempoMap

MAP = TempoMap(480, ((0, 120.0),))
BEATS = 80


def listened(beats, probability, tempo_map=MAP, offset=0.0, spread=0.01, seconds=None) -> np.ndarray:
    """What a listener says of onsets at so many beats: the probability of each, spread over some bins around it."""
    times = tempo_map.seconds(np.asarray(beats) * tempo_map.resolution) + offset
    bins = 0.01 * np.arange(round(100 * (times.max() + 1 if seconds is None else seconds)))
    shape = np.exp(-0.5 * ((bins[:, None] - times) / spread) ** 2)
    return 1 - np.prod(1 - np.broadcast_to(probability, len(times)) * shape / shape.sum(axis=0), axis=1)


def found(probability, tempo_map=MAP, offset=0.0, **more) -> np.ndarray:
    """The onsets found, in beats."""
    ticks = find_onsets(probability, tempo_map, offset, **more).ticks
    assert (np.diff(ticks) > 0).all()
    return ticks / tempo_map.resolution


def shares(beats: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """The shares of beats that are expected, and of those expected that are there."""
    near = np.abs(beats[:, None] - expected) < 0.03
    return near.any(axis=1).mean(), near.any(axis=0).mean()


SIXTEENTHS = np.arange(0, BEATS, 0.25)


def test_a_run_is_whole_where_some_of_it_is_hardly_heard():
    heard = np.random.default_rng(0).choice([0.8, 0.22], len(SIXTEENTHS), p=[0.7, 0.3])
    assert shares(found(listened(SIXTEENTHS, heard)), SIXTEENTHS) == (1, 1)


def test_an_echo_is_no_note():
    on_eighths = SIXTEENTHS % 0.5 == 0
    echo = np.random.default_rng(0).choice([0.15, 0.01], len(SIXTEENTHS), p=[0.3, 0.7])
    beats = found(listened(SIXTEENTHS, np.where(on_eighths, 0.8, echo)))
    assert shares(beats, SIXTEENTHS[on_eighths]) == (1, 1)


def test_what_parts_clearly_from_silence_is_a_note_though_it_is_soft():
    rng = np.random.default_rng(0)
    played = SIXTEENTHS % 0.5 == 0
    soft = np.where(played, rng.uniform(0.1, 0.14, len(SIXTEENTHS)), 0.001)
    assert shares(found(listened(SIXTEENTHS, soft)), SIXTEENTHS[played]) == (1, 1)
    # Where anything may be one, as much is none.
    unsure = np.where(played, soft, rng.uniform(0.02, 0.1, len(SIXTEENTHS)))
    assert len(found(listened(SIXTEENTHS, unsure))) < 0.1 * len(SIXTEENTHS)


def test_without_a_beat_notes_are_where_they_are_heard():
    rng = np.random.default_rng(0)
    played = np.cumsum(rng.uniform(2 * SHORTEST, 0.7, 100))
    echoes = played[:-1] + 0.5 * np.diff(played)
    probability = listened(
        2 * np.concatenate([played, echoes]), np.concatenate([rng.uniform(0.6, 0.9, 100), np.full(99, 0.05)])
    )
    ticks = find_onsets(probability, MAP, on_beat=False).ticks
    assert (np.diff(ticks) > 0).all()
    far = np.abs(MAP.seconds(ticks)[:, None] - played)
    assert len(ticks) == 100 and (far.min(axis=0) < 0.011).all()
    # Nothing is written before the map begins, and what is after it stays.
    later = find_onsets(probability, MAP, 5.0, on_beat=False).ticks
    assert later.tolist() == [tick - 4800 for tick in ticks.tolist() if tick >= 4800]


@pytest.mark.parametrize("on_beat", [True, False])
def test_silence_has_no_notes(on_beat):
    assert not len(find_onsets(np.zeros(500), MAP, on_beat=on_beat).ticks)
    assert not len(find_onsets(np.zeros(0), MAP, on_beat=on_beat).ticks)


def test_each_passage_has_a_rhythm_of_its_own():
    echo = np.arange(80.25, 160, 0.5)
    played = np.concatenate([np.arange(0, 80, 0.25), np.arange(80, 160, 0.5)])
    beats = found(listened(np.concatenate([played, echo]), np.repeat([0.7, 0.1], [len(played), len(echo)])))
    for passage in (beats < 70), (beats > 90):
        right, _ = shares(beats[passage], played)
        assert right == 1
    assert shares(beats, played)[1] == 1


def test_a_passage_that_is_hardly_heard_is_as_the_song_is():
    unsure = np.arange(32, 48, 0.25)
    # All in sixteenths, but for what nobody can tell.
    beats = found(listened(SIXTEENTHS, np.where(np.isin(SIXTEENTHS, unsure), 0.12, 0.7)))
    assert shares(beats, SIXTEENTHS) == (1, 1)
    # The same between eighths.
    around = SIXTEENTHS[(SIXTEENTHS % 0.5 == 0) & ~np.isin(SIXTEENTHS, unsure)]
    played = np.concatenate([around, unsure])
    beats = found(listened(played, np.repeat([0.7, 0.12], [len(around), len(unsure)])))
    assert (beats % 0.5 == 0).all() and shares(beats, around)[1] == 1


@pytest.mark.parametrize("late", [0.0, 0.03])
def test_triplets_are_heard_as_such(late):
    played = np.concatenate([np.arange(0, 40, 1 / 3), np.arange(40, 80, 0.25)])
    # Each note is at its place, though the guitar is late all the time.
    beats = found(listened(played, 0.6, offset=late, seconds=42))
    for part in (played < 34) & (played > 2), played > 46:
        right, there = shares(beats[(beats > played[part][0] - 0.1) & (beats < played[part][-1] + 0.1)], played[part])
        assert right > 0.97 and there > 0.97


@pytest.mark.parametrize(("bpm", "finest"), [(60, 1 / 8), (95, 1 / 8), (120, 1 / 4), (200, 1 / 4), (400, 1 / 4)])
def test_the_grid_is_as_fine_as_anybody_plays(bpm, finest):
    tempo_map = TempoMap(480, ((0, float(bpm)),))
    beats = found(np.full(1000, 0.1), tempo_map)  # anything, anywhere
    assert np.diff(beats).min() == pytest.approx(finest, abs=0.04)
    assert np.diff(beats).min() * 60 / bpm >= SHORTEST - 0.01 or bpm == 400


def test_easier_difficulties_are_heard_with_less_doubt():
    """The easier, the less often there is a note, and the less likely a listener holds one."""
    on_beat = SIXTEENTHS % 1 == 0
    unsure = np.random.default_rng(0).uniform(0.003, 0.047, len(SIXTEENTHS))
    probability = listened(SIXTEENTHS, np.where(on_beat, 0.125, unsure))
    counts = [len(find_onsets(probability, MAP, difficulty=difficulty).ticks) for difficulty in Difficulty]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0.9 * BEATS > counts[-1]


@pytest.mark.parametrize("bins", [0, 1, 30, 5000])
def test_silence_has_no_onsets(bins):
    onsets = find_onsets(np.zeros(bins, np.float32), MAP, -0.3)
    assert len(onsets.ticks) == 0 and onsets.probability.shape == (bins,)
    assert onsets.probability.max(initial=0) < 0.1


def test_nothing_is_found_before_the_beats_begin():
    assert not find_onsets(np.full(100, 0.5), MAP, 3.0).probability.any()


@settings(max_examples=50, deadline=None)
@given(
    bpms=st.lists(st.floats(30, 400), min_size=1, max_size=4),
    offset=st.floats(-3, 2),
    bins=st.integers(1, 3000),
    loudness=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_onsets_are_on_the_grid_and_within_the_audio(bpms, offset, bins, loudness, seed):
    tempo_map = TempoMap(480, tuple((480 * 5 * i, bpm) for i, bpm in enumerate(bpms)))
    probability = (loudness * np.random.default_rng(seed).random(bins)).astype(np.float32)
    ticks, likely = find_onsets(probability, tempo_map, offset)
    assert likely.shape == (bins,) and 0 <= likely.min() and likely.max() <= 1
    assert (np.diff(ticks) > 0).all()
    seconds = tempo_map.seconds(ticks) + offset
    assert ((seconds >= 0) & (seconds < 0.01 * bins)).all()
    assert np.isin(ticks, np.concatenate([np.arange(0, 480 * 1000, 480 // parts) for parts in (32, 24)])).all()
    assert (likely[np.rint(seconds / 0.01).astype(int)] >= ENOUGH).all()
