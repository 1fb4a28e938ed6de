#!/usr/bin/env python
"""
How fast things are on this machine.

    python scripts/benchmark.py charts      # reading and writing a 4-minute chart of 5,000 notes
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from tabhero_hf.charts import (
    Chart,
    Difficulty,
    Instrument,
    Kind,
    Note,
    TempoMap,
    Track,
    check,
    format_chart,
    format_midi,
    parse_chart,
    parse_midi,
)

MINUTES, NOTES, RESOLUTION, BPM = 4, 5000, 480, 180
REPEATS = 15


def median_milliseconds(work: Callable[[], object]) -> float:
    work()  # the first run imports what is needed
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def made_chart() -> Chart:
    """A chart of 5,000 notes in 4 minutes: chords, sustains, all kinds, and a tempo change each measure."""
    rng = np.random.default_rng(0)
    ticks = np.sort(rng.choice(np.arange(0, MINUTES * BPM * RESOLUTION, 60), NOTES, replace=False)).tolist()
    notes = []
    for tick, room in zip(ticks, np.diff([*ticks, ticks[-1] + RESOLUTION]).tolist(), strict=True):
        lanes = tuple(sorted(rng.choice(5, size=rng.choice([1, 1, 2, 3]), replace=False).tolist()))
        notes.append(Note(tick, lanes, room - 60 if room > 240 else 0, Kind(int(rng.integers(3)))))
    tempos = tuple((measure * 4 * RESOLUTION, BPM + rng.normal()) for measure in range(MINUTES * BPM // 4))
    track = Track(Instrument.LEAD, Difficulty.EXPERT, tuple(notes))
    return Chart(TempoMap(RESOLUTION, tempos), {(Instrument.LEAD, Difficulty.EXPERT): track})


def charts():
    chart = made_chart()
    dot_chart, midi = format_chart(chart).encode(), format_midi(chart)
    print(f"a chart of {NOTES} notes in {MINUTES} minutes; median of {REPEATS} runs")
    for name, work in {
        f"read .chart ({len(dot_chart) // 1000} kB)": lambda: parse_chart(dot_chart),
        f"read .mid ({len(midi) // 1000} kB)": lambda: parse_midi(midi),
        "write .chart": lambda: format_chart(chart),
        "write .mid": lambda: format_midi(chart),
        "check": lambda: check(chart),
    }.items():
        print(f"  {name:<24}{median_milliseconds(work):8.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["charts"])
    {"charts": charts}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
