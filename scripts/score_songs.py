#!/usr/bin/env python
"""
Score a model on songs with human charts, free-running from the mix.

    python scripts/score_songs.py /usr/share/games/fretsonfire/data/songs/*/*/
    python scripts/score_songs.py tests/fixtures/demo_song --model runs/tiny/final

For each song folder: onset F1 within 25, 50 and 100 ms and note F1 of the lead's Expert chart, notes written for each
note of the human chart, and the onset F1 within 50 ms of what the model writes from the next song's audio: a model
whose score survives that is not listening.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from transformers import pipeline

from tabhero_hf import bundled_checkpoint
from tabhero_hf.charts import Difficulty, Instrument, find_stems, read_song
from tabhero_hf.evaluation.metrics import note_f1, onset_f1

TRACK = Instrument.LEAD, Difficulty.EXPERT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", help="song folders")
    parser.add_argument("--model", default=bundled_checkpoint(), help="model folder or Hub name")
    parser.add_argument("--json", type=Path, help="also write the table there")
    args = parser.parse_args()

    charter = pipeline("audio-to-chart", model=str(args.model))
    humans = [read_song(folder).chart.to_seconds(*TRACK) for folder in args.songs]
    charts = [
        charter({"stems": find_stems(folder)}, difficulties=["expert"])["notes"]["lead", "expert"]
        for folder in args.songs
    ]
    rows = []
    for index, (folder, human, chart) in enumerate(zip(args.songs, humans, charts, strict=True)):
        scores = {f"onset F1 @ {ms} ms": onset_f1(human, chart, ms / 1000) for ms in (25, 50, 100)}
        scores["note F1"] = note_f1(human, chart)
        scores["density"] = len(chart) / len(human)
        if len(charts) > 1:
            scores["other audio @ 50 ms"] = onset_f1(human, charts[(index + 1) % len(charts)])
        rows.append({"song": folder.name, **scores})
    rows.append(
        {"song": "mean", **{name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "song"}}
    )

    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print(
            "| " + " | ".join(f"{value:.2f}" if isinstance(value, float) else value for value in row.values()) + " |"
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
