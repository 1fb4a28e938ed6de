"""What a model hears of a song: onsets in its middle and at its sides, and notes, once it is known when they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit, logit

from .audio.note_spectra import NoteSpectra, hear_notes
from .charts import Instrument
from .tokenization_tabhero import TIME_STEP

GUITARS = frozenset(Instrument) - {Instrument.BASS, Instrument.KEYS, Instrument.GHL_BASS}
"""What is listened to at the sides of a song as well: basses stand in its middle."""

AT_SIDES, SURER = 1 / 3, 0.2
"""How much of log-odds is what is heard at a song's sides, and what is added: two who are of different minds are less
sure together than each is."""

LIKELY = 1e-6, 1 - 1e-6
"""Probabilities are kept between these."""


class HeardNotes(NamedTuple):
    """The notes of a chart as they are heard.

    Args:
        spectra: of each.
        frets: how likely each is on which, by the fret head alone, ``(notes, num_fret_tokens)``.
        pitches: how likely each has which, ``(notes, pitches)``; `None` of a model that names none.
    """

    spectra: NoteSpectra
    frets: np.ndarray
    pitches: np.ndarray | None


def places_of_bins(starts: Sequence[float], window_bins: int, song_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The window that has each bin of a song, and which bin of it that is: overlaps part in the middle.

    Args:
        starts: of the windows, in seconds.
        window_bins, song_bins: how many bins each window and the song have.
    """
    (window, time), end = np.zeros((2, song_bins), dtype=np.int64), 0.0
    for index, start in enumerate(starts):
        seam = round((start + max(start, end)) / 2 / TIME_STEP)
        window[seam:] = index
        time[seam:] = np.minimum(np.arange(seam, song_bins) - round(start / TIME_STEP), window_bins - 1)
        end = start + window_bins * TIME_STEP
    return window, time


def with_sides(middle: np.ndarray, sides: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """How likely onsets are by what is heard in the middle of a song and, where it is wide, at its sides.

    Args:
        middle, sides: probabilities ``(charts, bins)``.
        wide: of each bin whether there is something at the sides, bool ``(bins,)``.
    """
    odds = (1 - AT_SIDES) * logit(middle.clip(*LIKELY)) + AT_SIDES * logit(sides.clip(*LIKELY))
    return np.where(wide, expit(odds + SURER), middle).astype(middle.dtype)


def hear_charts(
    model,
    waveform: np.ndarray,
    attention_mask: torch.LongTensor,
    heard: torch.HalfTensor,
    places: tuple[np.ndarray, np.ndarray],
    instruments: Sequence[int],
    seconds: Sequence[np.ndarray],
    sides: np.ndarray | None = None,
) -> list[HeardNotes]:
    """The notes of each chart of a song.

    Args:
        model: with a fret head.
        waveform: mono samples at its rate, ``(samples,)``.
        attention_mask: of its windows, ``(windows, frames)``.
        heard: frets at each position, as the model's ``listen()`` gives them, ``(charts, windows, positions,
            num_fret_tokens)``.
        places: of :func:`places_of_bins`.
        instruments: of each chart.
        seconds: of each chart's notes, ascending, ``(notes,)``.
        sides: what stands beside the waveform in a stereo recording, of the same shape, to hear guitars in.
    """
    rate, spectra = model.config.sampling_rate, {}
    at_sides = [sides is not None and instrument in GUITARS for instrument in instruments]
    for there in dict.fromkeys(at_sides):
        asked = [chart for chart, guitar in enumerate(at_sides) if guitar == there]
        notes = hear_notes(waveform, rate, [seconds[chart] for chart in asked], sides if there else None)
        spectra.update(zip(asked, notes, strict=True))
    positions = model._get_feat_extract_output_lengths(attention_mask.sum(dim=1)).cpu()
    charts = []
    for chart, instrument in enumerate(instruments):
        bins = np.rint(seconds[chart] / TIME_STEP).astype(np.int64).clip(max=len(places[0]) - 1)
        window, time = (torch.from_numpy(place[bins]) for place in places)
        position = model.fret_pointer.positions(time, positions[window])
        frets = heard[chart].cpu()[window, position].float().numpy()
        charts.append(HeardNotes(spectra[chart], frets, _name_pitches(model, spectra[chart], instrument)))
    return charts


def _name_pitches(model, spectra: NoteSpectra, instrument: int) -> np.ndarray | None:
    head = getattr(model, "pitch_head", None)  # of a model's own code, which may be older than this
    if head is None or not len(spectra.notes):
        return None
    return model.tell_pitches(torch.from_numpy(spectra.in_octaves(*head.BINS)), instrument).cpu().numpy()
