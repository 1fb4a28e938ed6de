"""The metric of `evaluate`, loaded by its path."""

from pathlib import Path

import evaluate
import pytest

import tabhero_hf
from tabhero_hf.data.schema import note_columns
from tabhero_hf.evaluation.metrics import score_chart

FOLDER = Path(tabhero_hf.__file__).parent / "evaluation" / "tabhero_chart"
REFERENCE = [(1.0, (0, 2), 0, 0.5), (1.5, (1,), 1, 0.0)]
ESTIMATE = [(1.02, (0, 2), 0, 0.5), (3.0, (6,), 0, 0.0)]


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(FOLDER))


def columns(notes: list) -> dict:
    return note_columns(notes, 0.0)


def test_it_scores_as_the_package_does_and_averages_over_charts(metric):
    scores = metric.compute(
        predictions=[columns(ESTIMATE), columns(REFERENCE)], references=[columns(REFERENCE), columns(REFERENCE)]
    )
    one, other = score_chart(REFERENCE, ESTIMATE), score_chart(REFERENCE, REFERENCE)
    assert scores == pytest.approx({name: (one[name] + other[name]) / 2 for name in one})
    assert scores["note_f1"] == pytest.approx((1 / 2 + 1) / 2)


def test_charts_can_be_added_one_by_one_and_be_empty(metric):
    metric.add(prediction=columns([]), reference=columns([]))
    metric.add(prediction=columns([]), reference=columns(REFERENCE))
    assert metric.compute()["onset_f1_50"] == 1 / 2


def test_its_example_holds(metric):
    chart = {"onsets": [1.0, 1.5], "lanes": [1, 5], "modifiers": [0, 0], "sustains": [0.0, 0.4]}
    assert metric.compute(predictions=[chart], references=[chart])["note_f1"] == 1.0


def test_what_is_no_chart_is_refused(metric):
    with pytest.raises(ValueError, match="no charts"):
        metric.compute(predictions=[], references=[])
    for lanes in (0, -1, 128):
        odd = {"onsets": [1.0], "lanes": [lanes], "modifiers": [0], "sustains": [0.0]}
        with pytest.raises(ValueError, match="lanes are bits from 1 to 127"):
            metric.compute(predictions=[odd], references=[columns(REFERENCE)])
    with pytest.raises(ValueError, match="match the expected format"):
        metric.compute(predictions=[3], references=[columns(REFERENCE)])
