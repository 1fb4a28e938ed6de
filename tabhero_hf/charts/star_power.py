"""Where star power goes in a track that has none."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from .measures import Measures
from .notes import Phrase, Track

PHRASE_MEASURES = 2
PHRASE_NOTES = 4
"""No phrase has fewer notes: it goes on for more measures instead."""

EVERY = 35.0
"""Seconds from the start of a phrase to that of the next."""

NEAR = 10.0
"""So many seconds later a phrase may begin for the start of a section."""


def place_star_power(track: Track, measures: Measures, sections: Sequence[int] = ()) -> tuple[Phrase, ...]:
    """Phrases of whole measures, the first at the first note, at the start of sections where there is one near.

    Args:
        track: its notes alone count.
        measures: of its song.
        sections: the ticks that sections start at, ascending.
    """
    tempo_map, ticks = measures.tempo_map, [note.tick for note in track.notes]
    phrases: list[Phrase] = []
    at = 0
    while at < len(ticks):
        earliest = float(tempo_map.seconds(ticks[at]))
        near = [start for start in sections if earliest - 1e-6 <= tempo_map.seconds(start) <= earliest + NEAR]
        start = max(near[0], 0) if near else measures.line(measures.at(ticks[at]))
        start = max(start, phrases[-1].end) if phrases else start
        enough = bisect_left(ticks, start) + PHRASE_NOTES - 1
        if enough >= len(ticks):
            break
        end = measures.line(max(measures.at(start) + PHRASE_MEASURES, measures.at(ticks[enough]) + 1))
        phrases.append(Phrase(start, end - start))
        later = int(tempo_map.ticks(tempo_map.seconds(start) + EVERY))
        at = bisect_left(ticks, max(end, later))
    return tuple(phrases)
