"""Writes audio in a format that Clone Hero plays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tabhero_hf.charts.packed import replacing

from .loading import BLOCK_FRAMES, Source, audio_blocks, open_audio

FORMATS = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}
RATES = {".ogg": range(8000, 48001), ".opus": (8000, 12000, 16000, 24000, 48000)}
"""The sampling rates in Hz that are kept."""
OTHER_RATE = 48000
MAX_CHANNELS = 2
COMPRESSION_LEVEL = 0.4
"""Of 0 to 1: about 190 kbit/s of stereo Vorbis."""


def write_ogg(
    target: str | os.PathLike[str] | BinaryIO,
    samples: np.ndarray,
    sampling_rate: int,
    compression_level: float = COMPRESSION_LEVEL,
) -> None:
    """Writes samples, shape ``(samples,)`` or ``(samples, channels)``, as Ogg Vorbis."""
    import soundfile

    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(
        target, "w", sampling_rate, channels, "VORBIS", format="OGG", compression_level=compression_level
    ) as out:
        # libvorbis runs out of stack when it is given a whole song at once.
        for start in range(0, len(samples), BLOCK_FRAMES):
            out.write(samples[start : start + BLOCK_FRAMES])


def to_ogg(source: Source, target: str | os.PathLike[str]) -> Path:
    """Writes an audio file as Ogg Vorbis, or as Opus, or leaves what was there as it was.

    Mono and stereo stay so, more channels are averaged to mono. Rates below 8 kHz or above 48 kHz, and those that Opus
    does not know, become 48 kHz. Memory stays small for any length.

    Args:
        source: an audio file.
        target: a path whose suffix, ``.ogg`` or ``.opus``, says which.

    Returns:
        The path.

    Raises:
        AudioError: ``source`` cannot be used, see :func:`~tabhero_hf.audio.load_audio`.
        ValueError: another suffix.
        OSError: the target cannot be written.
    """
    import soundfile
    import soxr

    target = Path(target)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{target}: written are {' and '.join(FORMATS)}, not {suffix!r}")
    container, codec = FORMATS[suffix]
    with open_audio(source) as sound, replacing(target) as building:
        channels = sound.channels if sound.channels <= MAX_CHANNELS else 1
        rate = sound.samplerate if sound.samplerate in RATES[suffix] else OTHER_RATE
        resampler = soxr.ResampleStream(sound.samplerate, rate, num_channels=channels, dtype="float32")
        with (
            building.open("wb") as file,
            soundfile.SoundFile(
                file, "w", rate, channels, codec, format=container, compression_level=COMPRESSION_LEVEL
            ) as out,
        ):
            for block in audio_blocks(sound, source):
                if channels != sound.channels:
                    block = block.mean(axis=1, keepdims=True)
                out.write(resampler.resample_chunk(block))
            out.write(resampler.resample_chunk(np.zeros((0, channels), dtype=np.float32), last=True))
    return target
