import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf.charts import Difficulty, TempoMap
from tabhero_hf.evaluation.metrics import match_onsets, note_f1, onset_f1, score_chart, star_power_f1

SHARES = [
    *("onset_f1_25", "onset_f1_50", "onset_f1_100", "note_f1", "lane_accuracy", "lane_accuracy_chance"),
    *("contour", "contour_chance", "kind_f1", "sustain_f1", "star_power_f1"),
]

times = st.lists(st.floats(0, 3), max_size=25).map(lambda values: np.array(sorted(values)))
charts = st.lists(
    st.tuples(
        st.floats(0, 10),
        st.sets(st.integers(0, 6), min_size=1, max_size=3).map(lambda lanes: tuple(sorted(lanes))),
        st.integers(0, 7),
        st.sampled_from([0.0, 0.2, 1.0]),
    ),
    max_size=30,
    unique_by=lambda note: note[0],
)


def notes(*onsets: float, lane: int = 0, modifiers: int = 0, sustain: float = 0.0) -> list:
    return [(onset, (lane,), modifiers, sustain) for onset in onsets]


def scale(*lanes: int | tuple[int, ...]) -> list:
    """A note each half second on these lanes."""
    return [(i / 2, lane if isinstance(lane, tuple) else (lane,), 0, 0.0) for i, lane in enumerate(lanes)]


def random_chart(rng: np.random.Generator, count: int, seconds: float = 300.0) -> list:
    onsets, lanes = np.sort(rng.uniform(0, seconds, count)), rng.integers(0, 5, count)
    return [(onset, (lane,), 0, 0.0) for onset, lane in zip(onsets.tolist(), lanes.tolist(), strict=True)]


def test_two_empty_charts_agree_and_an_empty_one_scores_nothing():
    assert onset_f1([], []) == note_f1([], []) == 1
    assert onset_f1(notes(1), []) == note_f1(notes(1), []) == 0
    assert onset_f1([], notes(1)) == note_f1([], notes(1)) == 0
    assert set(score_chart([], []).values()) == {1}
    human = notes(1, 2, sustain=0.5, modifiers=4)
    assert set(score_chart(human, []).values()) == {0}


def test_onsets_match_one_to_one_within_the_tolerance():
    # One of the two clicks around 1 s matches, 2.06 is too far: 1 of 2 and of 3.
    assert onset_f1(notes(1, 2), notes(0.98, 1.02, 2.06)) == pytest.approx(2 / 5)
    assert onset_f1(notes(1, 2), notes(0.98, 1.02, 2.06), 0.1) == pytest.approx(4 / 5)


def test_an_onset_exactly_at_the_tolerance_matches():
    assert onset_f1(notes(1.0), notes(1.05)) == onset_f1(notes(1.0), notes(0.95)) == 1


def test_there_is_no_search_for_an_offset():
    chart = notes(1, 2, 3)
    assert onset_f1(chart, [(onset + 0.06, *rest) for onset, *rest in chart]) == 0


def test_of_two_candidates_the_closer_one_is_compared():
    reference, estimate = notes(1.0, lane=3), notes(0.96, lane=0) + notes(1.01, lane=3)
    assert note_f1(reference, estimate) == pytest.approx(2 / 3)


def test_the_closest_pairing_never_costs_a_match():
    # 1.04 is nearer to 1.03, but then 1.00 would have nobody.
    assert match_onsets(np.array([1.0, 1.03]), np.array([1.04, 1.075]), 0.05).tolist() == [[0, 0], [1, 1]]


@settings(max_examples=200, deadline=None)
@given(times, times, st.sampled_from([0.025, 0.05, 0.1, 0.4]))
def test_as_many_onsets_match_as_mir_eval_finds(reference, estimate, tolerance):
    pairs = match_onsets(reference, estimate, tolerance)
    possible = mir_eval.util.match_events(reference, estimate, tolerance) if len(reference) and len(estimate) else []
    # Times just at the tolerance are rounded in either's favour.
    apart = np.abs(np.subtract.outer(reference, estimate))
    if not (np.abs(apart - tolerance) < 1e-8).any():
        assert len(pairs) == len(possible)
    assert (np.abs(reference[pairs[:, 0]] - estimate[pairs[:, 1]]) <= tolerance + 1e-8).all()
    assert (np.diff(pairs, axis=0) > 0).all()


def test_notes_need_the_same_lanes():
    reference = [(1.0, (0, 2), 0, 0.0), (2.0, (1,), 0, 0.0)]
    estimate = [(1.01, (0, 2), 1, 0.5), (2.0, (1, 2), 0, 0.0)]
    assert onset_f1(reference, estimate) == 1
    assert note_f1(reference, estimate) == pytest.approx(1 / 2)


def test_lanes_are_compared_where_onsets_match():
    scores = score_chart(scale(0, 1, 2, 3), [*scale(0, 1, 3), (8.0, (3,), 0, 0.0)])
    assert scores["onset_f1_50"] == pytest.approx(3 / 4)
    assert scores["note_f1"] == pytest.approx(2 / 4)
    assert scores["lane_accuracy"] == pytest.approx(2 / 3)


def test_contour_is_the_sign_of_the_step():
    # Up, same, down, down onto the open note; of these the estimate has the first and the last two.
    assert score_chart(scale(0, 2, 2, 1, 6), scale(1, 4, 3, 2, 0))["contour"] == pytest.approx(3 / 4)
    # A chord is as high as the mean of its lanes: (0, 2) is where 1 is, and (0, 3) higher.
    assert score_chart(scale(1, (0, 2), (0, 3)), scale(2, 2, 3))["contour"] == 1
    assert score_chart(scale(1), scale(1))["contour"] == 1


@settings(max_examples=60, deadline=None)
@given(charts)
def test_a_chart_agrees_with_itself(chart):
    scores = score_chart(chart, chart)
    assert {name: scores[name] for name in SHARES if "chance" not in name} == pytest.approx(
        dict.fromkeys([name for name in SHARES if "chance" not in name], 1)
    )
    assert scores["density_ratio"] == 1


@settings(max_examples=60, deadline=None)
@given(charts, charts)
def test_scores_are_shares_and_exchange_of_charts_changes_no_onset_score(reference, estimate):
    scores, exchanged = score_chart(reference, estimate), score_chart(estimate, reference)
    assert all(0 <= scores[name] <= 1 for name in SHARES)
    for name in ("onset_f1_25", "onset_f1_50", "onset_f1_100", "note_f1", "kind_f1", "star_power_f1"):
        assert scores[name] == pytest.approx(exchanged[name])


def test_shuffled_lanes_score_what_chance_is():
    rng = np.random.default_rng(1)
    reference = random_chart(rng, 2000)
    lanes = rng.permutation(5 * 400) % 5
    shuffled = [(onset, (int(lane),), 0, 0.0) for (onset, *_), lane in zip(reference, lanes, strict=True)]
    scores = score_chart(reference, shuffled)
    assert scores["onset_f1_50"] == 1
    assert scores["lane_accuracy"] == pytest.approx(1 / 5, abs=0.03)
    assert scores["lane_accuracy_chance"] == pytest.approx(1 / 5, abs=0.01)
    assert scores["contour"] == pytest.approx(scores["contour_chance"], abs=0.04)


def test_one_fret_for_all_scores_no_better_than_its_chance():
    scores = score_chart(scale(0, 1, 2, 1), scale(1, 1, 1, 1))
    assert scores["lane_accuracy"] == scores["lane_accuracy_chance"] == 1 / 2
    assert scores["contour"] == scores["contour_chance"] == 0


def test_chance_is_that_of_the_seed():
    reference, estimate = scale(*range(5), *range(5)), scale(*range(4, -1, -1), *range(5))
    chance = [score_chart(reference, estimate, seed=seed)["lane_accuracy_chance"] for seed in (3, 3, 4)]
    assert chance[0] == chance[1] != chance[2]


def test_kinds_are_scored_each_for_itself():
    # HOPO: 1 of 1 found among 2; strum: 1 of 2 among 1; no tap anywhere.
    reference = [(1.0, (0,), 1, 0.0), (2.0, (0,), 0, 0.0), (3.0, (0,), 0, 0.0), (9.0, (0,), 2, 0.0)]
    estimate = [(1.0, (0,), 1, 0.0), (2.0, (0,), 1, 0.0), (3.0, (0,), 0, 0.0)]
    assert score_chart(reference, estimate)["kind_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    # What is forced both ways is seen as a tap.
    assert score_chart(notes(1, modifiers=3), notes(1, modifiers=2))["kind_f1"] == 1


@pytest.mark.parametrize(("length", "score"), [(0.8, 1), (1.2, 1), (0.79, 0), (1.21, 0), (0.0, 0)])
def test_sustains_may_be_a_fifth_off(length, score):
    assert score_chart(notes(1, sustain=1.0), notes(1, sustain=length))["sustain_f1"] == score


def test_sustains_count_at_matched_onsets():
    reference = notes(1, 2, sustain=0.5) + notes(3)
    estimate = notes(1, sustain=0.5) + notes(2) + notes(3, sustain=0.5) + notes(9, sustain=0.5)
    assert score_chart(reference, estimate)["sustain_f1"] == pytest.approx(2 / 4)


def test_star_power_phrases_overlap_one_to_one():
    phrases = notes(1, 2, modifiers=4) + notes(3) + notes(4, 5, modifiers=5) + notes(6)
    assert star_power_f1(phrases, notes(2, modifiers=4) + notes(3) + notes(7, modifiers=4)) == pytest.approx(1 / 2)
    # One phrase from start to end has found one of the two.
    assert star_power_f1(phrases, notes(1, 2, 3, 4, 5, 6, modifiers=4)) == pytest.approx(2 / 3)
    assert star_power_f1(phrases, notes(1, 2)) == 0


def test_density_is_notes_for_each_of_the_reference():
    assert score_chart(notes(1, 2), notes(1, 2, 3))["density_ratio"] == 1.5
    assert score_chart([], notes(1, 2, 3))["density_ratio"] == 3


def test_grid_is_sixteenths_and_triplets_of_the_tempo_map_in_the_audios_time():
    tempo_map, offset = TempoMap(480, ((0, 120.0),)), 0.2
    on = [0.0, 0.125, 0.375, 0.5 + 1 / 6, 1.009]
    off = [0.0625, 1.02, 1.1]
    scores = score_chart([], notes(*(time + offset for time in on + off)), tempo_map=tempo_map, offset=offset)
    assert scores["on_grid"] == pytest.approx(5 / 8)


def test_rule_breaks_are_counted_for_a_hundred_notes():
    tempo_map = TempoMap(480, ((0, 120.0),))
    # Orange is not for Easy, and 50 ms is too short a sustain.
    estimate = notes(2, 3, lane=1) + notes(4, lane=4) + notes(5, sustain=0.05)
    broken = {
        difficulty: score_chart([], estimate, tempo_map=tempo_map, difficulty=difficulty)["rule_breaks"]
        for difficulty in (Difficulty.EASY, Difficulty.EXPERT)
    }
    assert broken == {Difficulty.EASY: 50, Difficulty.EXPERT: 25}
    # The chart's time starts with its offset: half a second before the first note is too little.
    assert score_chart([], notes(2, 3), tempo_map=tempo_map, offset=1.5)["rule_breaks"] == 50


def test_grid_and_rules_need_a_tempo_map():
    assert not {"on_grid", "rule_breaks"} & score_chart(notes(1), notes(1)).keys()


def test_notes_at_one_onset_are_one_chord_in_any_order():
    apart = [(1.0, (1,), 0, 0.5), (1.0, (0,), 1, 0.0)]
    for notes_of_it in (apart, apart[::-1]):
        assert set(score_chart([(1.0, (0, 1), 1, 0.5)], notes_of_it).values()) == {1.0}
    assert note_f1(apart, apart[::-1]) == 1.0


def test_times_that_are_none_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        score_chart(notes(1), notes(float("nan")))
