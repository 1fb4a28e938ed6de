"""Where the beats of a song are: its tempo map, from its audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tabhero_hf.charts.tempo import TempoMap
from tabhero_hf.charts.text_files import MAX_SECONDS

from .meter import METERS, find_downbeats
from .onsets import attack_lag, onset_strengths
from .tempo_curve import Pulse, TempoCurve, constant_curve, fitted_pulse

MIN_GIVEN_BPM, MAX_GIVEN_BPM = 20.0, 600.0
DEFAULT_RESOLUTION = 480
MIN_SECONDS = 4.0
"""Less audio than this has no tempo to speak of."""

SILENCE = 1e-4
"""The peak under which a waveform is silent: three steps of 16-bit audio."""

AGREEMENT_SECONDS = 8.0
CLEAR_AGREEMENT = 0.15
"""The correlation of onsets and beats over so many seconds that leaves no doubt."""


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of a song, as they are told from its audio.

    Args:
        tempo_map: a beat is a quarter note, and tick 0 the start of a measure.
        offset: the second of the audio that tick 0 is at, 0 or before it.
        confidence: 0 to 1 for each quarter note of the map up to the end of the audio, shape ``(beats,)``: how far
            the onsets around it agree with the beat and its parts; ``None`` for a map that was given.
    """

    tempo_map: TempoMap
    offset: float
    confidence: np.ndarray | None


def track_beats(
    waveform: np.ndarray,
    sampling_rate: int,
    resolution: int = DEFAULT_RESOLUTION,
    bpm: float | None = None,
    offset: float | None = None,
) -> Beats:
    """The beats and measures of a song.

    The tempo is one for the whole song, or changes where the onsets say so; a change that they hardly gain from is
    not made. Measures have 4 beats, or 3, 5 or 7 where drums and harmony are plain about it.

    Args:
        waveform: mono samples, shape ``(samples,)``.
        sampling_rate: in Hz.
        resolution: ticks per quarter note of the result.
        bpm: the tempo, where it is known; it holds throughout.
        offset: the second of the audio at which a measure begins, where it is known. One tempo holds throughout then.

    Returns:
        Tempos in whole 0.001 BPM, as ``.chart`` holds them, of 60 to 220 BPM where none is given. For silence and for
        less than four seconds 120 BPM in 4/4 where nothing is given, without confidence.

    Raises:
        ValueError: a ``bpm`` or an ``offset`` that no chart has.
    """
    _check_given(bpm, offset)
    if _without_beats(waveform, sampling_rate):
        tempo_map = TempoMap(resolution, () if bpm is None else ((0, round(bpm, 3)),))
        measure = float(tempo_map.seconds(4 * resolution))
        start = 0.0 if offset is None else offset - np.ceil(offset / measure) * measure
        beats = int(np.ceil(tempo_map.ticks(len(waveform) / sampling_rate - start) / resolution))
        return Beats(tempo_map, float(start), np.zeros(max(beats, 0)))
    times, strengths = onset_strengths(waveform, sampling_rate)
    pulse, curve = _curve(times, strengths, bpm, offset)
    agreement = pulse.agreement(curve.at(times), AGREEMENT_SECONDS)
    if offset is None:
        eighths = np.arange(*np.ceil(2 * curve.at(times[[0, -1]])))
        curve = TempoCurve(curve.beats, curve.seconds + attack_lag(waveform, sampling_rate, curve.times(eighths / 2)))
    first, last = (int(np.ceil(beat)) for beat in curve.at(times[[0, -1]]))
    heard = np.arange(first, last)
    meter, downbeat = find_downbeats(
        waveform, sampling_rate, curve.times(heard), times, strengths, METERS, None if offset is None else -first
    )
    start = first + downbeat - meter * int(np.ceil(downbeat / meter))
    start -= meter if curve.times(np.array(start)) > 0 else 0
    tempo_map, begins = _tempo_map(curve, start, resolution, ((0, meter, 4),))
    confidence = np.interp(curve.times(np.arange(start, last)), times, agreement) / CLEAR_AGREEMENT
    return Beats(tempo_map, begins, np.clip(confidence, 0, 1))


def estimate_tempo_map(
    waveform: np.ndarray, sampling_rate: int, resolution: int = DEFAULT_RESOLUTION, bpm: float | None = None
) -> TempoMap:
    """As :func:`track_beats`, but a map alone whose tick 0 is second 0 of the audio.

    The first quarter note has a tempo of its own, so that every later one falls on a beat. Measures are not told.
    """
    _check_given(bpm, None)
    if _without_beats(waveform, sampling_rate):
        return TempoMap(resolution, () if bpm is None else ((0, round(bpm, 3)),))
    _, curve = _curve(*onset_strengths(waveform, sampling_rate), bpm, None)
    first = int(np.ceil(curve.at(np.zeros(1))[0]))
    # From half to one and a half beats, so that the first quarter note's tempo stays a sane one.
    if curve.times(np.array(first)) < 0.5 * np.diff(curve.times(np.array([first, first + 1])))[0]:
        first += 1
    tempo_map, begins = _tempo_map(curve, first, resolution)
    later = ((tick + resolution, bpm) for tick, bpm in tempo_map.tempos)
    return TempoMap(resolution, ((0, round(60 / begins, 3)), *later))


def _check_given(bpm: float | None, offset: float | None) -> None:
    if bpm is not None and not MIN_GIVEN_BPM <= bpm <= MAX_GIVEN_BPM:
        raise ValueError(f"a tempo is {MIN_GIVEN_BPM:g} to {MAX_GIVEN_BPM:g} BPM, not {bpm:g}")
    if offset is not None and not abs(offset) <= MAX_SECONDS:
        raise ValueError(f"an offset is a number of seconds, a day at most, not {offset:g}")


def _without_beats(waveform: np.ndarray, sampling_rate: int) -> bool:
    return len(waveform) < MIN_SECONDS * sampling_rate or np.abs(waveform).max() < SILENCE


def _curve(
    times: np.ndarray, strengths: np.ndarray, bpm: float | None, offset: float | None
) -> tuple[Pulse, TempoCurve]:
    if bpm is None and offset is None:
        return fitted_pulse(times, strengths)
    pulse = Pulse(times, strengths)
    return pulse, constant_curve(pulse, round(pulse.tempo() if bpm is None else bpm, 3), offset)


def _tempo_map(
    curve: TempoCurve, start: int, resolution: int, meters: tuple[tuple[int, int, int], ...] = ()
) -> tuple[TempoMap, float]:
    """The map whose tick 0 is the beat ``start`` of the curve, and the second that it is at."""
    # Before the first knot and after the last the tempo is that between them and the next.
    between = curve.beats[1:-1]
    knots = np.array([start, *between[between > start], max(curve.beats[-1], start + 1)])
    seconds = curve.times(knots)
    tempos, at = [], seconds[0]
    for beat, following, end in zip(knots, knots[1:], seconds[1:], strict=False):
        # From where the rounded tempos so far lead, so that their errors do not add up.
        tempos.append((int(beat - start) * resolution, round(60 * float(following - beat) / float(end - at), 3)))
        at += (following - beat) * 60 / tempos[-1][1]
    return TempoMap(resolution, tuple(tempos), meters), float(seconds[0])
