"""A library of songs: what is in it, and what of it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from math import ceil
from pathlib import Path
from typing import NamedTuple

from .errors import ChartError
from .notes import Difficulty, Instrument
from .song_folder import ARCHIVE_SUFFIXES, AUDIO_SUFFIXES, CHART_NAMES, STEM_NAMES, read_song

SONGS_PER_TASK = 16
OTHER_AUDIO = ("crowd", "preview")
"""What a song's folder holds beside its stems."""


class LibrarySong(NamedTuple):
    """A song of a library, without its chart.

    Args:
        path: the folder, ``.sng`` or ``.zip``, for :func:`~tabhero_hf.charts.read_song`.
        metadata: as of :class:`~tabhero_hf.charts.Song`.
        counts: how many notes each track has.
        seconds: where its last note, sustain or end event is in the audio.
        stems: the names of its audio files.
        warnings: what its reader passed over.
    """

    path: Path
    metadata: dict[str, str]
    counts: dict[tuple[Instrument, Difficulty], int]
    seconds: float
    stems: tuple[str, ...]
    warnings: tuple[str, ...]


class UnreadSong(NamedTuple):
    """What could not be read, and why."""

    path: Path
    reason: str


class Library(NamedTuple):
    """What was found, and what could not be read, each sorted by path."""

    songs: list[LibrarySong]
    unread: list[UnreadSong]


def find_songs(root: str | os.PathLike[str], workers: int | None = None, progress: bool = False) -> Library:
    """Reads all songs below a folder: song folders, ``.sng`` and ``.zip`` files.

    A song's folder is not searched for further songs; nor are files and folders whose names start with a dot. Links
    are followed, but no folder is searched twice.

    Args:
        root: the folder.
        workers: processes to read with, else one a processor. Where they are more than one and there are many songs,
            new Python processes are started: a script has to call this under ``if __name__ == "__main__":``.
        progress: whether to show a progress bar.

    Raises:
        ChartError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ChartError("no such folder", file=root)
    paths, unread = _search(root)
    songs = []
    for result in _read_all(paths, workers, progress):
        (songs if isinstance(result, LibrarySong) else unread).append(result)
    return Library(songs, sorted(unread))


def song_paths(root: str | os.PathLike[str], audio: Collection[str] = ()) -> list[Path]:
    """The song folders, ``.sng`` and ``.zip`` files below a folder, sorted, as :func:`find_songs` finds them.

    Args:
        root: the folder.
        audio: suffixes in lower case, of what is found beside them: folders whose audio is a song's stems, which wait
            for their chart, and single files.
    """
    return _search(Path(root), audio)[0]


def _search(root: Path, audio: Collection[str] = ()) -> tuple[list[Path], list[UnreadSong]]:
    """The songs below a folder, sorted, and the folders that cannot be searched."""
    songs, unread = [], []
    searched, folders = set(), [root]
    while folders:
        folder = folders.pop()
        try:
            status = folder.stat()
            paths = sorted(folder.iterdir())
        except OSError as error:
            unread.append(UnreadSong(folder, f"cannot be searched ({error.strerror})"))
            continue
        if (status.st_dev, status.st_ino) in searched:
            continue
        searched.add((status.st_dev, status.st_ino))
        if any(path.name.lower() in CHART_NAMES for path in paths):
            songs.append(folder)
            continue
        # Those of os.path take links that lead nowhere or to themselves for no files.
        seen = [path for path in paths if not path.name.startswith(".")]
        folders += [path for path in reversed(seen) if os.path.isdir(path)]
        wanted = (*ARCHIVE_SUFFIXES, *audio)
        files = [path for path in seen if path.suffix.lower() in wanted and os.path.isfile(path)]
        songs += [path for path in files if path.suffix.lower() in ARCHIVE_SUFFIXES]
        heard = [path for path in files if path.suffix.lower() in audio]
        songs += [folder] if _are_stems(heard) else heard
    return sorted(songs), unread


def _are_stems(audio: list[Path]) -> bool:
    """Whether audio files are one song's, all of it what can be read as such."""
    names = {path.stem.lower() for path in audio}
    readable = all(path.suffix.lower() in AUDIO_SUFFIXES for path in audio)
    return readable and bool(names & {*STEM_NAMES}) and names <= {*STEM_NAMES, *OTHER_AUDIO}


def _read_all(paths: list[Path], workers: int | None, progress: bool) -> Iterator[LibrarySong | UnreadSong]:
    """A result for each path, in order."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tqdm import tqdm

    # Processes that are not worth starting are not started.
    workers = min(workers or os.cpu_count() or 1, ceil(len(paths) / SONGS_PER_TASK))
    with tqdm(total=len(paths), unit="song", disable=not progress) as bar:
        if workers <= 1:
            for path in paths:
                yield _read(path)
                bar.update()
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for result in pool.map(_read, paths, chunksize=SONGS_PER_TASK):
                yield result
                bar.update()


def _read(path: Path) -> LibrarySong | UnreadSong:
    try:
        song = read_song(path)
    except (ChartError, OSError) as error:
        return UnreadSong(path, str(error))
    chart = song.chart
    return LibrarySong(
        path,
        song.metadata,
        {key: len(track.notes) for key, track in chart.tracks.items()},
        float(chart.tempo_map.seconds(chart.last_tick)) + chart.offset,
        tuple(stem.name for stem in song.stems),
        chart.warnings,
    )
