#!/usr/bin/env python
"""
Fit what `tabhero_hf/arranging/frets.py` knows of how notes sound beside each other, to songs with human charts.

    python scripts/fit_likeness.py "songs/Metal madness" "songs/War of freedom" …

Prints slopes and intercepts of logistic regressions over the guitar charts, heard alone and in the mix, each chart and
sound with the same weight: whether a note is on the frets of the one before it, by their likeness, the pace, its
accent and the difficulty; and, on Expert, whether it is on those of one further back, by their likeness, less the
log-odds of any two such notes; and whether the next note, if it is another one, is higher, by its rise. Song by song,
how well these tell, on Expert, whether the next note is on the same frets and whether it is higher. And how often
single notes are on each lane there, mean over songs.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tabhero_hf.arranging.frets import LANES, PASSAGE_SECONDS, PHRASE_SECONDS, height, rhythm_of_steps, same_as_before
from tabhero_hf.audio.likeness import Comparison, compare_notes
from tabhero_hf.audio.loading import DEFAULT_SAMPLING_RATE, load_audio
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.data.preparation import audio_of


def fitted(parts: list[tuple[np.ndarray, np.ndarray]], beyond_usual: bool = False) -> str:
    """Slopes and intercept of what is true by what is heard, over parts of one weight each."""
    heard, true = (np.concatenate(values) for values in zip(*parts, strict=True))
    heard = heard.reshape(len(true), -1)
    weights = np.concatenate([np.full(len(values), len(heard) / len(parts) / len(values)) for values, _ in parts])
    model = LogisticRegression(C=100.0).fit(heard, true, sample_weight=weights)
    usual = np.average(true, weights=weights)
    intercept = model.intercept_[0] - beyond_usual * np.log(usual / (1 - usual))
    slopes = ", ".join(f"{slope:.1f}" for slope in model.coef_[0])
    return f"{slopes}, {intercept:.1f}  ({len(heard)} pairs, {100 * usual:.0f} % true)"


def further_back(compared: Comparison, onsets: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Likeness of notes and those two or more before them, and whether these are as high."""
    heard, same = [], []
    for back, likeness in enumerate(compared.likeness[1:], start=2):
        near = onsets[back:] - onsets[:-back] <= PASSAGE_SECONDS
        heard.append(likeness[back:][near])
        same.append((heights[back:] == heights[:-back])[near])
    return np.concatenate(heard), np.concatenate(same)


def main(paths: list[str]):
    following, later, rising, lanes = [], [], [], []
    for path in paths:
        song, hardest = read_song(path), (Instrument.LEAD, Difficulty.EXPERT)
        single = [note.lanes[0] for note in song.chart.tracks[hardest].notes if len(note.lanes) == 1]
        lanes.append(np.bincount([lane for lane in single if lane < len(LANES)], minlength=len(LANES)) / len(single))
        for audio in ("mix", "stem"):
            waveform = load_audio(audio_of(song, Instrument.LEAD, audio)[1], DEFAULT_SAMPLING_RATE)
            for difficulty in Difficulty:
                if (Instrument.LEAD, difficulty) not in song.chart.tracks:
                    continue
                notes = song.chart.to_seconds(Instrument.LEAD, difficulty)
                onsets, heights = np.array([note[0] for note in notes]), np.array([height(note[1]) for note in notes])
                if difficulty is not Difficulty.EXPERT and len(onsets) == len(song.chart.tracks[hardest].notes):
                    continue  # a copy of the hardest chart
                beats = song.chart.tempo_map.ticks(onsets - song.chart.offset) / song.chart.tempo_map.resolution
                (compared,) = compare_notes(waveform, DEFAULT_SAMPLING_RATE, [onsets])
                step, near = np.diff(heights), np.diff(onsets) <= PHRASE_SECONDS
                likeness, rise = compared.likeness[0, 1:], compared.rise[0, 1:]
                level = np.tile(
                    [difficulty is other for other in (Difficulty.MEDIUM, Difficulty.HARD)], (len(step), 1)
                )
                heard = np.column_stack([likeness, *rhythm_of_steps(onsets, beats), level])
                following.append((heard[near], step[near] == 0))
                if difficulty is not Difficulty.EXPERT:
                    continue
                moved = near & (step != 0)
                rising.append((rise[moved], step[moved] > 0))
                later.append(further_back(compared, onsets, heights))
                odds = same_as_before(likeness, onsets, beats, difficulty)
                told = roc_auc_score(step[near] == 0, odds[near]), roc_auc_score(step[moved] > 0, rise[moved])
                print(f"{path}, {audio}: area under the curve {told[0]:.2f} for the same frets, {told[1]:.2f} higher")
    print(f"on the frets of the one before; the last slopes are Medium and Hard: {fitted(following)}")
    print(f"on the frets of one further back: {fitted(later, beyond_usual=True)}")
    print(f"higher than the one before: {fitted(rising)}")
    print(f"single notes on each lane: {', '.join(f'{share:.2f}' for share in np.mean(lanes, axis=0))}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
