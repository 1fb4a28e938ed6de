#!/usr/bin/env python
"""
Fit what `tabhero_hf/arranging/frets.py` knows of how notes sound beside each other, to songs with human charts.

    python scripts/fit_likeness.py "songs/Metal madness" "songs/War of freedom" …

Prints slopes and intercepts of three logistic regressions over the Expert charts of guitars, heard alone and in the
mix, each song and sound with the same weight: whether a note is on the frets of the one before it, and of one further
back, by their likeness, the latter less the log-odds of any two such notes; and whether the next note, if it is
another one, is higher, by its rise. And, song by song, how well likeness and rise tell the first and the last.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tabhero_hf.arranging.frets import PASSAGE_SECONDS, PHRASE_SECONDS, height
from tabhero_hf.audio.likeness import compare_notes
from tabhero_hf.audio.loading import DEFAULT_SAMPLING_RATE, load_audio
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.data.preparation import audio_of


def fitted(parts: list[tuple[np.ndarray, np.ndarray]], beyond_usual: bool = False) -> str:
    """Slope and intercept of what is true by what is heard, over parts of one weight each."""
    heard, true = (np.concatenate(values) for values in zip(*parts, strict=True))
    weights = np.concatenate([np.full(len(values), len(heard) / len(parts) / len(values)) for values, _ in parts])
    model = LogisticRegression(C=100.0).fit(heard[:, None], true, sample_weight=weights)
    usual = np.average(true, weights=weights)
    intercept = model.intercept_[0] - beyond_usual * np.log(usual / (1 - usual))
    return f"{model.coef_[0, 0]:.1f}, {intercept:.1f}  ({len(heard)} pairs, {100 * usual:.0f} % true)"


def main(paths: list[str]):
    following, later, rising = [], [], []
    for path in paths:
        song = read_song(path)
        notes = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
        onsets, heights = np.array([note[0] for note in notes]), np.array([height(note[1]) for note in notes])
        for audio in ("mix", "stem"):
            waveform = load_audio(audio_of(song, Instrument.LEAD, audio)[1], DEFAULT_SAMPLING_RATE)
            (compared,) = compare_notes(waveform, DEFAULT_SAMPLING_RATE, [onsets])
            far_likeness, far_same = [], []
            for back, (likeness, rise) in enumerate(zip(*compared, strict=True), start=1):
                step = heights[back:] - heights[:-back]
                near = onsets[back:] - onsets[:-back] <= (PHRASE_SECONDS if back == 1 else PASSAGE_SECONDS)
                if back == 1:
                    following.append((likeness[1:][near], step[near] == 0))
                    rising.append((rise[1:][near & (step != 0)], step[near & (step != 0)] > 0))
                else:
                    far_likeness.append(likeness[back:][near])
                    far_same.append(step[near] == 0)
            later.append((np.concatenate(far_likeness), np.concatenate(far_same)))
            told = [roc_auc_score(true, heard) for heard, true in (following[-1], rising[-1])]
            print(f"{path}, {audio}: area under the curve {told[0]:.2f} for the same frets, {told[1]:.2f} for higher")
    print(f"on the frets of the one before: {fitted(following)}")
    print(f"on the frets of one further back: {fitted(later, beyond_usual=True)}")
    print(f"higher than the one before: {fitted(rising)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
