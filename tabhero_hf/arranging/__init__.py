"""From the notes that were heard to a chart that a player would keep. Needs charts alone, no torch and no audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tabhero_hf.charts import Chart, Difficulty, Instrument, SecondsNote, TempoMap, Track
from tabhero_hf.charts.check import holds_notes
from tabhero_hf.charts.measures import Measures
from tabhero_hf.charts.star_power import place_star_power

from .confidence import least_sure, measure_confidence
from .frets import find_frets
from .ladder import by_instrument, climb, climb_onsets, holds
from .playability import make_playable
from .rhythm import find_onsets
from .rules import count_broken_rules
from .snapping import snap
from .structure import Section, chorus_start, find_sections, find_solos, section_events

Key = tuple[Instrument, Difficulty]

ROUNDED = 0.006
"""Seconds before tick 0 that a note on it may come out: times are heard in bins of 10 ms."""


def arrange(
    notes: Mapping[Key, Sequence[SecondsNote]],
    tempo_map: TempoMap,
    offset: float = 0.0,
    confidence: np.ndarray | None = None,
    sound: np.ndarray | None = None,
    level: np.ndarray | None = None,
) -> Chart:
    """A chart of the notes of one song: on the beat, playable, at all its difficulties, in sections.

    Args:
        notes: by instrument and difficulty, in the audio's seconds. Those before ``offset``, by more than rounding,
            are left out.
        tempo_map: of the song.
        offset: the second of the audio that its tick 0 is at.
        confidence: of each of its quarter notes, 0 to 1; see :func:`~tabhero_hf.arranging.snapping.snap`.
        sound, level: of each of its measures; see :func:`~tabhero_hf.arranging.structure.find_sections`.

    Returns:
        A chart with every track that was asked for, without notes where nothing was heard. Its metadata has the
        ``preview_start_time`` where a chorus was found. :func:`~tabhero_hf.charts.mend` has yet to see to the lead-in
        and the end event.
    """
    charted = {
        key: [(max(time - offset, 0.0), *rest) for time, *rest in heard if time - offset > -ROUNDED]
        for key, heard in notes.items()
    }
    snapped = snap(charted, tempo_map, confidence)
    tracks = {key: Track.from_seconds(heard, tempo_map, *key) for key, heard in snapped.items()}
    measures = Measures(tempo_map)
    for instrument, levels in by_instrument(tracks).items():
        levels = {difficulty: make_playable(track, tempo_map) for difficulty, track in levels.items()}
        levels = {
            difficulty: make_playable(track, tempo_map) for difficulty, track in climb(levels, tempo_map).items()
        }
        tracks |= {(instrument, difficulty): track for difficulty, track in levels.items()}
    sections = find_sections(tracks, measures, sound, level)
    for instrument, levels in by_instrument(tracks).items():
        levels = _with_phrases(levels, sections, measures, tempo_map)
        tracks |= {(instrument, difficulty): track for difficulty, track in levels.items()}
    start = chorus_start(sections, measures)
    preview = {} if start is None else _preview(float(tempo_map.seconds(start)) + offset)
    return Chart(tempo_map, tracks, section_events(sections, measures), offset=offset, metadata=preview)


def _preview(seconds: float) -> dict[str, str]:
    return {"preview_start_time": str(max(round(seconds * 1000), 0))}


def _with_phrases(
    levels: Mapping[Difficulty, Track], sections: Sequence[Section], measures: Measures, tempo_map: TempoMap
) -> dict[Difficulty, Track]:
    """The tracks of an instrument with the star power and solos of the hardest, where their own notes are in them."""
    hardest = levels[max(levels)]
    star_power = place_star_power(hardest, measures, [measures.line(section.first) for section in sections])
    solos = find_solos(hardest, sections, measures, tempo_map)
    phrased = {}
    for difficulty, track in levels.items():
        ticks = [note.tick for note in track.notes]
        own, own_solos = (tuple(p for p in phrases if holds_notes(p, ticks)) for phrases in (star_power, solos))
        phrased[difficulty] = replace(track, star_power=own, solos=own_solos)
    return phrased


__all__ = [
    "arrange",
    "climb",
    "climb_onsets",
    "count_broken_rules",
    "find_frets",
    "find_onsets",
    "find_sections",
    "holds",
    "least_sure",
    "make_playable",
    "measure_confidence",
    "snap",
]
