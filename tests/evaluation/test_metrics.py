import pytest

from tabhero_hf.evaluation.metrics import note_f1, onset_f1


def notes(*onsets: float, lane: int = 0) -> list:
    return [(onset, (lane,), 0, 0.0) for onset in onsets]


def test_a_chart_agrees_with_itself():
    chart = notes(1, 2, 3.5)
    assert onset_f1(chart, chart) == note_f1(chart, chart) == 1


def test_two_empty_charts_agree_and_an_empty_one_scores_nothing():
    assert onset_f1([], []) == note_f1([], []) == 1
    assert onset_f1(notes(1), []) == note_f1(notes(1), []) == 0
    assert onset_f1([], notes(1)) == note_f1([], notes(1)) == 0


def test_onsets_match_one_to_one_within_the_tolerance():
    # One of the two clicks around 1 s matches, 2.06 is too far: 1 of 2 and of 3.
    assert onset_f1(notes(1, 2), notes(0.98, 1.02, 2.06)) == pytest.approx(2 / 5)
    assert onset_f1(notes(1, 2), notes(0.98, 1.02, 2.06), 0.1) == pytest.approx(4 / 5)


def test_there_is_no_search_for_an_offset():
    chart = notes(1, 2, 3)
    assert onset_f1(chart, [(onset + 0.06, *rest) for onset, *rest in chart]) == 0


def test_notes_need_the_same_lanes():
    reference = [(1.0, (0, 2), 0, 0.0), (2.0, (1,), 0, 0.0)]
    estimate = [(1.01, (0, 2), 1, 0.5), (2.0, (1, 2), 0, 0.0)]
    assert onset_f1(reference, estimate) == 1
    assert note_f1(reference, estimate) == pytest.approx(1 / 2)
