"""From a song's audio to a Clone Hero folder, in one call."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import bundled_checkpoint
from .audio.loading import audio_duration
from .charts import Difficulty, Instrument, find_stems, write_song
from .charts.song_folder import check_target
from .tokenization_tabhero import Note


@dataclass
class ChartedSong:
    """
    A charted song: the `folder` written, the `notes` in seconds of each `(instrument, difficulty)` by name, and the
    song's `duration` in seconds.
    """

    folder: Path
    notes: dict[tuple[str, str], list[Note]]
    duration: float


def chart_song(
    song: str | os.PathLike,
    output: str | os.PathLike,
    difficulties: Sequence[str | int | Difficulty] = tuple(Difficulty),
    instruments: Sequence[str | int | Instrument] = (Instrument.LEAD,),
    *,
    model: str | os.PathLike | None = None,
    charter=None,
    metadata: dict[str, str] | None = None,
    **parameters,
) -> ChartedSong:
    """
    Charts a song and writes a folder that Clone Hero plays, or nothing at all if anything is wrong.

    Args:
        song: An audio file, or a song folder whose stems are summed.
        output: The folder to write; an existing song folder is replaced, any other non-empty folder refused.
        difficulties: Which of `easy`, `medium`, `hard` and `expert`.
        instruments: Which of `lead`, `bass`, `rhythm` and `keys`.
        model: Model folder or Hub name; the bundled checkpoint when unset.
        charter: An [`AudioToChartPipeline`] to use instead of loading one.
        metadata: For `song.ini`: `name`, `artist` and so on.
        parameters: Further parameters of the pipeline's call.

    Raises:
        ValueError: an unknown difficulty or instrument, audio that cannot be used, or an `output` that is something
            else than a song folder.
    """
    difficulties = [Difficulty.parse(value) for value in difficulties]
    instruments = [Instrument.parse(value) for value in instruments]
    audio = Path(song)
    stems = find_stems(audio) if audio.is_dir() else [audio]
    check_target(output)
    duration = audio_duration(stems)
    if charter is None:
        from transformers import pipeline

        charter = pipeline("audio-to-chart", model=bundled_checkpoint() if model is None else str(model))
    result = charter({"stems": stems}, difficulties=difficulties, instruments=instruments, **parameters)
    folder = write_song(output, result["chart"], stems, metadata=metadata, song_length=duration)
    return ChartedSong(folder, result["notes"], duration)
