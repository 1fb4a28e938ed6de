"""Decodes audio files and the stems of songs to mono samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabhero_hf.charts.song_folder import find_stems

if TYPE_CHECKING:
    from soundfile import SoundFile

DEFAULT_SAMPLING_RATE = 22050
MAX_HOURS = 6
BLOCK_FRAMES = 2**16

PathLike = str | os.PathLike[str]


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the ``file`` and gives the ``reason``."""

    def __init__(self, file: PathLike, reason: str) -> None:
        self.file, self.reason = os.fspath(file), reason
        super().__init__(f"{self.file}: {reason}")


def load_audio(source: PathLike | Sequence[PathLike], sampling_rate: int = DEFAULT_SAMPLING_RATE) -> np.ndarray:
    """Decodes a song to mono.

    Each file's channels are averaged and resampled; files of different length and rate then sum from their start.

    Args:
        source: an audio file, a sequence of stems, or a song folder, whose stems
            :func:`~tabhero_hf.charts.find_stems` finds.
        sampling_rate: of the result, in Hz.

    Returns:
        float32 samples, shape ``(samples,)``. A sum of stems may exceed 1.

    Raises:
        AudioError: a file is missing, not audio, empty or over six hours long, or holds samples that are not finite;
            or a folder has no stems.
    """
    total = np.zeros(0, dtype=np.float32)
    for path in _paths(source):
        stem = np.concatenate(list(_resampled(path, sampling_rate)))
        if len(stem) > len(total):
            total, stem = stem, total
        total[: len(stem)] += stem
    return total


def audio_duration(source: PathLike | Sequence[PathLike]) -> float:
    """Seconds of a song, the longest of its stems, from the files' headers.

    Takes and raises what :func:`load_audio` does, but looks at no samples.
    """
    durations = []
    for path in _paths(source):
        with _opened(path) as file:
            durations.append(file.frames / file.samplerate)
    return max(durations)


def _paths(source: PathLike | Sequence[PathLike]) -> list[Path]:
    if not isinstance(source, (str, os.PathLike)):
        paths = [Path(path) for path in source]
        if not paths:
            raise ValueError("no stems to load")
        return paths
    path = Path(source)
    if not path.is_dir():
        return [path]
    stems = find_stems(path)
    if not stems:
        raise AudioError(path, "a folder without a song's audio (song.ogg, guitar.ogg, …)")
    return stems


def _opened(path: Path) -> SoundFile:
    """The file, open for decoding, its header checked."""
    import soundfile

    if not path.is_file():
        raise AudioError(path, "no such file")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw samples, which have no header
        raise AudioError(path, f"not audio that can be decoded ({_cause(error)})") from error
    hours = file.frames / file.samplerate / 3600
    if 0 < hours <= MAX_HOURS:
        return file
    file.close()
    raise AudioError(path, f"{hours:.1f} hours long, over the limit of {MAX_HOURS}" if hours else "holds no samples")


def _cause(error: Exception) -> str:
    return getattr(error, "error_string", str(error)).strip().rstrip(".")


def _resampled(path: Path, sampling_rate: int) -> Iterator[np.ndarray]:
    """Mono float32 blocks at ``sampling_rate``; memory stays small for any length and number of channels."""
    import soundfile
    import soxr

    with _opened(path) as file:
        stream = soxr.ResampleStream(file.samplerate, sampling_rate, num_channels=1, dtype="float32")
        limit = MAX_HOURS * 3600 * file.samplerate
        decoded = 0
        while True:
            try:
                block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(path, f"cannot be decoded to its end ({_cause(error)})") from error
            mono = block.mean(axis=1)
            if not np.isfinite(mono).all():
                raise AudioError(path, "holds samples that are not finite numbers")
            decoded += len(mono)
            if decoded > limit:
                raise AudioError(path, f"longer than its header says and than {MAX_HOURS} hours")
            last = len(mono) == 0
            if last and decoded == 0:
                raise AudioError(path, "holds no samples")
            yield stream.resample_chunk(mono, last=last)
            if last:
                return
