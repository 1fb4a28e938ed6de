"""The form of a song: sections, solos and star power, from what comes back in it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tabhero_hf.charts import OPEN_LANE, Difficulty, Event, Instrument, Phrase, TempoMap, Track
from tabhero_hf.charts.measures import Measures

Key = tuple[Instrument, Difficulty]

PARTS = 16
"""Into so many parts a measure is divided to compare rhythms."""

KERNEL_MEASURES = 8
"""So many measures before and after a boundary are compared."""

SECTION_MEASURES = 4
"""A section begins a multiple of so many measures after the one before."""

SHORTEST_SECTION, LONGEST_SECTION = 10.0, 40.0
"""Between about so many seconds a section is long."""

SAME_SECTION = 0.65
"""The similarity from which two sections are the same part of a song, between that of any two and that of one with
itself."""

SOLO_SECONDS, SOLO_DENSITY = 8.0, 1.5
"""A solo is this long, and has this many times as many notes a second as the song, at least."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its measures, the first included and the last not, its name, and which part of the song it is."""

    first: int
    last: int
    name: str
    part: int


def find_sections(
    tracks: Mapping[Key, Track], measures: Measures, sound: np.ndarray | None = None, level: np.ndarray | None = None
) -> list[Section]:
    """The sections of a song from its first note's measure to its last one's.

    Boundaries are where what comes before and what comes after are each alike and unlike each other (Foote, "Automatic
    Audio Segmentation Using a Measure of Audio Novelty", 2000). Sections that are alike are one part of the song. The
    loudest part that comes back is the chorus, the one that comes back and is longest of the others the verse.

    Args:
        tracks: of the chart; the notes of one measure are compared with another's.
        measures: of its tempo map.
        sound: what sounds in each measure, such as chroma, shape ``(measures, features)``.
        level: how loud each measure is, in dB, shape ``(measures,)``.
    """
    played = [measures.at(note.tick) for track in tracks.values() for note in track.notes]
    if not played:
        return []
    first, last = min(played), max(played) + 1
    similar = _similarity(_features(tracks, measures, first, last, sound))
    loud = np.zeros(last - first)
    if level is not None and len(level):
        loud = np.asarray(level)[np.clip(np.arange(first, last), 0, len(level) - 1)]
    density = np.bincount(np.array(played) - first, minlength=last - first)
    seconds_a_measure = _typical_seconds(measures, first, last)
    shortest, longest = (
        SECTION_MEASURES * max(round(seconds / (SECTION_MEASURES * seconds_a_measure)), 1)
        for seconds in (SHORTEST_SECTION, LONGEST_SECTION)
    )
    bounds = _boundaries(similar, shortest, longest)
    parts = _parts(similar, bounds)
    names = _names(bounds, parts, loud, density)
    return [
        Section(first + start, first + end, name, part)
        for start, end, name, part in zip(bounds, bounds[1:], names, parts, strict=False)
    ]


def section_events(sections: Sequence[Section], measures: Measures) -> tuple[Event, ...]:
    """The practice sections of a chart."""
    return tuple(Event(measures.line(section.first), section.name) for section in sections)


def chorus_start(sections: Sequence[Section], measures: Measures) -> int | None:
    """The tick at which the first chorus begins; ``None`` without one."""
    return next((measures.line(s.first) for s in sections if s.name.startswith("Chorus")), None)


def find_solos(
    track: Track, sections: Sequence[Section], measures: Measures, tempo_map: TempoMap
) -> tuple[Phrase, ...]:
    """Sections of single notes far denser than the song, that do not come back."""
    if not track.notes:
        return ()
    ticks = [note.tick for note in track.notes]
    parts = Counter(section.part for section in sections)
    bounds = [(measures.line(section.first), measures.line(section.last)) for section in sections]
    rates = []
    for start, end in bounds:
        first, last = bisect_left(ticks, start), bisect_left(ticks, end)
        seconds = float(tempo_map.seconds(end) - tempo_map.seconds(start))
        chords = sum(len(note.lanes) > 1 for note in track.notes[first:last])
        rates.append((last - first, seconds, chords))
    usual = len(ticks) / sum(seconds for _, seconds, _ in rates)
    return tuple(
        Phrase(start, end - start)
        for section, (start, end), (count, seconds, chords) in zip(sections, bounds, rates, strict=True)
        if parts[section.part] == 1
        and seconds >= SOLO_SECONDS
        and count >= SOLO_DENSITY * usual * seconds
        and chords <= 0.1 * count
    )


def _typical_seconds(measures: Measures, first: int, last: int) -> float:
    lines = measures.tempo_map.seconds([measures.line(first), measures.line(last)])
    return float(np.diff(lines)[0]) / (last - first)


def _features(
    tracks: Mapping[Key, Track], measures: Measures, first: int, last: int, sound: np.ndarray | None
) -> list[np.ndarray]:
    """What the measures from first to last are told by, each of shape ``(measures, features)``."""
    rhythm, frets = np.zeros((last - first, PARTS * len(tracks))), np.zeros((last - first, OPEN_LANE + 1))
    for i, track in enumerate(tracks.values()):
        for note in track.notes:
            measure = measures.at(note.tick)
            line, end = measures.line(measure), measures.line(measure + 1)
            rhythm[measure - first, i * PARTS + (note.tick - line) * PARTS // (end - line)] = 1
            frets[measure - first, list(note.lanes)] += 1
    features = [rhythm, frets]
    if sound is not None and len(sound):
        features.append(np.asarray(sound)[np.clip(np.arange(first, last), 0, len(sound) - 1)])
    return features


def _similarity(features: Sequence[np.ndarray]) -> np.ndarray:
    """How alike each two measures are, from 0 to 1 for the same, shape ``(measures, measures)``."""
    total = np.zeros((len(features[0]), len(features[0])))
    for values in features:
        length = np.linalg.norm(values, axis=1, keepdims=True)
        unit = values / np.where(length > 0, length, np.inf)
        empty = length[:, 0] == 0
        total += np.where(empty[:, None] & empty, 1.0, unit @ unit.T)
    return total / len(features)


def _boundaries(similar: np.ndarray, shortest: int, longest: int) -> list[int]:
    """The measures at which sections begin, and the end, counted from the first note's.

    Those of which each gains more than a measure does on average, at regular distances rather than not.
    """
    count = len(similar)
    novelty = np.array([_novelty(similar, at) for at in range(count + 1)])
    usual = float(novelty.mean())
    best, previous = [0.0], [0]
    for at in range(1, count + 1):
        starts = [start for start in range(max(at - longest, 0), at) if start == 0 or at - start >= shortest]
        gains = [best[start] + (novelty[at] - usual) * _regularity(at - start) for start in starts]
        # What is over a multiple of four measures is at the start or the end of a song.
        gains = [gain - usual * (1 - _regularity(at - start)) for gain, start in zip(gains, starts, strict=True)]
        previous.append(starts[int(np.argmax(gains))])
        best.append(max(gains))
    bounds = [count]
    while bounds[-1] > 0:
        bounds.append(previous[bounds[-1]])
    return bounds[::-1]


def _regularity(measures: int) -> float:
    return 1.0 if measures % 8 == 0 else 0.85 if measures % SECTION_MEASURES == 0 else 0.5


def _novelty(similar: np.ndarray, at: int) -> float:
    size = min(KERNEL_MEASURES, at, len(similar) - at)
    if size < 2:
        return 0.0
    before, after = slice(at - size, at), slice(at, at + size)
    within = similar[before, before].mean() + similar[after, after].mean()
    return float(max(within / 2 - similar[before, after].mean(), 0.0)) + 1e-6


def _parts(similar: np.ndarray, bounds: Sequence[int]) -> list[int]:
    """The number of the part that each section is: that of the first section like it."""
    usual = float(np.median(similar))
    parts: list[int] = []
    spans = list(zip(bounds, bounds[1:], strict=False))
    for i, (start, end) in enumerate(spans):
        for j, (earlier, earlier_end) in enumerate(spans[:i]):
            length = min(end - start, earlier_end - earlier)
            alike = np.diagonal(similar[start : start + length, earlier : earlier + length]).mean()
            if alike >= usual + SAME_SECTION * (1 - usual):
                parts.append(parts[j])
                break
        else:
            parts.append(i)
    return parts


def _names(bounds: Sequence[int], parts: Sequence[int], loud: np.ndarray, density: np.ndarray) -> list[str]:
    """Names by what can be told: what comes back is chorus and verse, the rest has a number."""
    spans = list(zip(bounds, bounds[1:], strict=False))
    times = Counter(parts)
    lengths = Counter()
    loudness: dict[int, list[float]] = {}
    for part, (start, end) in zip(parts, spans, strict=True):
        lengths[part] += end - start
        loudness.setdefault(part, []).append(float(loud[start:end].mean() + 0.01 * density[start:end].mean()))
    back = [part for part in times if times[part] > 1]
    titles: dict[int, str] = {}
    if len(back) > 1:
        titles[max(back, key=lambda part: np.mean(loudness[part]))] = "Chorus"
        titles[max((part for part in back if part not in titles), key=lambda part: lengths[part])] = "Verse"
    elif back:
        titles[back[0]] = "Chorus"
    for part in times:
        titles.setdefault(part, "Section")
    wanted = [titles[part] for part in parts]
    if len(spans) > 2 and wanted[0] == "Section":
        wanted[0] = "Intro"
    if len(spans) > 2 and wanted[-1] == "Section":
        wanted[-1] = "Outro"
    totals, so_far, names = Counter(wanted), Counter(), []
    for title in wanted:
        so_far[title] += 1
        names.append(f"{title} {so_far[title]}" if totals[title] > 1 or title == "Section" else title)
    return names
