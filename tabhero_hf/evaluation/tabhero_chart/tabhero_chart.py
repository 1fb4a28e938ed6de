"""The scores of `tabhero_hf.evaluation.metrics` as a metric of `evaluate`, loaded by its folder's path."""

import datasets
import evaluate
import numpy as np

from tabhero_hf.data.schema import chart_notes
from tabhero_hf.evaluation.metrics import score_chart
from tabhero_hf.tokenization_tabhero import NUM_LANES

_DESCRIPTION = "How well charts for Clone Hero agree with references: onsets, lanes, kinds, sustains, density."

_KWARGS_DESCRIPTION = """
Args:
    predictions: charts, each a dictionary of columns, one entry a note: `onsets` in seconds, `lanes` as bits (lane `i`
        as `2 ** i`), `modifiers` as bits (1 HOPO, 2 tap, 4 star power) and `sustains` in seconds. As the charts in the
        rows of a prepared dataset; `tabhero_hf.data.schema.note_columns(notes, 0.0)` makes one.
    references: the charts that count as right, in the same form.
    seed: of the chance levels.

Returns:
    The mean over charts of each score of `tabhero_hf.evaluation.metrics.score_chart` that needs no tempo map.

Examples:
    >>> metric = evaluate.load("tabhero_hf/evaluation/tabhero_chart")
    >>> chart = {"onsets": [1.0, 1.5], "lanes": [1, 5], "modifiers": [0, 0], "sustains": [0.0, 0.4]}
    >>> metric.compute(predictions=[chart], references=[chart])["note_f1"]
    1.0
"""

_CHART = {
    "onsets": datasets.List(datasets.Value("float64")),
    "lanes": datasets.List(datasets.Value("int64")),
    "modifiers": datasets.List(datasets.Value("int64")),
    "sustains": datasets.List(datasets.Value("float64")),
}


class TabHeroChart(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": _CHART, "references": _CHART}),
        )

    def _compute(self, predictions, references, seed=0):
        if not predictions:
            raise ValueError("there are no charts to score")
        for chart in (*predictions, *references):
            if not all(0 < lanes < 2**NUM_LANES for lanes in chart["lanes"]):
                raise ValueError(f"lanes are bits from 1 to {2**NUM_LANES - 1}, not {chart['lanes']}")
        scores = [
            score_chart(chart_notes(reference), chart_notes(prediction), seed=seed)
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
