#!/usr/bin/env python
"""
Charts the demo's song at all four difficulties, and compares with the human chart: `make demo`.

    python scripts/demo.py [--output FOLDER]
"""

import argparse
import time
from pathlib import Path

from tabhero_hf import bundled_checkpoint
from tabhero_hf.charting import chart_song
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.evaluation.metrics import note_f1, onset_f1

ROOT = Path(__file__).parent.parent
SONG = ROOT / "tests" / "fixtures" / "demo_song"
OTHER_SONG = ROOT / "tests" / "fixtures" / "other_song.ogg"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "demo_output", help="where to write the song folder")
    args = parser.parse_args()

    from transformers import pipeline

    charter = pipeline("audio-to-chart", model=bundled_checkpoint())
    human = read_song(SONG)
    name = human.metadata["name"]
    started = time.perf_counter()
    metadata = {key: human.metadata[key] for key in ("name", "artist")}
    charted = chart_song(SONG / "song.ogg", args.output / name, charter=charter, metadata=metadata)
    seconds = time.perf_counter() - started

    print(f"{charted.folder}")
    for (_, difficulty), notes in charted.notes.items():
        print(f"  {difficulty:<7} {len(notes):4d} notes")
    print(f"  {seconds:.1f} s for {charted.duration:.1f} s of song: {seconds / charted.duration:.2f} s per second")

    reference = human.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    estimate = charted.notes["lead", "expert"]
    other = charter(str(OTHER_SONG), difficulties=["expert"])["notes"]["lead", "expert"]
    print("  against the human Expert chart:")
    print(f"    onset F1 within 50 ms   {onset_f1(reference, estimate):.2f}")
    print(f"    note F1 within 50 ms    {note_f1(reference, estimate):.2f}")
    print(f"    onset F1 of the chart written from another song's audio   {onset_f1(reference, other):.2f}")


if __name__ == "__main__":
    main()
