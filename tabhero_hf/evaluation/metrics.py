"""Scores of a chart against a reference, by optimal one-to-one matching of onsets (mir_eval)."""

import mir_eval
import numpy as np

from ..tokenization_tabhero import Note


def onset_f1(reference: list[Note], estimate: list[Note], tolerance: float = 0.05) -> float:
    """
    F1 of onset times, in seconds, within `tolerance`; one onset for each note, chords counting once.

    Two empty charts agree perfectly: 1. There is no search for a best offset.
    """
    reference_times, estimated_times = _times(reference), _times(estimate)
    if not len(reference_times) or not len(estimated_times):
        return float(len(reference_times) == len(estimated_times))
    return float(mir_eval.onset.f_measure(reference_times, estimated_times, window=tolerance)[0])


def note_f1(reference: list[Note], estimate: list[Note], tolerance: float = 0.05) -> float:
    """F1 of notes: matched within `tolerance` seconds and struck on exactly the same lanes."""
    if not reference and not estimate:
        return 1.0
    reference, estimate = sorted(reference), sorted(estimate)
    matches = mir_eval.util.match_events(_times(reference), _times(estimate), tolerance)
    same = sum(set(reference[i][1]) == set(estimate[j][1]) for i, j in matches)
    return 2 * same / (len(reference) + len(estimate))


def _times(notes: list[Note]) -> np.ndarray:
    return np.array(sorted(note[0] for note in notes))
