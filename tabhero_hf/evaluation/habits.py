"""How charts are written, as numbers that do not need a reference: what human charts and ours have in common."""

from collections import Counter
from itertools import pairwise

import numpy as np

from ..arranging.playability import FASTEST_LEAPS, riffs
from ..charts import Chart, Difficulty, Instrument, Kind, Track
from ..charts.measures import Measures

HABITS = {
    "density": "notes / s",
    "stays": "stay",
    "chords": "chords",
    "hopos": "HOPO",
    "sustains": "sustains",
    "on_beat": "on a beat",
    "leaps": "fast leaps / 100",
    "riffs": "riffs alike",
    "ladder": "in the harder",
}
"""The measures of [`chart_habits`], and what tables call them."""


def chart_habits(chart: Chart, instrument: Instrument, difficulty: Difficulty) -> dict[str, float]:
    """
    The habits of a track with notes.

    Returns:
        - `density`: notes per second between the first and the last.
        - `stays`: the share of notes that are on the lanes of the one before; not a number for a single note.
        - `chords`, `hopos`, `sustains`, `on_beat`: the shares of notes with several lanes, that are a HOPO, that are
          held, and that are on a quarter note.
        - `leaps`: per 100 notes, single notes that are three lanes or more from the single note before them at a speed
          at which a hand hardly gets there.
        - `riffs`: of the notes in measures that come back with the same rhythm and mostly the same frets, the share
          that has the frets that most repetitions have there; not a number where nothing comes back.
        - `ladder`: the share of onsets that the next harder difficulty has, too; not a number for the hardest.

    Raises:
        KeyError: the chart has no such track.
    """
    track = chart.tracks[instrument, difficulty]
    notes = track.notes
    times = chart.tempo_map.seconds([note.tick for note in notes])
    harder = [other for (played, level), other in chart.tracks.items() if played == instrument and level > difficulty]
    return {
        "density": len(notes) / max(float(times[-1] - times[0]), 1.0),
        "stays": float(np.mean([a.lanes == b.lanes for a, b in pairwise(notes)])) if len(notes) > 1 else float("nan"),
        "chords": float(np.mean([len(note.lanes) > 1 for note in notes])),
        "hopos": float(np.mean([note.kind == Kind.HOPO for note in notes])),
        "sustains": float(np.mean([note.sustain > 0 for note in notes])),
        "on_beat": float(np.mean([note.tick % chart.tempo_map.resolution == 0 for note in notes])),
        "leaps": 100 * _leaps(track, np.diff(times)) / len(notes),
        "riffs": _riffs_alike(track, Measures(chart.tempo_map)),
        "ladder": _contained(track, min(harder, key=lambda other: other.difficulty)) if harder else float("nan"),
    }


def _leaps(track: Track, apart: np.ndarray) -> int:
    pairs = zip(pairwise(track.notes), apart.tolist(), strict=True)
    return sum(
        len(a.lanes) == len(b.lanes) == 1
        and any(abs(a.lanes[0] - b.lanes[0]) == lanes and gap < fastest for lanes, fastest in FASTEST_LEAPS.items())
        for (a, b), gap in pairs
    )


def _riffs_alike(track: Track, measures: Measures) -> float:
    alike = total = 0
    for riff in riffs(track.notes, measures, fewest=1):
        if len(riff) > 1:
            for column in zip(*riff, strict=True):
                alike += Counter(track.notes[i].lanes for i in column).most_common(1)[0][1]
                total += len(column)
    return alike / total if total else float("nan")


def _contained(track: Track, harder: Track) -> float:
    onsets = {note.tick for note in harder.notes}
    return float(np.mean([note.tick in onsets for note in track.notes]))
