"""Made songs as a library of song folders, as players and `scripts/prepare_dataset.py` read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm.auto import tqdm

from ..audio.transcoding import write_ogg
from ..charts import Instrument, write_song
from .composition import compose_song
from .made_songs import render_score
from .midi_scores import midi_score
from .score import Score
from .soundfont import check_soundfont
from .synthesis import SAMPLE_RATE

FILES = {"lead": "guitar", "second": "song"}
"""Audio files of the stems whose names differ from it; the uncharted guitar is in the file of what is left over."""

PEAK = 0.9


def make_library(
    folder: str | os.PathLike[str],
    count: int,
    first_seed: int = 0,
    seconds: float | None = None,
    workers: int | None = None,
    soundfont: str | None = None,
    pieces: Sequence[tuple[str, bytes]] = (),
    featured: Instrument | None = None,
) -> None:
    """Write the songs of `count` seeds to `folder`, one folder a song.

    Songs appear whole, and those that are there already are kept, so a run that was stopped can go on.

    Args:
        first_seed: their seeds are this and those that follow.
        seconds: least length of each, see :func:`~tabhero_hf.data.composition.compose_song`.
        workers: processes; all processors if not given.
        soundfont: see :func:`~tabhero_hf.data.made_songs.render_score`.
        pieces: title and bytes of MIDI files, as :func:`~tabhero_hf.data.midi_scores.midi_pieces` finds them, to be
            played in turn by the seeds instead of composed songs.
        featured: the instrument that composed songs are about, see the same.

    Raises:
        ValueError: a length that no song has, negative numbers, a piece that cannot be played, or a soundfont that
            cannot be played from.
        OSError: a file cannot be written.
    """
    if count < 0 or first_seed < 0:
        raise ValueError(f"there are no {count} songs from seed {first_seed} on")
    if soundfont is not None:
        check_soundfont(soundfont)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    targets = {seed: folder / f"{seed:09d}" for seed in range(first_seed, first_seed + count)}
    missing = {seed: target for seed, target in targets.items() if not target.exists()}
    calls = []
    for seed, target in missing.items():
        write = partial(compose_song, seed, seconds, featured)
        if pieces:
            title, data = pieces[seed % len(pieces)]
            write = partial(midi_score, data, title, seed)
        calls.append(partial(write_made_song, target, write, soundfont))
    for_each_song(calls, "making songs", workers)


def for_each_song(calls: Sequence[Callable[[], None]], description: str, workers: int | None = None) -> None:
    """Runs calls, one a song, in processes of their own, as many as `workers` or processors, and shows how far it is.
    What one of them raises ends them all, but for those that run."""
    # A forked worker would inherit the locks of threads.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with pool, tqdm(total=len(calls), desc=description, unit="song") as progress:
        try:
            # One goes first: it compiles librosa's kernels into files, which processes that write them at once spoil.
            for part in calls[:1], calls[1:]:
                for task in as_completed([pool.submit(call) for call in part]):
                    task.result()
                    progress.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_made_song(target: Path, write: Callable[[], Score], soundfont: str | None = None) -> None:
    """Write a song to a folder: its stems, whose sum peaks at `PEAK`, its chart and `song.ini`."""
    song = render_score(write(), soundfont)
    mix = sum(song.stems.values())
    gain = np.float32(PEAK / np.abs(mix).max())
    with TemporaryDirectory() as building:
        files = []
        for name, sound in song.stems.items():
            files.append(Path(building, f"{FILES.get(name, name)}.ogg"))
            write_ogg(files[-1], gain * sound, SAMPLE_RATE)
        write_song(target, song.chart, files, song_length=len(mix) / SAMPLE_RATE)
