"""Decodes audio files and the stems of songs to samples, mono or stereo."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabhero_hf.charts.errors import ChartError
from tabhero_hf.charts.packed import File, PackedFile
from tabhero_hf.charts.song_folder import ARCHIVE_SUFFIXES, find_stems

if TYPE_CHECKING:
    from soundfile import SoundFile

DEFAULT_SAMPLING_RATE = 22050
MAX_HOURS = 6
BLOCK_FRAMES = 2**16

TAG_NAMES = {"title": "name", "artist": "artist", "album": "album", "genre": "genre", "date": "year"}
"""libsndfile's names of tags, and those of ``song.ini``."""

Source = str | os.PathLike | PackedFile


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the ``file`` and gives the ``reason``."""

    def __init__(self, file: Source, reason: str) -> None:
        self.file, self.reason = str(file), reason
        super().__init__(f"{self.file}: {reason}")


def load_audio(
    source: Source | Sequence[Source], sampling_rate: int = DEFAULT_SAMPLING_RATE, stereo: bool = False
) -> np.ndarray:
    """Decodes a song.

    Each file's channels are averaged, unless `stereo`, and resampled; files of different length and rate then sum from
    their start.

    Args:
        source: an audio file, a sequence of stems, or a song (a folder, a ``.sng`` or a ``.zip``), whose stems
            :func:`~tabhero_hf.charts.find_stems` finds. A file inside an archive is a
            :class:`~tabhero_hf.charts.PackedFile`.
        sampling_rate: of the result, in Hz.
        stereo: whether the left and the right channel are kept apart. Where a file has not two of them, both are the
            average of all.

    Returns:
        float32 samples, shape ``(samples,)``, or ``(2, samples)``. A sum of stems may exceed 1.

    Raises:
        AudioError: a file is missing, not audio, empty or over six hours long, or holds samples that are not finite;
            or a song has no stems or cannot be read.
    """
    total = np.zeros((0, 1 + stereo), dtype=np.float32)
    for file in audio_files(source):
        stem = np.concatenate(list(_resampled(file, sampling_rate, stereo)))
        if len(stem) > len(total):
            total, stem = stem, total
        total[: len(stem)] += stem
    return np.ascontiguousarray(total.T) if stereo else total[:, 0]


def audio_duration(source: Source | Sequence[Source]) -> float:
    """Seconds of a song, the longest of its stems, from the files' headers.

    Takes and raises what :func:`load_audio` does, but looks at no samples.
    """
    durations = []
    for path in audio_files(source):
        with open_audio(path) as file:
            durations.append(file.frames / file.samplerate)
    return max(durations)


def audio_files(source: Source | Sequence[Source]) -> list[File]:
    """The files that :func:`load_audio` sums.

    Raises:
        AudioError: a song has no stems or cannot be read.
    """
    if not isinstance(source, Source):
        files = [_file(file) for file in source]
        if not files:
            raise ValueError("no stems to load")
        return files
    file = _file(source)
    if not is_song(file):
        return [file]
    try:
        stems = find_stems(file)
    except ChartError as error:
        raise AudioError(error.file or file, error.reason) from error
    if not stems:
        raise AudioError(file, "a song without audio (song.ogg, guitar.ogg, …)")
    return stems


def audio_tags(source: Source) -> dict[str, str]:
    """What an audio file says of its song, by the names of ``song.ini``: ``name``, ``artist``, ``album`` and so on.

    Raises:
        AudioError: as for :func:`open_audio`.
    """
    with open_audio(source) as file:
        tags = file.copy_metadata()
    # Old tags that are no UTF-8 come with replacement characters: what they said is lost.
    told = {TAG_NAMES[tag]: text.strip() for tag, text in tags.items() if tag in TAG_NAMES and "\ufffd" not in text}
    # A date that begins or ends with its year, or is 20091231.
    if year := re.search(r"\b(?:19|20)\d\d(?=\b|\d{4}\b)", told.get("year", ""), re.ASCII):
        told["year"] = year[0]
    return {name: text for name, text in told.items() if text}


def is_song(source: Source) -> bool:
    """Whether a song is there, and not an audio file."""
    file = _file(source)
    return isinstance(file, Path) and (file.suffix.lower() in ARCHIVE_SUFFIXES or file.is_dir())


@contextmanager
def open_audio(source: Source) -> Iterator[SoundFile]:
    """An audio file, open for decoding, its header checked.

    Raises:
        AudioError: it is missing, not audio, empty or over six hours long.
    """
    import soundfile

    file = _file(source)
    if isinstance(file, Path) and not file.is_file():
        raise AudioError(file, "no such file")
    with ExitStack() as stack:
        try:
            # A name on the disk need not be text.
            stream = stack.enter_context(file.open()) if isinstance(file, PackedFile) else os.fsencode(file)
            sound = stack.enter_context(soundfile.SoundFile(stream))
        except ChartError as error:
            raise AudioError(file, error.reason) from error
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw samples, which have no header
            raise AudioError(file, f"not audio that can be decoded ({_cause(error)})") from error
        hours = sound.frames / sound.samplerate / 3600
        if not hours:
            raise AudioError(file, "holds no samples")
        if hours > MAX_HOURS:
            raise AudioError(file, f"{hours:.1f} hours long, over the limit of {MAX_HOURS}")
        yield sound


def audio_blocks(sound: SoundFile, source: Source) -> Iterator[np.ndarray]:
    """All samples of an open audio file, float32 in blocks of shape ``(frames, channels)``.

    Raises:
        AudioError: it cannot be decoded to its end, is over six hours long, holds no samples, or some that are not
            finite. Names ``source``.
    """
    import soundfile

    decoded = 0
    while True:
        try:
            block = sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioError(source, f"cannot be decoded to its end ({_cause(error)})") from error
        if not np.isfinite(block).all():
            raise AudioError(source, "holds samples that are not finite numbers")
        decoded += len(block)
        if decoded > MAX_HOURS * 3600 * sound.samplerate:
            raise AudioError(source, f"longer than its header says and than {MAX_HOURS} hours")
        if not len(block):
            break
        yield block
    if not decoded:
        raise AudioError(source, "holds no samples")


def _file(source: Source) -> File:
    return source if isinstance(source, PackedFile) else Path(source)


def _cause(error: Exception) -> str:
    return getattr(error, "error_string", str(error)).strip().rstrip(".")


def _resampled(file: File, sampling_rate: int, stereo: bool) -> Iterator[np.ndarray]:
    """float32 blocks of ``(samples, channels)`` at ``sampling_rate``, with one channel or two; memory stays small for
    any length and number of channels."""
    import soxr

    with open_audio(file) as sound:
        stream = soxr.ResampleStream(sound.samplerate, sampling_rate, num_channels=1 + stereo, dtype="float32")
        for block in audio_blocks(sound, file):
            if not stereo or block.shape[1] != 2:
                # Channel by channel: numpy's mean over so short an axis takes many times as long.
                mean = sum(block.T) / np.float32(block.shape[1])
                block = np.repeat(mean[:, None], 1 + stereo, axis=1)
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros((0, 1 + stereo), dtype=np.float32), last=True)
