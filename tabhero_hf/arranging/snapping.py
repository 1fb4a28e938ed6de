"""Onsets on the grid: the rhythm that most likely made what was heard, written alike wherever it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

import numpy as np

from tabhero_hf.charts import SecondsNote, TempoMap

TIMING_ERROR = 0.015
"""Standard deviation of heard onsets around the true ones, in seconds."""

MAX_SHIFT = 0.035
"""No note is moved further than this, in seconds."""

SAME_ONSET = 0.040
"""Within this many seconds notes of different difficulties are one onset."""

LOW_CONFIDENCE = 0.3
"""Beats that are less sure than this are no grid to snap to."""

GRIDS = {4: 0.72, 3: 0.2, 8: 0.05, 6: 0.03}
"""Parts of a beat (sixteenths, eighth triplets, thirty-seconds, sixteenth triplets), and how usual each is."""

BEAT_PARTS = 24
"""All grids' places are whole parts of so many."""

BEAT_MARGIN = 1 / 8
"""The part of a beat before it in which an onset is on it."""

PRIOR_BEATS = 5.0
"""What is usual in general counts as much as so many beats of the song."""

ROUNDS = 4

Rhythm = tuple[int, ...]
"""The onsets of a beat, in parts of it."""


@dataclass(slots=True)
class _Onset:
    """Notes of several tracks that are one onset: the index of the note in each."""

    notes: dict[Hashable, int] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    @property
    def time(self) -> float:
        return sum(self.times) / len(self.times)


class _Beat(NamedTuple):
    """A beat with onsets: its number, their indices, where they are from its start, and its length, in seconds."""

    number: int
    onsets: slice
    places: np.ndarray
    length: float


def snap(
    tracks: Mapping[Hashable, Sequence[SecondsNote]],
    tempo_map: TempoMap,
    confidence: np.ndarray | None = None,
) -> dict[Hashable, list[SecondsNote]]:
    """Notes moved to the grid of their beat.

    Each beat gets the rhythm that makes its onsets most likely, given the error of their times and how usual the
    rhythm is: in general, where sixteenths come before triplets and finer grids, and in this song, so that what comes
    back is written alike. An error that all onsets have in common is told from their rhythm. Notes of several tracks
    at one moment move together.

    Args:
        tracks: ``(seconds, lanes, modifier bits, sustain in seconds)`` by any key, ascending; seconds count from tick
            0 of ``tempo_map``.
        tempo_map: its quarter notes are the beats.
        confidence: of each beat, 0 to 1, shape ``(beats,)``; where it is low, notes stay where they are. All beats are
            sure where there is none.

    Returns:
        The notes, in the same order. None has moved further than 35 ms, and no two of a track onto one place. Sustains
        end where they did, on the grid's sixteenths.
    """
    onsets = _onsets(tracks)
    if not onsets:
        return {key: list(notes) for key, notes in tracks.items()}
    times = np.array([onset.time for onset in onsets])
    late, usual = 0.0, Counter()
    targets = np.full(len(times), np.nan)
    for _ in range(ROUNDS):
        beats = _beats(times - late, tempo_map, confidence)
        rhythms = [_likeliest(beat, usual) for beat in beats]
        usual = Counter(rhythm for rhythm in rhythms if rhythm)
        for beat, rhythm in zip(beats, rhythms, strict=True):
            ticks = np.rint((beat.number + np.array(rhythm) / BEAT_PARTS) * tempo_map.resolution)
            targets[beat.onsets] = tempo_map.seconds(ticks) if rhythm else np.nan
        errors = (times - targets)[np.isfinite(targets)]
        if not len(errors):
            break
        late = float(np.clip(np.median(errors), -TIMING_ERROR, TIMING_ERROR))
    return {key: _moved(key, notes, onsets, targets, tempo_map) for key, notes in tracks.items()}


def _onsets(tracks: Mapping[Hashable, Sequence[SecondsNote]]) -> list[_Onset]:
    """The onsets of all tracks, ascending: those of the fullest one, and those of the others that are near none."""
    onsets: list[_Onset] = []
    for key in sorted(tracks, key=lambda key: -len(tracks[key])):
        times = np.array([onset.time for onset in onsets])
        for i, note in enumerate(tracks[key]):
            near = np.searchsorted(times, [note[0] - SAME_ONSET, note[0] + SAME_ONSET])
            free = [onset for onset in onsets[near[0] : near[1]] if key not in onset.notes]
            if free:
                onset = min(free, key=lambda onset: abs(onset.time - note[0]))
            else:
                onset = _Onset()
                onsets.append(onset)
            onset.notes[key] = i
            onset.times.append(note[0])
        onsets.sort(key=lambda onset: onset.time)
    return onsets


def _beats(times: np.ndarray, tempo_map: TempoMap, confidence: np.ndarray | None) -> list[_Beat]:
    """The beats with onsets that are sure."""
    resolution = tempo_map.resolution
    numbers = np.floor(tempo_map.ticks(times) / resolution + BEAT_MARGIN).astype(np.int64)
    edges = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    found = []
    for first, last in zip(edges.tolist(), [*edges[1:].tolist(), len(numbers)], strict=True):
        number = int(numbers[first])
        if confidence is not None and len(confidence):
            if confidence[min(max(number, 0), len(confidence) - 1)] < LOW_CONFIDENCE:
                continue
        start, end = tempo_map.seconds([number * resolution, (number + 1) * resolution]).tolist()
        found.append(_Beat(number, slice(first, last), times[first:last] - start, end - start))
    return found


def _likeliest(beat: _Beat, usual: Mapping[Rhythm, int]) -> Rhythm:
    """The rhythm that most likely made a beat's onsets; an empty one where no grid keeps them apart."""
    count = len(beat.places)
    candidates = {rhythm for rhythm in usual if len(rhythm) == count}
    for grid in GRIDS:
        slots = np.rint(beat.places * grid / beat.length)
        if (np.diff(slots) > 0).all():
            candidates.add(tuple((slots * (BEAT_PARTS // grid)).astype(int).tolist()))

    def cost(rhythm: Rhythm) -> float:
        error = beat.places - np.array(rhythm) * (beat.length / BEAT_PARTS)
        return float((error**2).sum()) / (2 * TIMING_ERROR**2) - log(usual[rhythm] + PRIOR_BEATS * _prior(rhythm))

    return min(candidates, key=cost, default=())


def _prior(rhythm: Rhythm) -> float:
    """How usual a rhythm is in general, among those of as many onsets."""
    fitting = [grid for grid in GRIDS if all(place * grid % BEAT_PARTS == 0 for place in rhythm)]
    return max(GRIDS[grid] / grid ** len(rhythm) for grid in fitting)


def _within_reach(time: float, target: float, tempo_map: TempoMap) -> float:
    """The place on any grid, on the way to a target, that is as far as a note may move; its own time without one."""
    tick, reach = int(tempo_map.ticks(time)), time + np.copysign(MAX_SHIFT, target - time)
    best = time
    for grid in GRIDS:
        part = tempo_map.resolution / grid
        for slot in (np.floor(tick / part), np.ceil(tick / part)):
            place = float(tempo_map.seconds(np.rint(slot * part)))
            if min(time, reach) <= place <= max(time, reach) and abs(place - target) < abs(best - target):
                best = place
    return best


def _moved(
    key: Hashable, notes: Sequence[SecondsNote], onsets: Sequence[_Onset], targets: np.ndarray, tempo_map: TempoMap
) -> list[SecondsNote]:
    moved = list(notes)
    for onset, target in zip(onsets, targets.tolist(), strict=True):
        i = onset.notes.get(key)
        if i is None or np.isnan(target):
            continue
        if abs(target - notes[i][0]) > MAX_SHIFT:
            target = _within_reach(notes[i][0], target, tempo_map)
        if target < 0:
            continue
        time, lanes, bits, sustain = notes[i]
        if sustain > 0:
            sixteenth = tempo_map.resolution / 4
            end = np.rint(tempo_map.ticks(time + sustain) / sixteenth) * sixteenth
            sustain = max(float(tempo_map.seconds(end)) - target, 0.0)
        moved[i] = (target, lanes, bits, sustain)
    return _ascending(notes, moved)


def _ascending(notes: Sequence[SecondsNote], moved: list[SecondsNote]) -> list[SecondsNote]:
    """The moved notes, but for those that would meet or pass the note before them and stay."""
    for i in range(1, len(moved)):
        if moved[i][0] <= moved[i - 1][0]:
            moved[i] = notes[i]
            if moved[i][0] <= moved[i - 1][0]:
                moved[i - 1] = notes[i - 1]
    return moved
