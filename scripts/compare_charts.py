#!/usr/bin/env python
"""
Put how humans write charts beside how ours are written, in one table.

    tabhero chart /usr/share/games/fretsonfire/data/songs -o charted
    python scripts/compare_charts.py --human /usr/share/games/fretsonfire/data/songs --ours charted

Songs are folders, `.sng` and `.zip` files, or folders of these. Means are over songs. docs/charting.md says what the
columns mean.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import HfArgumentParser

from tabhero_hf.charts import Chart, ChartError, Difficulty, Instrument, check, read_song
from tabhero_hf.charts.library import song_paths
from tabhero_hf.evaluation.habits import HABITS, chart_habits


@dataclass
class Arguments:
    human: list[str] = field(metadata={"help": "Songs with human charts, or folders of them."})
    ours: list[str] = field(metadata={"help": "Songs with our charts, or folders of them."})
    instrument: str = field(default="lead", metadata={"help": "lead, bass, rhythm or keys."})


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    try:
        instrument = Instrument.parse(args.instrument)
    except ValueError as error:
        sys.exit(f"error: {error}")
    writers = {"human": read_charts(args.human), "ours": read_charts(args.ours)}
    charts = [chart for written in writers.values() for chart in written]
    if not any(notes_of(chart, instrument, difficulty) for chart in charts for difficulty in Difficulty):
        sys.exit(f"error: none of the songs has a chart of {args.instrument}")
    print(f"| {args.instrument} | songs | {' | '.join(HABITS.values())} | problems |")
    print("|---" * (len(HABITS) + 3) + "|")
    for difficulty in reversed(Difficulty):
        for writer, charts in writers.items():
            charted = [chart for chart in charts if notes_of(chart, instrument, difficulty)]
            if charted:
                print(row(f"{difficulty.name.lower()}, {writer}", charted, instrument, difficulty))


def row(name: str, charts: list[Chart], instrument: Instrument, difficulty: Difficulty) -> str:
    habits = [chart_habits(chart, instrument, difficulty) for chart in charts]
    cells = []
    for habit in HABITS:
        values = [each[habit] for each in habits if not np.isnan(each[habit])]
        cells.append(f"{np.mean(values):.2f}" if values else "–")
    problems = np.mean(
        [sum((one.instrument, one.difficulty) == (instrument, difficulty) for one in check(chart)) for chart in charts]
    )
    return f"| {name} | {len(charts)} | {' | '.join(cells)} | {problems:.1f} |"


def read_charts(paths: list[str]) -> list[Chart]:
    charts = []
    for path in map(Path, paths):
        for found in song_paths(path) if path.is_dir() else [path]:
            try:
                charts.append(read_song(found).chart)
            except (ChartError, OSError) as error:
                print(f"left out: {error}", file=sys.stderr)
    return charts


def notes_of(chart: Chart, instrument: Instrument, difficulty: Difficulty) -> int:
    track = chart.tracks.get((instrument, difficulty))
    return len(track.notes) if track else 0


if __name__ == "__main__":
    main()
