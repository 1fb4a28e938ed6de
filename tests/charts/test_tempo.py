from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabhero_hf.charts import ChartError, TempoMap

changes = st.lists(st.tuples(st.integers(0, 200_000), st.integers(20_000, 400_000)), max_size=40)


def test_tempo_change_moves_later_beats():
    tempo_map = TempoMap(480, ((0, 120.0), (960, 60.0)))
    assert tempo_map.seconds([0, 480, 960, 1440]).tolist() == [0.0, 0.5, 1.0, 2.0]
    assert tempo_map.ticks([0.25, 1.5, 2.0]).tolist() == [240, 1200, 1440]


def test_defaults_are_120_bpm_and_4_4():
    tempo_map = TempoMap(192)
    assert tempo_map.tempos == ((0, 120.0),)
    assert tempo_map.meters == ((0, 4, 4),)


def test_default_holds_until_a_late_first_tempo():
    assert TempoMap(480, ((960, 60.0),)).seconds(1440) == pytest.approx(2.0)


def test_last_tempo_of_a_tick_counts_and_order_does_not_matter():
    assert TempoMap(480, ((480, 90.0), (0, 100.0), (480, 60.0))).tempos == ((0, 100.0), (480, 60.0))


def test_shape_is_kept():
    tempo_map = TempoMap(480)
    assert tempo_map.seconds(np.zeros((2, 3), dtype=int)).shape == (2, 3)
    assert tempo_map.ticks(1.0).shape == ()
    assert tempo_map.seconds([]).shape == (0,)


@given(changes, st.sampled_from([96, 192, 480, 960]))
def test_ticks_survive_the_way_through_seconds(changes, resolution):
    tempo_map = TempoMap(resolution, tuple((tick, millis / 1000) for tick, millis in changes))
    ticks = np.arange(0, 220_000, 37)
    assert (tempo_map.ticks(tempo_map.seconds(ticks)) == ticks).all()


def test_thousands_of_changes_add_up_exactly():
    rng = np.random.default_rng(0)
    millis = rng.integers(60_000, 240_000, 10_000).tolist()
    tempo_map = TempoMap(480, tuple((i * 60, m / 1000) for i, m in enumerate(millis)))
    exact = sum(Fraction(60 * 60 * 1000, m * 480) for m in millis)
    assert tempo_map.seconds(600_000) == pytest.approx(float(exact), abs=1e-9)
    ticks = np.arange(600_000)
    assert (tempo_map.ticks(tempo_map.seconds(ticks)) == ticks).all()


@pytest.mark.parametrize(
    "arguments",
    [
        (0,),
        (480, ((0, 0.0),)),
        (480, ((0, -1.0),)),
        (480, ((0, float("nan")),)),
        (480, ((0, float("inf")),)),
        (480, ((-1, 120.0),)),
        (480, (), ((0, 0, 4),)),
        (480, (), ((0, 4, 0),)),
    ],
)
def test_impossible_maps_are_refused(arguments):
    with pytest.raises(ChartError):
        TempoMap(*arguments)
