import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_walkthrough_runs():
    command = [sys.executable, "docs/walkthrough.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "after one step" in done.stdout and "training_curve.png" in done.stdout
