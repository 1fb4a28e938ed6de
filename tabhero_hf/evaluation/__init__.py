"""How good a chart is: scores of free-running generation against human or synthetic charts, baselines, reports."""
