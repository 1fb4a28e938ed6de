"""Charts of made songs, after the habits of human charters.

Lanes follow the contour of a riff, not absolute pitch: within a riff, or each phrase of one that goes through many
pitches, a higher pitch never has a lower lane, and pitches that follow each other have different ones where five lanes
allow it. The same pitches in the same order give the same lanes, so that a listener can learn them from what stands
around a note. Lower difficulties keep the notes of strong grid positions that are far enough apart. Nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np

from ..charts import Chart, Difficulty, Instrument, Kind, Phrase, TempoMap, Track, hopo_threshold, natural_hopos
from ..charts import Note as ChartNote
from .score import RESOLUTION, Placed, Riff, Score, Section
from .synthetic import THINNING, Note

LANES = 5
SPANS = {"single": 0, "fifth": 1, "octave": 2, "minor": 2, "major": 2}
"""Lanes from the lowest to the highest of a chord's two."""

MANY_PITCHES, MOST_PITCHES = 7, 24
"""A riff of more pitches than the first gets its lanes phrase by phrase; a phrase of more than the second is not
searched for its best lanes."""

LEAST_APART = {Difficulty.HARD: 0.14, Difficulty.MEDIUM: 0.24, Difficulty.EASY: 0.48}
"""Seconds between notes of each lower difficulty, at least."""

REDUCED, MOST_APART = 0.9, 4.0
"""The share of the harder difficulty's notes that one has at most, unless they come more seconds than these apart."""

GRID = tuple(round(RESOLUTION * beats) for beats in (1 / 6, 1 / 4, 1 / 3, 1 / 2, 1, 2, 4, 8))
"""Distances in ticks that thinned notes keep: the first one that lasts long enough."""

SUSTAINED_SECONDS, SUSTAINED_TICKS = 0.3, RESOLUTION // 2
"""How long a note sounds, at least, to be charted as held."""

GAP_SECONDS, GAP_TICKS = 0.05, RESOLUTION // 8
"""How long before the next note a held one ends."""

STAR_POWER_NOTES = 3
"""Notes of Expert that make a star power phrase."""


def chart_score(score: Score) -> Chart:
    """The chart of all charted parts of a song at all difficulties; its tick 0 is where the audio begins."""
    tracks: dict[tuple[Instrument, Difficulty], Track] = {}
    for instrument in (Instrument.LEAD, Instrument.BASS, Instrument.RHYTHM, Instrument.KEYS):
        part = score.parts[instrument.name.lower()]
        if any(placed.riff.phrases[placed.phrase] for placed in part):
            tracks |= chart_part(part, instrument, score)
    metadata = {
        "name": score.title or f"Made song {score.seed}",
        "artist": "Made music",
        "album": "Songs to train on",
        "genre": score.style,
        "year": "2026",
        "charter": "tabhero_hf",
    }
    return Chart(score.tempo_map, tracks, score.section_events, end_ticks=(score.end,), metadata=metadata)


def chart_part(
    part: Sequence[Placed], instrument: Instrument, score: Score
) -> dict[tuple[Instrument, Difficulty], Track]:
    """The tracks of one part."""
    written, lanes = [], []
    for placed in part:
        written += placed.notes
        lanes += riff_lanes(placed.riff)[placed.phrase]
    ticks = np.array([int(note.time) for note in written])
    kept = {Difficulty.EXPERT: np.ones(len(written), dtype=bool)}
    for difficulty, harder in zip((Difficulty.HARD, Difficulty.MEDIUM, Difficulty.EASY), reversed(Difficulty)):
        kept[difficulty] = reduce_notes(part, kept[harder], score.tempo_map, LEAST_APART[difficulty])
    phrases = star_power([ticks[kept[difficulty]] for difficulty in Difficulty], score.sections)
    tracks = {}
    for difficulty in Difficulty:
        chosen = np.flatnonzero(kept[difficulty]).tolist()
        held = sustains([written[i] for i in chosen], score.tempo_map)
        reduced = [reduce_lanes(lanes[i], written[i], length, difficulty) for i, length in zip(chosen, held)]
        masks = [sum(1 << lane for lane in chord) for chord in reduced]
        hopos = natural_hopos(ticks[chosen], masks, hopo_threshold(RESOLUTION))
        notes = [
            ChartNote(int(ticks[i]), chord, length, Kind.HOPO if hopo else Kind.STRUM)
            for i, chord, length, hopo in zip(chosen, reduced, held, hopos)
        ]
        tracks[instrument, difficulty] = Track(instrument, difficulty, tuple(notes), phrases)
    return tracks


# Lanes


@lru_cache(maxsize=256)
def riff_lanes(riff: Riff) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The lanes of each note of each phrase on Expert."""
    together = [note for phrase in riff.phrases for note in phrase]
    if len({note.root for note in together}) <= MANY_PITCHES:
        lane_of = pitch_lanes(together)
        maps = [lane_of] * len(riff.phrases)
    else:
        maps = [pitch_lanes(phrase) for phrase in riff.phrases]
    return tuple(
        tuple(chord_lanes(note, lane_of[note.root]) for note in phrase) for phrase, lane_of in zip(riff.phrases, maps)
    )


def pitch_lanes(notes: Sequence[Note]) -> dict[int, int]:
    """The lane of each pitch of a phrase, rising with it.

    Of all rising assignments it is the one with the fewest neighbouring notes of different pitch on one lane; then the
    one whose steps are nearest to the intervals, one lane for up to a minor third and two for up to a fifth; then the
    one that begins nearest to green, however high the phrase is: humans use the whole neck for each. More than
    `MOST_PITCHES` are shared out among the lanes: there are too many assignments to look at.
    """
    if not notes:
        return {}
    roots = np.array([note.root for note in notes])
    pitches, ranks = np.unique(roots, return_inverse=True)
    top = np.full(len(pitches), LANES - 1)
    np.minimum.at(top, ranks, [LANES - 1 - span(note) for note in notes])
    if len(pitches) > MOST_PITCHES:
        lanes = np.minimum(np.arange(len(pitches)) * LANES // len(pitches), top)
        return dict(zip(pitches.tolist(), np.minimum.accumulate(lanes[::-1])[::-1].tolist()))
    candidates = rising_assignments(len(pitches))
    candidates = candidates[(candidates <= top).all(axis=1)]  # all on green always fits
    pairs, counts = np.unique(np.stack([ranks[:-1], ranks[1:]]), axis=1, return_counts=True)
    cost = 10.0 * ((candidates[:, pairs[0]] == candidates[:, pairs[1]]) & (pairs[0] != pairs[1])) @ counts
    steps = np.searchsorted((3, 7), np.diff(pitches)) + 1
    cost += 0.5 * np.square(np.diff(candidates, axis=1) - steps).sum(axis=1)
    cost += np.square(candidates[:, 0])
    return dict(zip(pitches.tolist(), candidates[np.argmin(cost)].tolist()))


@lru_cache(maxsize=64)
def rising_assignments(count: int) -> np.ndarray:
    """All ways to put `count` ascending pitches on lanes that never fall: (ways, count)."""
    return np.array(list(combinations_with_replacement(range(LANES), count)), dtype=np.int8)


def span(note: Note) -> int:
    """Lanes that a note's chord goes up; palm-muted chords are charted as single notes."""
    return 0 if note.muted else SPANS[note.shape]


def chord_lanes(note: Note, lane: int) -> tuple[int, ...]:
    """The lanes of a note or chord whose lowest is `lane`."""
    return (lane, lane + span(note)) if span(note) else (lane,)


# Lower difficulties


def reduce_notes(part: Sequence[Placed], kept: np.ndarray, tempo_map: TempoMap, seconds: float) -> np.ndarray:
    """The notes that are `seconds` apart, or as much more as it takes to leave some out."""
    chosen = thin(part, kept, tempo_map, seconds)
    while chosen.sum() > REDUCED * kept.sum() and seconds < MOST_APART:
        seconds *= 1.25
        chosen = thin(part, kept, tempo_map, seconds)
    return chosen


def thin(part: Sequence[Placed], kept: np.ndarray, tempo_map: TempoMap, seconds: float) -> np.ndarray:
    """Which of the part's notes an easier difficulty keeps of those that the harder one has: bool, (notes,).

    Each phrase is thinned for itself, as if it were repeated, so that a riff that comes back is charted alike.
    """
    chosen = np.zeros(len(kept), dtype=bool)
    first = 0
    last_tick, last = -np.inf, -1
    for placed in part:
        phrase = placed.riff.phrases[placed.phrase]
        inside = [i for i in range(len(phrase)) if kept[first + i]]
        beat = float(np.diff(tempo_map.seconds([placed.tick, placed.tick + RESOLUTION]))[0])
        apart = next(ticks for ticks in GRID if ticks * beat / RESOLUTION > seconds or ticks == GRID[-1])
        strengths = tuple((int(phrase[i].time), phrase[i].weight) for i in inside)
        for i in spaced(strengths, apart, placed.riff.length):
            tick, at = placed.tick + phrase[inside[i]].time, first + inside[i]
            if tick - last_tick < apart and last_tick < placed.tick:
                # The end of another phrase is too near: what stands on the stronger beat stays.
                chosen[last] = False
            chosen[at] = True
            last_tick, last = tick, at
        first += len(phrase)
    return chosen


@lru_cache(maxsize=1024)
def spaced(notes: tuple[tuple[int, int], ...], apart: int, length: int) -> list[int]:
    """Which notes, (tick, metrical weight), are at least `apart` ticks from each other around a phrase of `length`.

    The strongest are taken first, and of equal ones the first.
    """
    taken: list[int] = []
    for i in sorted(range(len(notes)), key=lambda i: (-notes[i][1], notes[i][0])):
        distances = (abs(notes[i][0] - notes[other][0]) for other in taken)
        if all(min(distance, length - distance) >= apart for distance in distances):
            taken.append(i)
    return sorted(taken)


def reduce_lanes(lanes: tuple[int, ...], note: Note, sustain: int, difficulty: Difficulty) -> tuple[int, ...]:
    """The lanes that a difficulty has of Expert's: Hard has its chords on the beat or held, Medium only held ones."""
    if difficulty == Difficulty.EXPERT:
        return lanes
    chord = {
        Difficulty.HARD: sustain > 0 or note.weight >= 2,
        Difficulty.MEDIUM: sustain > 0,
        Difficulty.EASY: False,
    }[difficulty]
    fold = THINNING[difficulty][1]
    return tuple(sorted({fold[lane] for lane in (lanes if chord else lanes[:1])}))


# Sustains and star power


def sustains(notes: Sequence[Note], tempo_map: TempoMap) -> list[int]:
    """How many ticks each of a track's notes is held: those that sound long are, up to a gap before the next one."""
    if not notes:
        return []
    starts = np.array([int(note.time) for note in notes])
    ends = starts + np.array([int(note.length) for note in notes])
    following = np.append(starts[1:], np.iinfo(np.int32).max)
    ends = np.minimum(ends, following)
    long = tempo_map.seconds(ends) - tempo_map.seconds(starts) >= SUSTAINED_SECONDS
    long &= (ends - starts > SUSTAINED_TICKS) & ~np.array([note.muted for note in notes])
    gaps = np.maximum(GAP_TICKS, ends - tempo_map.ticks(tempo_map.seconds(ends) - GAP_SECONDS))
    return np.where(long, ends - gaps - starts, 0).tolist()


def star_power(ticks: Iterable[np.ndarray], sections: Sequence[Section]) -> tuple[Phrase, ...]:
    """Phrases on the second half of sections: of every second one in which all difficulties have notes there.

    Tracks of few notes have them on whole sections.

    Args:
        ticks: those of each difficulty's notes, Expert's last.
        sections: the song's.
    """
    *easier, expert = ticks
    for share in (2, 1):
        phrases = []
        for section in sections:
            first = section.end - max(1, section.bars // share) * section.bar
            count, *counts = (((first <= at) & (at < section.end)).sum() for at in (expert, *easier))
            if count >= STAR_POWER_NOTES and all(counts):
                phrases.append(Phrase(first, section.end - first))
        if phrases:
            break
    return tuple(phrases[::2])
