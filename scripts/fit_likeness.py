#!/usr/bin/env python
"""
Fit what `tabhero_hf/arranging/frets.py` knows of how notes sound beside each other, to songs with human charts.

    python scripts/fit_likeness.py "songs/Metal madness" "songs/War of freedom" …

Prints slopes and intercepts of logistic regressions over the guitar charts, heard alone and in the mix, each chart
and sound with the same weight: whether a note is on the frets of the one before it, by their likeness, the odds of
one pitch, the pace, its accent and the difficulty; and, on Expert, whether it is on those of one further back, by
their likeness and the odds of one pitch, less the log-odds of any two such notes; and whether the next note, if it is
another one, is higher, by its rise and the odds of a higher pitch. Both without and with the pitches that the bundled
checkpoint names. Song by song, how well what `frets.py` has now tells, on Expert, whether the next note is on the
same frets and whether it is higher. And how often single notes are on each lane there, mean over songs.
"""

import sys

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tabhero_hf import TabHeroForConditionalGeneration, bundled_checkpoint
from tabhero_hf.arranging.frets import (
    LANES,
    PASSAGE_SECONDS,
    PHRASE_SECONDS,
    height,
    higher_than_before,
    rhythm_of_steps,
    same_as_before,
)
from tabhero_hf.audio.likeness import BACK, Comparison, compare_notes
from tabhero_hf.audio.loading import DEFAULT_SAMPLING_RATE, load_audio
from tabhero_hf.audio.note_spectra import hear_notes
from tabhero_hf.audio.stereo import middle_and_sides
from tabhero_hf.charts import ChartError, Difficulty, Instrument, read_song
from tabhero_hf.data.preparation import audio_of


def fitted(parts: list[tuple[np.ndarray, np.ndarray]], beyond_usual: bool = False) -> str:
    """Slopes and intercept of what is true by what is heard, over parts of one weight each."""
    heard, true = (np.concatenate(values) for values in zip(*parts, strict=True))
    heard = heard.reshape(len(true), -1)
    weights = np.concatenate([np.full(len(values), len(heard) / len(parts) / len(values)) for values, _ in parts])
    model = LogisticRegression(C=100.0).fit(heard, true, sample_weight=weights)
    usual = np.average(true, weights=weights)
    intercept = model.intercept_[0] - beyond_usual * np.log(usual / (1 - usual))
    slopes = ", ".join(f"{slope:.2f}" for slope in model.coef_[0])
    return f"{slopes}, {intercept:.1f}  ({len(heard)} pairs, {100 * usual:.0f} % true)"


def heard_of(compared: Comparison, back: int, *names: str) -> np.ndarray:
    """What is heard of notes and those so many before them, `(notes - back, names)`, but what nothing names."""
    values = [getattr(compared, name) for name in names]
    return np.column_stack([value[back - 1, back:] for value in values if value is not None])


def further_back(compared: Comparison, onsets: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is heard of notes and those two or more before them, and whether these are as high."""
    heard, same = [], []
    for back in range(2, BACK + 1):
        near = onsets[back:] - onsets[:-back] <= PASSAGE_SECONDS
        heard.append(heard_of(compared, back, "likeness", "same")[near])
        same.append((heights[back:] == heights[:-back])[near])
    return np.concatenate(heard), np.concatenate(same)


def charts_of(path: str, model: TabHeroForConditionalGeneration):
    """Of each guitar chart of a song, on each sound of it: the sound's name, its difficulty, seconds of its onsets,
    their beats, and heights; their spectra; and the pitches that the model names."""
    song, hardest = read_song(path), (Instrument.LEAD, Difficulty.EXPERT)
    for audio in ("mix", "stem"):
        stereo = load_audio(audio_of(song, Instrument.LEAD, audio)[1], DEFAULT_SAMPLING_RATE, stereo=True)
        waveform, sides = middle_and_sides(stereo)
        for difficulty in Difficulty:
            if (Instrument.LEAD, difficulty) not in song.chart.tracks:
                continue
            notes = song.chart.to_seconds(Instrument.LEAD, difficulty)
            if difficulty is not Difficulty.EXPERT and len(notes) == len(song.chart.tracks[hardest].notes):
                continue  # a copy of the hardest chart
            onsets, heights = np.array([note[0] for note in notes]), np.array([height(note[1]) for note in notes])
            beats = song.chart.tempo_map.ticks(onsets - song.chart.offset) / song.chart.tempo_map.resolution
            (spectra,) = hear_notes(waveform, DEFAULT_SAMPLING_RATE, [onsets], sides)
            in_octaves = torch.from_numpy(spectra.in_octaves(*model.pitch_head.BINS))
            pitches = model.tell_pitches(in_octaves, Instrument.LEAD).numpy()
            yield audio, difficulty, onsets, beats, heights, spectra, pitches


def main(paths: list[str]):
    lanes = []
    for path in paths:
        try:
            song = read_song(path)
        except (ChartError, OSError) as error:
            sys.exit(f"error: {error}")
        track = song.chart.tracks.get((Instrument.LEAD, Difficulty.EXPERT))
        if track is None or not audio_of(song, Instrument.LEAD, "stem"):
            sys.exit(f"error: {path} has no Expert guitar, or no stem of it")
        single = [note.lanes[0] for note in track.notes if len(note.lanes) == 1 and note.lanes[0] < len(LANES)]
        lanes.append(np.bincount(single, minlength=len(LANES)) / len(single))
    model = TabHeroForConditionalGeneration.from_pretrained(bundled_checkpoint())
    charts = [(path, *chart) for path in paths for chart in charts_of(path, model)]
    for names_pitches in (False, True):
        print("with the pitches:" if names_pitches else "without pitches:")
        following, later, rising = [], [], []
        for path, audio, difficulty, onsets, beats, heights, spectra, pitches in charts:
            compared = compare_notes(spectra, pitches if names_pitches else None)
            step, near = np.diff(heights), np.diff(onsets) <= PHRASE_SECONDS
            level = np.tile([difficulty is other for other in (Difficulty.MEDIUM, Difficulty.HARD)], (len(step), 1))
            heard = [heard_of(compared, 1, "likeness", "same"), *rhythm_of_steps(onsets, beats), level]
            following.append((np.column_stack(heard)[near], step[near] == 0))
            if difficulty is not Difficulty.EXPERT:
                continue
            moved = near & (step != 0)
            rising.append((heard_of(compared, 1, "rise", "higher")[moved], step[moved] > 0))
            later.append(further_back(compared, onsets, heights))
            odds, higher = same_as_before(compared, onsets, beats, difficulty), higher_than_before(compared)
            told = roc_auc_score(step[near] == 0, odds[near]), roc_auc_score(step[moved] > 0, higher[moved])
            print(f"{path}, {audio}: area under the curve {told[0]:.2f} for the same frets, {told[1]:.2f} higher")
        print(f"on the frets of the one before; the last slopes are Medium and Hard: {fitted(following)}")
        print(f"on the frets of one further back: {fitted(later, beyond_usual=True)}")
        print(f"higher than the one before: {fitted(rising)}")
    print(f"single notes on each lane: {', '.join(f'{share:.2f}' for share in np.mean(lanes, axis=0))}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
