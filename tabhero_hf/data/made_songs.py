"""Made songs: whole songs rendered to stems, with their charts.

The score comes from `composition`, the sound of each instrument from `synthetic` and `synthesis` or from a
`soundfont`, the chart from `made_charts`. A stem sounds the same whether it is rendered alone, with the others or into
a mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..charts import Chart, Difficulty, Instrument, SecondsNote, TempoMap
from . import soundfont as sf
from . import synthesis as syn
from .composition import STYLES, compose_song
from .made_charts import chart_score
from .score import PARTS, Placed, Score
from .synthetic import Note, decibels, draw_kit, render_bass, render_guitar, render_keys, strike

STEMS = (*PARTS, "drums")
GUITARS = {"lead": 0.85, "rhythm": 0.85, "second": 0.0}  # odds of being double-tracked
TAIL = 1.5  # s of sound after the last bar
LATEST = 0.015  # s that a human plays before or after the grid, at most

LEVELS = {"lead": 0.0, "bass": 0.0, "rhythm": -2.0, "keys": -5.0, "second": -5.0, "vocals": -1.0, "drums": 3.0}
"""Of each stem in the mix, in dB; songs differ by `LEVEL_SPREAD`."""

LEVEL_SPREAD = 3.0

FEATURED_LEVELS = -10.0, -2.0
"""Of what the song is about over all the rest, in dB; guitars of eight real songs have -9.9 to -1.6."""

PROGRAMS = {"bass": sf.BASSES, "keys": sf.KEYS, "vocals": sf.VOICES}

SAMPLED = 0.6
"""Odds that a stem is played from the soundfont, where there is one."""


@dataclass(frozen=True, slots=True)
class MadeSong:
    """A song with its chart.

    Args:
        stems: those of `STEMS` that sound, by name, each float32 mono of (samples,) at `synthesis.SAMPLE_RATE`; their
            sum is the song.
        chart: lead, bass, rhythm and, in some songs, keys at four difficulties; in the time of the audio.
        featured: the instrument that the song is about.
    """

    stems: dict[str, np.ndarray]
    chart: Chart
    featured: Instrument


@dataclass(frozen=True, slots=True)
class TrainingSong:
    """A song in two stems, to be mixed anew every time.

    Args:
        part: what the featured instrument plays, float32 mono of (samples,) at `synthesis.SAMPLE_RATE`.
        backing: everything else, of the same shape.
        notes: of each charted (difficulty, instrument), in seconds of the audio, as
            :data:`~tabhero_hf.charts.SecondsNote`.
        featured: the instrument that `part` is.
    """

    part: np.ndarray
    backing: np.ndarray
    notes: dict[tuple[Difficulty, Instrument], list[SecondsNote]]
    featured: Instrument


def render_song(seed: int, seconds: float | None = None, soundfont: str | None = None) -> MadeSong:
    """Compose, render and chart a whole song; see :func:`~tabhero_hf.data.composition.compose_song`.

    Raises:
        ValueError: a length that no song has, or as :func:`render_score`.
    """
    return render_score(compose_song(seed, seconds), soundfont)


def render_score(score: Score, soundfont: str | None = None) -> MadeSong:
    """Render and chart a song.

    Args:
        soundfont: file of a General MIDI soundfont that some of the stems are played from; the chart is the same with
            it and without.

    Raises:
        ValueError: a soundfont that cannot be played from.
    """
    return MadeSong(_mixed_stems(score, soundfont), chart_score(score), score.featured)


def render_training_song(seed: int, seconds: float | None = None, soundfont: str | None = None) -> TrainingSong:
    """The same song as :func:`render_song`, as the featured instrument's part and all the rest."""
    song = render_song(seed, seconds, soundfont)
    stems = dict(song.stems)
    part = stems.pop(song.featured.name.lower())
    notes = {key[::-1]: song.chart.to_seconds(*key) for key in song.chart.tracks}
    return TrainingSong(part, sum(stems.values()), notes, song.featured)


def _samples(score: Score) -> int:
    return int((score.tempo_map.seconds(score.end) + TAIL) * syn.SAMPLE_RATE)


# Mix


def _mixed_stems(score: Score, soundfont: str | None) -> dict[str, np.ndarray]:
    """The stems that sound, each at its level in the song and in the song's room."""
    if soundfont is not None:
        sf.check_soundfont(soundfont)
    desk = np.random.default_rng([3, score.seed])
    room, wet = int(desk.integers(syn.ROOMS)), desk.uniform(0.0, 0.3)
    gains = {name: decibels(desk, level, LEVEL_SPREAD) for name, level in LEVELS.items()}
    stems = {}
    for i, name in enumerate(STEMS):
        rng = np.random.default_rng([4, score.seed, i])
        sampled = np.random.default_rng([5, score.seed, i]).random() < SAMPLED
        sound = _render_stem(rng, score, name, soundfont if sampled else None)
        if sound is None:
            continue
        sound = sound * np.float32(0.1 * gains[name] / (syn.active_rms(sound) + 1e-9))
        sound += np.float32(wet * (0.3 if name == "bass" else 1.0)) * syn.reverberate(sound, room)
        stems[name] = sound.astype(np.float32)
    featured = score.featured.name.lower()
    rest = [sound for name, sound in stems.items() if name != featured]
    if rest and featured in stems:
        level = syn.active_rms(sum(rest)) * 10.0 ** (desk.uniform(*FEATURED_LEVELS) / 20.0)
        stems[featured] *= np.float32(level / (syn.active_rms(stems[featured]) + 1e-9))
    return stems


def _render_stem(rng: np.random.Generator, score: Score, name: str, soundfont: str | None) -> np.ndarray | None:
    """One stem, at any level, from the soundfont if given; none where it has nothing to play."""
    samples = _samples(score)
    if name == "drums":
        return _render_drums(rng, score, samples, soundfont) if score.drums else None
    part = score.parts[name]
    if not any(placed.riff.phrases[placed.phrase] for placed in part):
        return None
    if name in GUITARS:
        return _render_guitar(rng, score, name, samples, soundfont)
    notes = perform(rng, part, score.tempo_map)
    if soundfont is None:
        render = {"bass": render_bass, "keys": render_keys, "vocals": _render_vocals}[name]
        return render(rng, notes, samples)
    sound = sf.play(soundfont, rng, notes, PROGRAMS[name], samples)
    return (
        render_bass(rng, notes, samples, sound) if name == "bass" else syn.equalise(sound, syn.random_curve(rng, 2.5))
    )


def _render_guitar(
    rng: np.random.Generator, score: Score, name: str, samples: int, soundfont: str | None
) -> np.ndarray:
    """A guitar, distorted and mostly double-tracked, but for the sections that are played clean."""
    drive = float(np.exp(rng.uniform(*np.log(STYLES[score.style].drive))))
    clean_sections = [range(section.tick, section.end) for section in score.sections if section.clean]
    parts: dict[bool, list[Placed]] = {False: [], True: []}
    for placed in score.parts[name]:
        parts[any(placed.tick in section for section in clean_sections)].append(placed)
    sound = np.zeros(samples, np.float32)
    for clean, gain, double in ((False, drive, GUITARS[name]), (True, rng.uniform(1.0, 3.0), 0.4)):
        # Each take is another performance, as on records.
        for level in (1.0, rng.uniform(0.4, 1.0)) if rng.random() < double else (1.0,):
            if notes := perform(rng, parts[clean], score.tempo_map):
                # Only what lies between its first and last note: the amplifier is what takes the time.
                start = max(0.0, notes[0].time - 0.1)
                length = min(samples, int((notes[-1].time + notes[-1].length + 1.0 - start) * syn.SAMPLE_RATE))
                moved = [replace(note, time=note.time - start) for note in notes]
                strings = sf.play_guitar(soundfont, rng, moved, length) if soundfont else None
                syn.add_at(sound, render_guitar(rng, moved, length, gain, 0.0, strings), start, level)
    return sound


def _render_drums(rng: np.random.Generator, score: Score, samples: int, soundfont: str | None) -> np.ndarray:
    times = score.tempo_map.seconds([tick for tick, _, _ in score.drums]) + human(rng, len(score.drums))
    hits = [(time, name, velocity) for time, (_, name, velocity) in zip(times.tolist(), score.drums)]
    kit = sf.draw_kit(soundfont, rng) if soundfont else draw_kit(rng)
    return strike(rng, kit, hits, samples)


def _render_vocals(rng: np.random.Generator, notes: list[Note], samples: int) -> np.ndarray:
    """A voice that slides into its notes, sung or shouted."""
    timbre = syn.singer(rng)
    sound = np.zeros(samples, np.float32)
    for note in notes:
        bend = syn.vibrato(rng, note.length, rng.uniform(0.1, 0.5))
        bend += syn.bend_up(note.length, rng.uniform(0.0, 2.0), 0.08)
        tone = syn.tone(timbre, syn.midi_to_hz(note.root), note.length, rng, bend)
        syn.add_at(sound, syn.fade_out(tone, 0.05), note.time, note.velocity)
    if rng.random() < 0.4:
        rough = 1.0 + 0.8 * rng.normal(0.0, 1.0, samples).astype(np.float32)
        sound = np.tanh(4.0 * sound / (syn.active_rms(sound) + 1e-9)) * rough
    return sound


# Performance


def perform(rng: np.random.Generator, part: Sequence[Placed], tempo_map: TempoMap) -> list[Note]:
    """From ticks to seconds with human timing; a note stops where the next one starts."""
    notes = [note for placed in part for note in placed.notes]
    if not notes:
        return []
    starts = np.array([note.time for note in notes])
    grid = tempo_map.seconds(starts)
    times = grid + human(rng, len(notes))
    ends = np.minimum(tempo_map.seconds(starts + [note.length for note in notes]), np.append(times[1:], np.inf))
    return [
        replace(note, time=time, length=max(end - time, 0.02), grid_time=planned)
        for note, time, end, planned in zip(notes, times.tolist(), ends.tolist(), grid.tolist())
    ]


def human(rng: np.random.Generator, count: int) -> np.ndarray:
    """Seconds by which notes are early or late."""
    return np.clip(rng.normal(0.0, rng.uniform(0.002, 0.008), count), -LATEST, LATEST)
