"""Recordings without charts, for made songs to be heard in front of in training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..audio.loading import audio_duration, load_audio
from ..charts.song_folder import AUDIO_SUFFIXES
from ..feature_extraction_tabhero import TabHeroFeatureExtractor

SHORTEST = 30.0
"""Seconds of a recording, at least: shorter ones are sounds, not music."""


class Recordings:
    """
    The log-mels of whole recordings, kept in memory: some 80 MB an hour.

    Args:
        folders: folders of audio files, of which those inside them count too; or audio files.
        extractor: of the features that they are mixed with.

    Raises:
        AudioError: a file cannot be used.
        ValueError: there are no recordings of 30 seconds or more.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]], extractor: TabHeroFeatureExtractor):
        files = [file for path in map(Path, folders) for file in (audio_inside(path) if path.is_dir() else [path])]
        files = [file for file in files if audio_duration(file) >= SHORTEST]
        if not files:
            raise ValueError(f"no recordings of {SHORTEST:g} s or more in {', '.join(map(str, folders))}")

        def heard(file: Path) -> np.ndarray:
            power = extractor.mel(load_audio(file, extractor.sampling_rate))
            return np.log(np.maximum(power, power.max() * extractor.log_floor)).astype(np.float16)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self._log_mels = list(pool.map(heard, files))

    def __len__(self) -> int:
        return len(self._log_mels)

    def draw(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        """So many frames of one of them, from anywhere in it: natural logarithms of mel power, `(frames, bands)`."""
        log_mel = self._log_mels[rng.integers(len(self))]
        start = rng.integers(0, max(len(log_mel) - frames, 0) + 1)
        # A longer window than the recording hears it again.
        return np.resize(log_mel[start : start + frames], (frames, log_mel.shape[1])).astype(np.float32)


def audio_inside(folder: Path) -> list[Path]:
    """The audio files of a folder and of those inside it, by name; hidden ones are none."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
