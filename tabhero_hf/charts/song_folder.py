"""A whole song as a folder: chart, ``song.ini`` and audio, as Clone Hero reads it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dot_chart import read_chart, write_chart
from .errors import ChartError
from .ini import read_ini, write_ini
from .midi import read_midi
from .notes import Chart, Difficulty, Instrument

CHART_NAMES = ("notes.chart", "notes.mid")
INI_NAME = "song.ini"
AUDIO_SUFFIXES = (".ogg", ".opus", ".mp3", ".wav", ".flac")
"""What Clone Hero plays."""

STEM_NAMES = (
    *("song", "guitar", "bass", "rhythm", "keys", "vocals", "vocals_1", "vocals_2"),
    *("drums", "drums_1", "drums_2", "drums_3", "drums_4"),
)
"""The song's audio is the sum of these; ``crowd`` and ``preview`` are no part of it."""

DIFFICULTY_KEYS = {
    "diff_guitar": Instrument.LEAD,
    "diff_guitar_coop": None,
    "diff_bass": Instrument.BASS,
    "diff_rhythm": Instrument.RHYTHM,
    "diff_keys": Instrument.KEYS,
}
NOTES_PER_SECOND = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0)
"""Where the next of the estimates 0-6 begins."""

DEFAULT_METADATA = {
    "artist": "Unknown Artist",
    "album": "Unknown Album",
    "genre": "Unknown Genre",
    "year": "Unknown Year",
    "charter": "tabhero_hf",
}


class Song(NamedTuple):
    """A song as it was read.

    ``chart.offset`` is the one that counts: a ``delay`` in ``song.ini`` that is not zero, else the chart's own.
    ``metadata`` holds the chart's and over it all of ``song.ini``'s, keys in lower case. ``stems`` are the audio files
    whose sum is the song.
    """

    chart: Chart
    metadata: dict[str, str]
    stems: list[Path]


def find_stems(folder: str | os.PathLike[str]) -> list[Path]:
    """The audio files of a song folder that make up the song, one a stem, in the order of ``STEM_NAMES``."""
    files = _files(folder)
    found = []
    for stem in STEM_NAMES:
        found += [files[stem + suffix] for suffix in AUDIO_SUFFIXES if stem + suffix in files][:1]
    return found


def read_song(folder: str | os.PathLike[str]) -> Song:
    """Reads a song folder; file names may be in any case, ``notes.chart`` goes before ``notes.mid``.

    Raises:
        ChartError: no chart in it, or a chart that cannot be read.
    """
    files = _files(folder)
    settings = read_ini(files[INI_NAME]) if INI_NAME in files else {}
    name = next((name for name in CHART_NAMES if name in files), None)
    if name is None:
        raise ChartError(f"holds neither {' nor '.join(CHART_NAMES)}", file=folder)
    chart = (read_chart if name.endswith(".chart") else read_midi)(files[name], settings)
    metadata = {**chart.metadata, **{key: value for key, value in settings.items() if value}}
    delay = _number(settings.get("delay"))
    return Song(replace(chart, metadata=metadata, offset=delay / 1000 or chart.offset), metadata, find_stems(folder))


def write_song(
    folder: str | os.PathLike[str],
    chart: Chart,
    audio: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    song_length: float | None = None,
) -> Path:
    """Writes a song folder that Clone Hero plays: ``notes.chart``, ``song.ini`` and the audio.

    It is built beside its place and moved there when it is whole: a failed write leaves what was there as it was.
    In an existing song folder the chart and ``song.ini`` are replaced, and the audio where ``audio`` is given; other
    files, such as album art, stay.

    Args:
        folder: where; missing parents are made.
        chart: what to write, its ``metadata`` and ``offset`` too.
        audio: the song's audio, one file, copied as ``song`` with its own suffix, or several stems, which keep their
            names. Suffixes are of ``AUDIO_SUFFIXES``.
        metadata: goes over the chart's: ``name`` (else the folder's name), ``artist``, ``album``, ``genre``, ``year``,
            ``charter``, ``preview_start_time`` (milliseconds, else a third into the song).
        song_length: seconds; else where the chart ends.

    Returns:
        The folder.

    Raises:
        ChartError: the folder holds something that is not a song, the audio is missing or in a format that Clone Hero
            does not play, or the chart does not fit the format.
        OSError: it cannot be written.
    """
    target = Path(folder).resolve()
    existing = check_target(target)
    copies = _audio_copies(audio)
    replaced = {file.name for name, file in existing.items() if name in (*CHART_NAMES, INI_NAME)}
    if copies:
        replaced |= {file.name for name, file in existing.items() if _is_stem(name)}
    merged = {"name": target.name, **DEFAULT_METADATA}
    merged.update((key, value) for key, value in {**chart.metadata, **(metadata or {})}.items() if str(value).strip())
    if len(copies) == 1:
        merged["musicstream"] = next(iter(copies))

    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    building.mkdir()
    try:
        if existing:
            shutil.copytree(
                target,
                building,
                symlinks=True,
                ignore=lambda path, names: replaced if Path(path) == target else (),
                dirs_exist_ok=True,
            )
        write_chart(replace(chart, metadata=merged), building / CHART_NAMES[0])
        write_ini(_ini_values(chart, merged, song_length), building / INI_NAME)
        for name, file in copies.items():
            shutil.copyfile(file, building / name)
        _move_into_place(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _files(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of a folder by their names in lower case."""
    try:
        return {path.name.lower(): path for path in sorted(Path(folder).iterdir()) if path.is_file()}
    except OSError as error:
        raise ChartError(f"not a folder that can be read ({error.strerror})", file=folder) from error


def check_target(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of the song folder to write to, by their names in lower case; none where there is none yet.

    Raises:
        ChartError: there is something else than a song folder, which :func:`write_song` does not overwrite.
    """
    target = Path(folder)
    if not target.exists():
        return {}
    if not target.is_dir():
        raise ChartError("a file is there, not a song folder", file=target)
    files = _files(target)
    if any(target.iterdir()) and not files.keys() & {*CHART_NAMES, INI_NAME}:
        known = ", ".join((*CHART_NAMES, INI_NAME))
        raise ChartError(
            f"not overwritten: it is not empty and no song folder (it holds none of {known})", file=target
        )
    return files


def _audio_copies(audio: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> dict[str, Path]:
    """The audio files to copy, by the names they get."""
    files = [Path(audio)] if isinstance(audio, (str, os.PathLike)) else [Path(file) for file in audio or ()]
    for file in files:
        if not file.is_file():
            raise ChartError("no such audio file", file=file)
        if file.suffix.lower() not in AUDIO_SUFFIXES:
            raise ChartError(f"Clone Hero plays {', '.join(AUDIO_SUFFIXES)}, not {file.suffix!r}", file=file)
    if len(files) == 1:
        return {f"song{files[0].suffix.lower()}": files[0]}
    return {file.name.lower(): file for file in files}


def _is_stem(name: str) -> bool:
    stem, suffix = os.path.splitext(name)
    return stem in STEM_NAMES and suffix in AUDIO_SUFFIXES


def _move_into_place(building: Path, target: Path) -> None:
    if not target.exists():
        building.rename(target)
        return
    aside = building.with_name(building.name + ".old")
    target.rename(aside)
    try:
        building.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _ini_values(chart: Chart, metadata: Mapping[str, str], song_length: float | None) -> dict[str, object]:
    if song_length is None:
        last = max((track.end_tick for track in chart.tracks.values()), default=0)
        song_length = float(chart.tempo_map.seconds(max(last, chart.end_tick or 0))) + chart.offset
    length = max(round(song_length * 1000), 0)
    preview = _number(metadata.get("preview_start_time"), unset=-1)
    return {
        **{key: metadata[key] for key in ("name", *DEFAULT_METADATA)},
        "song_length": length,
        "preview_start_time": int(preview) if preview >= 0 else length // 3,
        **{key: _difficulty_estimate(chart, instrument) for key, instrument in DIFFICULTY_KEYS.items()},
    }


def _difficulty_estimate(chart: Chart, instrument: Instrument | None) -> int:
    """0-6 from the notes per second of the hardest track between its first and last note; -1 without one."""
    for difficulty in reversed(Difficulty):
        track = chart.tracks.get((instrument, difficulty))
        if track and track.notes:
            first, last = chart.tempo_map.seconds([track.notes[0].tick, track.notes[-1].tick])
            # Under ten seconds a density says little.
            return int(np.searchsorted(NOTES_PER_SECOND, len(track.notes) / max(last - first, 10.0), side="right"))
    return -1


def _number(text: str | None, unset: float = 0.0) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return unset
    return value if np.isfinite(value) else unset
