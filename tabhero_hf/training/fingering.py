"""What a fingering head learns from: charts of made songs, of which some are heard, and the others as if they were.

A song is composed and charted in a fraction of a second, but rendered and heard in many. So a few songs are heard, and
notes of many more are told to the head as one of the same pitch and chord shape was heard there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import AutoProcessor

from ..charts import Difficulty, Instrument
from ..configuration_tabhero import TabHeroConfig
from ..data.composition import compose_song
from ..data.made_charts import chart_score
from ..data.made_songs import render_score
from ..data.score import RESOLUTION, Score
from ..hearing import hear_charts, places_of_bins
from ..modeling_tabhero import CHORD_SHAPES, TabHeroFingeringHead, TabHeroForConditionalGeneration, TabHeroPitchHead
from ..tokenization_tabhero import LANE_SETS, TIME_STEP
from .made_notes import INSTRUMENTS, NoteTable, kept_songs, scenes, sound_settings

SOUNDS = 0.45, 0.4, 0.15
"""How often a chart is heard alone, in the band and in front of a record."""

LIKED = 1.0, 0.5
"""How much more often lead's charts come, and those of Hard and Expert; others come as often as 0.5."""

FEWEST_NOTES = 24
"""Of a chart to learn from."""

NEAR, NEAR_IN_SONG = (2, 8), (0, 1)
"""Semitones between a note's pitch and that of one heard for it, and how many such there are, else these grow: in all
songs, and in one, where a pitch is often misheard as the same other one."""

HEARD, OF_ONE_SONG = 0.2, 0.75
"""How often a passage is of a heard song itself, and how often all notes of another are drawn from one heard song."""

AGAIN, ALWAYS = 0.7, 0.5
"""How often a pitch sounds as it did before, in so many of the charts."""

DISTURBED, MOST_MISSED, MOST_ADDED = 0.7, 0.15, 0.1
"""How often notes are missed and others added between them, and which share at most."""

OTHER_BEAT = 0.1
"""How often the beat is taken for half, and for twice, of what it is."""

MOST_TRANSPOSED = 6
"""Semitones by which a chart is moved up or down."""

SPREAD = 192
"""Notes of a chart that are seen at once."""


@dataclass(frozen=True)
class WrittenCharts(NoteTable):
    """The notes of a song's charts, chart by chart.

    Args:
        charts: the number of each note's chart in its song.
        instruments: 0 lead, 1 bass, 2 rhythm, 3 keys.
        difficulties: 0 easy to 3 expert.
        seconds, beats: when they are, ascending in each chart.
        pitches: as MIDI has them; of a chord its root's.
        frets: values of their ``FRET`` tokens.
    """

    charts: np.ndarray
    instruments: np.ndarray
    difficulties: np.ndarray
    seconds: np.ndarray
    beats: np.ndarray
    pitches: np.ndarray
    frets: np.ndarray

    def by_chart(self) -> list[WrittenCharts]:
        """Those of each chart."""
        ends = np.flatnonzero(np.diff(self.charts)) + 1
        return [self.where(chart) for chart in np.split(np.arange(len(self.charts)), ends) if len(chart)]


@dataclass(frozen=True)
class HeardCharts(WrittenCharts):
    """Notes as a model hears them.

    Args:
        sounds: 0 alone, 1 in the band, 2 in front of a record.
        pitch_odds: how likely each has which pitch, half precision of ``(notes, pitches)``.
        fret_odds: how likely each is on which frets by the fret head, half precision of ``(notes, num_fret_tokens)``.
    """

    sounds: np.ndarray
    pitch_odds: np.ndarray
    fret_odds: np.ndarray


def written_notes(seed: int, seconds: float | None = None) -> WrittenCharts:
    """The notes of all charts of the made song of a seed."""
    return _charted(compose_song(seed, seconds))


def _charted(score: Score) -> WrittenCharts:
    fret = {lanes: number for number, lanes in enumerate(LANE_SETS)}
    tracks = {key: track.notes for key, track in chart_score(score).tracks.items() if track.notes}
    parts = []
    for number, ((instrument, difficulty), notes) in enumerate(sorted(tracks.items())):
        part = score.parts[instrument.name.lower()]
        pitch_at = {int(note.time): note.root for placed in part for note in placed.notes}
        ticks = np.array([note.tick for note in notes])
        numbers = (np.full(len(ticks), value, dtype=np.int16) for value in (number, instrument, difficulty))
        times = score.tempo_map.seconds(ticks).astype(np.float32), (ticks / RESOLUTION).astype(np.float32)
        pitches = np.array([pitch_at[tick] for tick in ticks.tolist()], dtype=np.int16)
        frets = np.array([fret[note.lanes] for note in notes], dtype=np.int16)
        parts.append(WrittenCharts(*numbers, *times, pitches, frets))
    return WrittenCharts.joined(parts)


def heard_notes(
    seed: int, model: str, seconds: float | None = None, soundfont: str | None = None, records: Sequence[Path] = ()
) -> HeardCharts:
    """The notes of all charts of the made song of a seed, as the model at a path or on the Hub hears them: of all
    instruments in the band, of one alone and, if there are records, in front of one."""
    listener, extractor = _listener(model)
    rng = np.random.default_rng([7, seed])
    score = compose_song(seed, seconds)
    charts, parts = _charted(score).by_chart(), []
    for sound, waveform, names in scenes(rng, render_score(score, soundfont).stems, records):
        asked = [chart for chart in charts if INSTRUMENTS[chart.instruments[0]] in names]
        inputs = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        mask, instruments = inputs["attention_mask"], [int(chart.instruments[0]) for chart in asked]
        difficulties = torch.tensor([int(chart.difficulties[0]) for chart in asked])
        onsets, frets = listener.listen(inputs["input_features"], mask, difficulties, torch.tensor(instruments))
        bins = round(len(waveform) / extractor.sampling_rate / TIME_STEP)
        places = places_of_bins(inputs["window_start"].tolist(), onsets.shape[2], bins)
        times = [chart.seconds.astype(np.float64) for chart in asked]
        for chart, heard in zip(asked, hear_charts(listener, waveform, mask, frets, places, instruments, times)):
            odds = heard.pitches.astype(np.float16), heard.frets.astype(np.float16)
            parts.append(HeardCharts(*chart.columns().values(), np.full(len(chart.charts), sound), *odds))
    return HeardCharts.joined(parts)


@lru_cache(maxsize=1)
def _listener(model: str):
    config = TabHeroConfig.from_pretrained(model, fingering_head=False)
    listener = TabHeroForConditionalGeneration.from_pretrained(model, config=config)
    return listener, AutoProcessor.from_pretrained(model).feature_extractor


def hear_charted_songs(
    folder: Path,
    seeds: Sequence[int],
    path: str,
    model: TabHeroForConditionalGeneration,
    seconds: float | None = None,
    soundfont: str | None = None,
    records: Sequence[Path] = (),
) -> list[HeardCharts]:
    """The notes of the made songs of seeds, see :func:`heard_notes`, kept in a folder.

    Raises:
        ValueError: a soundfont that cannot be played from, or songs in the folder that were heard in another way or by
            a model with other weights.
        AudioError: a record cannot be read.
    """
    settings = sound_settings(seconds, soundfont, records)
    digest = hashlib.sha256()
    for part in (model.model.encoder, model.pitch_head):
        for name, weight in part.state_dict().items():
            if not name.startswith("fret_encoder."):  # by which only the decoder hears
                digest.update(weight.detach().float().cpu().numpy().tobytes())
    make = partial(heard_notes, model=path, seconds=seconds, soundfont=soundfont, records=records)
    return kept_songs(folder, seeds, {**settings, "weights": digest.hexdigest()}, make, HeardCharts)


def write_songs(folder: Path, seeds: Sequence[int], seconds: float | None = None) -> list[WrittenCharts]:
    """The notes of the made songs of seeds, see :func:`written_notes`, kept in a folder.

    Raises:
        ValueError: songs in the folder that have other lengths.
    """
    return kept_songs(folder, seeds, {"seconds": seconds}, partial(written_notes, seconds=seconds), WrittenCharts)


class Sounds:
    """
    How notes of each pitch and chord shape were heard, to be drawn from.

    Args:
        songs: the heard notes of each.
    """

    def __init__(self, songs: Sequence[HeardCharts]):
        self.charts = _long_charts(songs)
        lowest, heard = TabHeroPitchHead.LOWEST_PITCH, HeardCharts.joined(songs)
        song_of = np.repeat(np.arange(len(songs)), [len(song.charts) for song in songs])
        inside = (heard.pitches >= lowest) & (heard.pitches < lowest + TabHeroPitchHead.NUM_PITCHES)
        self.heard = heard = heard.where(inside)
        shapes = np.array(CHORD_SHAPES)[heard.frets]
        keys = np.stack([song_of[inside], heard.instruments, heard.sounds, heard.difficulties, shapes])
        self.of_song, self.of_all = (self._ascending(keys[first:]) for first in (0, 1))
        self.songs_with = {
            (instrument, sound): sorted({key[0] for key in self.of_song if key[1:3] == (instrument, sound)})
            for instrument, sound in {key[1:3] for key in self.of_song}
        }

    def _ascending(self, keys: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
        """The notes with each key, a column of `keys`, ascending in pitch."""
        order = np.lexsort([self.heard.pitches, *keys[::-1]])
        starts = np.flatnonzero(np.diff(keys[:, order], axis=1).any(axis=0)) + 1
        return {tuple(keys[:, part[0]].tolist()): part for part in np.split(order, starts)}

    def of(self, rng: np.random.Generator, chart: WrittenCharts, sound: int) -> tuple[np.ndarray, np.ndarray]:
        """What is heard of a chart's notes: pitches ``(notes, pitches)`` and frets ``(notes, num_fret_tokens)``."""
        instrument, difficulty = int(chart.instruments[0]), int(chart.difficulties[0])
        # A listener errs alike in all of a song, so that errors of notes that go together are drawn together.
        songs = self.songs_with.get((instrument, sound), ())
        song = songs[rng.integers(len(songs))] if songs and rng.random() < OF_ONE_SONG else None
        again, before = rng.random() < ALWAYS, {}
        drawn = np.zeros(len(chart.pitches), dtype=np.int64)
        for note, key in enumerate(zip(chart.pitches.tolist(), np.array(CHORD_SHAPES)[chart.frets].tolist())):
            if not (again and key in before and rng.random() < AGAIN):
                before[key] = self._draw(rng, song, (instrument, sound, difficulty), *key)
            drawn[note] = before[key]
        # One of another pitch is moved to this one.
        pitches = self.heard.pitch_odds[drawn].astype(np.float32)
        moved = np.arange(pitches.shape[1]) - (chart.pitches - self.heard.pitches[drawn])[:, None]
        inside = (moved >= 0) & (moved < pitches.shape[1])
        pitches = np.take_along_axis(pitches, moved.clip(0, pitches.shape[1] - 1), axis=1) * inside
        return pitches, self.heard.fret_odds[drawn].astype(np.float32)

    def _draw(
        self, rng: np.random.Generator, song: int | None, chart: tuple[int, int, int], pitch: int, shape: int
    ) -> int:
        """A heard note for one of a chart of some instrument, sound and difficulty."""
        notes, near, enough = self.of_song.get((song, *chart, shape)), *NEAR_IN_SONG
        if notes is None:
            near, enough = NEAR
            instrument, _, difficulty = chart
            keys = (*chart, shape), (instrument, 1, difficulty, shape), (0, 1, difficulty, shape)
            notes = next((self.of_all[key] for key in keys if key in self.of_all), None)
        if notes is None:  # of a shape that was not heard there
            notes = max(self.of_all.values(), key=len)
        pitches = self.heard.pitches[notes]
        while True:
            first, end = np.searchsorted(pitches, (pitch - near, pitch + near + 1))
            if end - first >= min(enough, len(notes)):
                return notes[rng.integers(first, end)]
            near += 1


def _long_charts(songs: Sequence[WrittenCharts]) -> list[list[WrittenCharts]]:
    """Of each song the charts with enough notes to learn from; songs without one are left out."""
    charts = ([chart for chart in song.by_chart() if len(chart.charts) >= FEWEST_NOTES] for song in songs)
    return [song for song in charts if song]


def draw_example(
    rng: np.random.Generator, songs: Sequence[Sequence[WrittenCharts]], sounds: Sounds
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """A passage of a chart as it was or might be heard: what the head is told of it, difficulty and instrument, and
    its frets, -100 where there is no note.

    Args:
        songs: of each the charts.
        sounds: of notes.
    """
    was_heard = len(sounds.charts) > 0 and rng.random() < HEARD
    songs = sounds.charts if was_heard else songs
    charts = songs[rng.integers(len(songs))]
    odds = np.array(
        [
            0.5
            + LIKED[0] * (chart.instruments[0] == Instrument.LEAD)
            + LIKED[1] * (chart.difficulties[0] >= Difficulty.HARD)
            for chart in charts
        ]
    )
    chart = charts[rng.choice(len(charts), p=odds / odds.sum())]
    start = rng.integers(0, max(len(chart.charts) - SPREAD // 2, 1))
    chart = chart.where(np.arange(start, min(start + SPREAD, len(chart.charts))))
    if was_heard:
        pitches, shapes = (heard.astype(np.float32) for heard in (chart.pitch_odds, chart.fret_odds))
    else:
        pitches, shapes = sounds.of(rng, chart, rng.choice(len(SOUNDS), p=SOUNDS))
    seconds, beats, frets = chart.seconds, chart.beats, chart.frets.astype(np.int64)
    if rng.random() < DISTURBED:
        kept = np.flatnonzero(rng.random(len(frets)) >= rng.uniform(0, MOST_MISSED))
        added = np.flatnonzero(rng.random(len(frets) - 1) < rng.uniform(0, MOST_ADDED))
        notes = np.r_[kept, added]
        frets = np.r_[frets[kept], np.full(len(added), -100)]
        seconds, beats = (np.r_[time[kept], (time[added] + time[added + 1]) / 2] for time in (seconds, beats))
        order = np.argsort(seconds, kind="stable")[:SPREAD]
        frets, seconds, beats, notes = frets[order], seconds[order], beats[order], notes[order]
        pitches, shapes = pitches[notes], shapes[notes]
    beats = beats * rng.choice([0.5, 1, 2], p=[OTHER_BEAT, 1 - 2 * OTHER_BEAT, OTHER_BEAT])
    moved = int(rng.integers(-MOST_TRANSPOSED, MOST_TRANSPOSED + 1))
    pitches = np.roll(np.pad(pitches, ((0, 0), (0, MOST_TRANSPOSED))), moved, axis=1)[:, : pitches.shape[1]]
    told = [torch.from_numpy(value.astype(np.float32)) for value in (pitches, shapes, seconds, beats)]
    chart_of = torch.tensor([chart.difficulties[0], chart.instruments[0]], dtype=torch.long)
    return told, chart_of, torch.from_numpy(frets)


def train_fingering_head(
    head: TabHeroFingeringHead,
    songs: Sequence[WrittenCharts],
    heard: Sequence[HeardCharts],
    steps: int,
    batch_size: int = 16,
    learning_rate: float = 1.5e-3,
    seed: int = 0,
) -> list[float]:
    """Trains a head with AdamW and one cycle of the learning rate; returns the loss of each step.

    Args:
        songs: the notes of each, of which those of charts with `FEWEST_NOTES` are used.
        heard: those of other songs, for the sound of them.
    """
    charts = _long_charts(songs)
    if not charts:
        raise ValueError(f"no song has a chart of {FEWEST_NOTES} notes")
    rng, sounds = np.random.default_rng(seed), Sounds(heard)
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    losses = []
    head.train()
    for _ in tqdm(range(steps), desc="training", unit="step"):
        told, chart_of, frets = zip(*(draw_example(rng, charts, sounds) for _ in range(batch_size)))
        told = [pad_sequence(list(values), batch_first=True) for values in zip(*told)]
        frets = pad_sequence(list(frets), batch_first=True, padding_value=-101)
        difficulties, instruments = torch.stack(chart_of, dim=1)
        logits = head(*told, difficulties, instruments, attention_mask=frets > -101)
        loss = F.cross_entropy(logits.flatten(0, 1), frets.clamp(min=-100).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    head.eval()
    return losses
