"""What a pitch head learns from: the notes of made songs, whose pitches are known, heard alone and in a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..audio.note_spectra import hear_notes
from ..data.composition import compose_song
from ..data.made_songs import render_score
from ..data.synthesis import SAMPLE_RATE
from ..modeling_tabhero import TabHeroPitchHead
from .made_notes import INSTRUMENTS, NoteTable, kept_songs, scenes, sound_settings

EQUALIZED, BANDS = 0.4, 8
"""Each note is heard through an equalizer: standard deviation of its gains, in nepers, at so many frequencies, between
which they are interpolated."""

BESIDE = 0.5
"""How often any other note, which is as loud as it was or softer, sounds beside the one to name."""

DETUNED = 0.2
"""Standard deviation of the semitones by which a note, and what sounds beside it, is out of tune."""

LOUDER = 0.7, 1.3
"""By how much spectra, which are logarithms, are multiplied."""


@dataclass(frozen=True)
class PitchedNotes(NoteTable):
    """Notes with what is heard of them.

    Args:
        spectra: as :class:`~tabhero_hf.modeling_tabhero.TabHeroPitchHead` takes them, half precision of
            ``(notes, 2, bins)``.
        pitches: of each note, as MIDI has them; of a chord its root's.
        instruments: of each note, 0 lead, 1 bass, 2 rhythm, 3 keys.
        sounds: of each note, 0 alone, 1 in its band, 2 in front of a record.
    """

    spectra: np.ndarray
    pitches: np.ndarray
    instruments: np.ndarray
    sounds: np.ndarray


def pitched_notes(
    seed: int, seconds: float | None = None, soundfont: str | None = None, records: Sequence[Path] = ()
) -> PitchedNotes:
    """The notes of the made song of a seed: of all instruments in the band, and of one alone and, if there are
    records, in front of one.

    Args:
        seconds, soundfont: as of :func:`~tabhero_hf.data.made_songs.render_song`.
        records: audio files of other music.

    Raises:
        AudioError: a record cannot be read.
    """
    rng = np.random.default_rng([6, seed])
    score = compose_song(seed, seconds)
    song = render_score(score, soundfont)
    onsets, pitches = {}, {}
    for name in INSTRUMENTS:
        if name in song.stems:
            notes = [note for placed in score.parts[name] for note in placed.notes]
            onsets[name] = score.tempo_map.seconds([note.time for note in notes])
            pitches[name] = np.array([note.root for note in notes])
    parts = []
    for sound, waveform, names in scenes(rng, song.stems, records):
        heard = hear_notes(waveform, SAMPLE_RATE, [onsets[name] for name in names])
        for name, spectra in zip(names, heard, strict=True):
            count = len(onsets[name])
            parts.append(
                PitchedNotes(
                    spectra.in_octaves(*TabHeroPitchHead.BINS).astype(np.float16),
                    pitches[name],
                    np.full(count, INSTRUMENTS.index(name)),
                    np.full(count, sound),
                )
            )
    return PitchedNotes.joined(parts)


def hear_songs(
    folder: Path,
    seeds: Sequence[int],
    seconds: float | None = None,
    soundfont: str | None = None,
    records: Sequence[Path] = (),
) -> list[PitchedNotes]:
    """The notes of the made songs of seeds, see :func:`pitched_notes`, kept in a folder: those that are there are not
    made again.

    Raises:
        ValueError: a soundfont that cannot be played from, or songs in the folder that were heard in another way.
        AudioError: a record cannot be read.
    """
    settings = sound_settings(seconds, soundfont, records)
    make = partial(pitched_notes, seconds=seconds, soundfont=soundfont, records=records)
    return kept_songs(folder, seeds, settings, make, PitchedNotes)


def augment(spectra: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Spectra of notes, ``(notes, 2, bins)``, through random equalizers and out of tune, some with what else was heard
    elsewhere."""
    count, _, bins = spectra.shape
    gains = F.interpolate(EQUALIZED * torch.randn(count, 1, BANDS), size=bins, mode="linear", align_corners=True)
    beside = torch.rand(count, 1, 1) * (torch.rand(count, 1, 1) < BESIDE)
    magnitudes = spectra.expm1() * gains.exp() + beside * others.expm1()
    moved = move(magnitudes.log1p(), TabHeroPitchHead.BINS[2] / 12 * DETUNED * torch.randn(count))
    return moved * torch.empty(count, 1, 1).uniform_(*LOUDER)


def move(spectra: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Spectra, ``(notes, 2, bins)``, each so many bins lower, whole ones or not, ``(notes,)``."""
    last = spectra.shape[-1] - 1
    at = (torch.arange(last + 1) + bins[:, None]).clamp(0, last)[:, None].expand_as(spectra)
    low = at.long()
    return torch.lerp(spectra.gather(2, low), spectra.gather(2, (low + 1).clamp(max=last)), at - low)


def train_pitch_head(
    head: TabHeroPitchHead, notes: PitchedNotes, steps: int, batch_size: int = 256, learning_rate: float = 3e-3
) -> list[float]:
    """Trains a head with AdamW and one cycle of the learning rate; returns the loss of each step. Notes that are lower
    or higher than it can name are left out."""
    notes = notes.where((notes.pitches >= head.LOWEST_PITCH) & (notes.pitches < head.LOWEST_PITCH + head.NUM_PITCHES))
    spectra, instruments = torch.from_numpy(notes.spectra), torch.from_numpy(notes.instruments)
    targets = torch.from_numpy(notes.pitches) - head.LOWEST_PITCH
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    losses = []
    head.train()
    for _ in tqdm(range(steps), desc="training", unit="step"):
        drawn, others = torch.randint(len(targets), (2, batch_size))
        heard = augment(spectra[drawn].float(), spectra[others].float())
        loss = F.cross_entropy(head(heard, instruments[drawn]), targets[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    head.eval()
    return losses
