"""How good a chart is: metrics of free-running generation against human or synthetic charts."""
