import subprocess
import sys
from pathlib import Path

import pytest

from tabhero_hf.charts import Chart, Difficulty, Instrument, Kind, Note, TempoMap, Track
from tabhero_hf.evaluation.habits import chart_habits

LEAD = Instrument.LEAD
EASY, EXPERT = Difficulty.EASY, Difficulty.EXPERT


def test_habits_of_a_small_chart():
    riff = [(0, (0,)), (240, (1,)), (480, (2, 3)), (600, (0,))]
    notes = [Note(1920 * bar + tick, lanes, 100 * (tick == 480)) for bar in range(4) for tick, lanes in riff]
    notes[1] = Note(notes[1].tick, (4,), kind=Kind.HOPO)
    easy = Track(LEAD, EASY, (Note(0, (0,)), Note(1930, (0,))))
    tracks = {(LEAD, EXPERT): Track(LEAD, EXPERT, tuple(notes)), (LEAD, EASY): easy}
    chart = Chart(TempoMap(480, ((0, 240.0),)), tracks)
    habits = chart_habits(chart, LEAD, EXPERT)
    assert habits["density"] == pytest.approx(16 / (6360 / 1920))
    assert (habits["chords"], habits["hopos"], habits["sustains"], habits["on_beat"]) == (0.25, 1 / 16, 0.25, 0.5)
    assert habits["stays"] == 3 / 15
    assert habits["leaps"] == 100 / 16  # four lanes in an eighth at 240 BPM
    assert habits["riffs"] == 15 / 16
    assert chart_habits(chart, LEAD, EASY)["ladder"] == 0.5


def test_the_script_puts_charts_side_by_side(demo_song):
    script = Path(__file__).parents[2] / "scripts" / "compare_charts.py"
    command = [sys.executable, script, "--human", demo_song, "--ours", demo_song]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, script, "--human", demo_song, "--ours", demo_song, "--instrument"]
    for instrument, said in (("harp", "known are lead"), ("keys", "none of the songs has a chart of keys")):
        failed = subprocess.run([*command, instrument], capture_output=True, text=True)
        assert failed.returncode == 1 and failed.stderr.startswith("error: ") and said in failed.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if "expert" in line]
    assert rows[0][1].strip() == "expert, human" and rows[0][2:] == rows[1][2:]
