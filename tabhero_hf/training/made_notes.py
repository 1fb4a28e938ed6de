"""Notes of made songs, for the heads that learn from them alone: how they are heard, and where that is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
from transformers import AutoProcessor

from ..audio.loading import load_audio
from ..charts.packed import replacing
from ..configuration_tabhero import TabHeroConfig
from ..data.made_library import for_each_song
from ..data.recordings import audio_inside
from ..data.soundfont import check_soundfont
from ..data.synthesis import SAMPLE_RATE
from ..modeling_tabhero import TabHeroForConditionalGeneration
from ..processing_tabhero import TabHeroProcessor

NOTES_VERSION = 1
"""One more whenever songs are composed, charted or played otherwise, or their notes are heard otherwise: what is kept
was made before."""

INSTRUMENTS = ("lead", "bass", "rhythm", "keys")
SCENES = ("alone", "in the band", "in front of a record")
"""How notes are heard, see :func:`scenes`."""

ALONE = (0.6, 0.1, 0.2, 0.1)
"""How often each of them is what is heard alone and in front of a record."""

BAND_DECIBELS = -6.0, 4.0
RECORD_DECIBELS = -6.0, 6.0
"""How loud the rest of the band is, against how it was mixed, and a record against the instrument before it."""


@dataclass
class HeadArguments:
    """What scripts that give a model such a head are told."""

    model: str = field(metadata={"help": "Folder or Hub name of the model."})
    output_dir: str = field(metadata={"help": "Folder to write it to with its head."})
    seconds: float | None = field(default=None, metadata={"help": "As of scripts/make_training_songs.py."})
    soundfont: str | None = field(default=None, metadata={"help": "As of scripts/make_training_songs.py."})
    records: str | None = field(default=None, metadata={"help": "Folder of music to hear instruments in front of."})

    def load(self, **settings) -> tuple[TabHeroForConditionalGeneration, TabHeroProcessor, list[Path]]:
        """The model, with `settings` in place of its configuration's, its processor, and the records.

        Raises:
            ValueError: there are no records in their folder, or a model for other instruments or another rate.
            OSError: the model cannot be read.
        """
        records = audio_inside(Path(self.records)) if self.records else []
        if self.records and not records:
            raise ValueError(f"no audio in {self.records}")
        config = TabHeroConfig.from_pretrained(self.model, **settings)
        model = TabHeroForConditionalGeneration.from_pretrained(self.model, config=config)
        if model.config.num_instruments < len(INSTRUMENTS) or model.config.sampling_rate != SAMPLE_RATE:
            raise ValueError(f"{self.model} does not know {', '.join(INSTRUMENTS)}, or hears no {SAMPLE_RATE} Hz")
        return model, AutoProcessor.from_pretrained(self.model), records


@dataclass(frozen=True)
class NoteTable:
    """Columns of notes: arrays of one length."""

    def where(self, chosen: np.ndarray) -> Self:
        """Those that are chosen, bool or indices."""
        return type(self)(*(column[chosen] for column in self.columns().values()))

    def columns(self) -> dict[str, np.ndarray]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


Notes = TypeVar("Notes", bound=NoteTable)


def scenes(
    rng: np.random.Generator, stems: dict[str, np.ndarray], records: Sequence[Path] = ()
) -> Iterator[tuple[int, np.ndarray, list[str]]]:
    """A made song as it is heard, and whose notes are listened to: all instruments in the band (1), one alone (0) and,
    if there are records, in front of one (2).

    Args:
        rng: draws the one, the record and how loud things are.
        stems: of the song, by name.
        records: audio files of other music.

    Raises:
        AudioError: a record cannot be read.
    """
    names = [name for name in INSTRUMENTS if name in stems]
    band = sum(stems.values())
    odds = np.array([ALONE[INSTRUMENTS.index(name)] for name in names])
    name = names[rng.choice(len(names), p=odds / odds.sum())]
    alone = stems[name]
    yield 1, (alone + _gain(rng, BAND_DECIBELS) * (band - alone)).astype(np.float32), names
    yield 0, alone.astype(np.float32), [name]
    if records:
        record = np.resize(load_audio(records[rng.integers(len(records))], SAMPLE_RATE), len(alone))
        level = np.sqrt((alone**2).mean() / max((record**2).mean(), 1e-12))
        yield 2, (alone + level * _gain(rng, RECORD_DECIBELS) * record).astype(np.float32), [name]


def _gain(rng: np.random.Generator, decibels: tuple[float, float]) -> np.float32:
    return np.float32(10 ** (rng.uniform(*decibels) / 20))


def sound_settings(seconds: float | None, soundfont: str | None, records: Sequence[Path]) -> dict:
    """What rendered songs are heard by, for :func:`kept_songs`.

    Raises:
        ValueError: a soundfont that cannot be played from.
    """
    if soundfont is not None:
        check_soundfont(soundfont)
    heard = [f"{path.name}, {path.stat().st_size} bytes" for path in records]
    return {"seconds": seconds, "soundfont": soundfont, "records": heard}


def kept_songs(
    folder: Path, seeds: Sequence[int], settings: dict, make: Callable[[int], Notes], kind: type[Notes]
) -> list[Notes]:
    """The notes of the songs of seeds, made in processes of their own and kept in a folder: those that are there are
    not made again.

    Args:
        settings: what they are made by, besides seeds.
        make: gives those of a seed.
        kind: of what it gives.

    Raises:
        ValueError: the songs in the folder were made by other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"version": NOTES_VERSION, **settings}
    kept = folder / "settings.json"
    if kept.exists() and json.loads(kept.read_text()) != settings:
        raise ValueError(
            f"the songs in {folder} have other lengths, sounds, records or weights, or are of another version: name "
            "another folder"
        )
    kept.write_text(json.dumps(settings))
    missing = [seed for seed in seeds if not _file(folder, seed).exists()]
    for_each_song([partial(_keep, folder, seed, make) for seed in missing], f"notes of made songs for {folder}")
    songs = []
    for seed in seeds:
        with np.load(_file(folder, seed), allow_pickle=False) as columns:
            songs.append(kind(**columns))
    return songs


def _file(folder: Path, seed: int) -> Path:
    return folder / f"{seed:09d}.npz"


def _keep(folder: Path, seed: int, make: Callable[[int], NoteTable]):
    torch.set_num_threads(1)
    notes = make(seed)
    with replacing(_file(folder, seed)) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **notes.columns())
