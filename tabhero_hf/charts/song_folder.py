"""A whole song, chart, metadata and audio, as Clone Hero reads it: a folder, a ``.sng`` or a ``.zip``."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from .album_art import draw_album_art
from .dot_chart import format_chart, parse_chart
from .errors import ChartError
from .ini import format_ini, number, parse_ini, without_style_tags
from .metadata import DEFAULT_METADATA, ini_values
from .midi import parse_midi
from .midi_writer import format_midi
from .notes import Chart
from .packed import Content, File, PackedFile, open_content, read_whole
from .sng import read_sng, write_sng
from .text_files import MAX_SECONDS, name_as_text
from .zip_archive import read_zip, write_zip

CHART_NAMES = ("notes.chart", "notes.mid")
CHART_SUFFIXES = (".chart", ".mid")
ARCHIVE_SUFFIXES = (".sng", ".zip")
INI_NAME = "song.ini"
ALBUM_NAMES = ("album.png", "album.jpg", "album.jpeg")
AUDIO_SUFFIXES = (".ogg", ".opus", ".mp3", ".wav", ".flac")
"""What Clone Hero plays."""

STEM_NAMES = (
    *("song", "guitar", "bass", "rhythm", "keys", "vocals", "vocals_1", "vocals_2"),
    *("drums", "drums_1", "drums_2", "drums_3", "drums_4"),
)
"""The song's audio is the sum of these; ``crowd`` and ``preview`` are no part of it."""

PathLike = str | os.PathLike[str]


class Song(NamedTuple):
    """A song as it was read.

    ``chart.offset`` is the one that counts: a ``delay`` in ``song.ini`` that is not zero, else the chart's own.
    ``metadata`` holds the chart's and over it all of ``song.ini``'s that are set, keys in lower case. ``stems`` are
    the audio files whose sum is the song, and ``album`` its picture. Files are paths or, in archives,
    :class:`~tabhero_hf.charts.PackedFile`.
    """

    chart: Chart
    metadata: dict[str, str]
    stems: list[File]
    album: File | None = None

    @property
    def duration(self) -> float | None:
        """Seconds of audio, as ``song_length`` says; ``None`` where it does not."""
        milliseconds = number(self.metadata, "song_length")
        return None if milliseconds is None else milliseconds / 1000


class SongFiles(NamedTuple):
    """What a song consists of, its chart unread.

    ``files`` are by name in lower case. ``metadata`` is that of ``song.ini``, or of the ``.sng``. ``chart`` is the
    file that counts, if there is one.
    """

    files: dict[str, File]
    metadata: dict[str, str]
    chart: File | None

    @property
    def album(self) -> File | None:
        """The picture of the song."""
        return next((self.files[name] for name in ALBUM_NAMES if name in self.files), None)

    def stems(self, chart: Chart | None = None) -> list[File]:
        """The audio files that make up the song, one a stem, in the order of ``STEM_NAMES``.

        Where there is no ``song``, it is the file that ``MusicStream`` of the chart names, which is read for it unless
        it is given.
        """
        found = []
        for stem in STEM_NAMES:
            found += [self.files[stem + suffix] for suffix in AUDIO_SUFFIXES if stem + suffix in self.files][:1]
        if self.chart is None or (found and found[0].name.lower().startswith("song.")):
            return found
        try:
            named = (chart or self.parse_chart()).metadata.get("musicstream", "").lower()
        except ChartError:
            if found:
                return found
            raise
        # Only names of files that were listed are found: a path never leads out of the folder.
        music = self.files.get(named) if named.endswith(AUDIO_SUFFIXES) and not _is_stem(named) else None
        return [*([music] if music else []), *found]

    def parse_chart(self) -> Chart:
        """The chart, read.

        Raises:
            ChartError: it cannot be read.
        """
        parse = parse_chart if _suffix(self.chart) == ".chart" else parse_midi
        try:
            return parse(read_whole(self.chart), self.metadata)
        except ChartError as error:
            raise error.located(str(self.chart)) from error.__cause__


def song_files(path: PathLike) -> SongFiles:
    """Looks what a song consists of: a folder, a ``.sng``, a ``.zip``, or a ``.chart`` or ``.mid`` in a folder.

    File names may be in any case; ``notes.chart`` goes before ``notes.mid``. A ``.zip`` may hold the song's files in a
    folder.

    Raises:
        ChartError: there is none of them, or it cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if os.path.isdir(path):
        files = _folder_files(path)
    elif not os.path.isfile(path):
        raise ChartError("no such song", file=path)
    elif suffix in CHART_SUFFIXES:
        files = _folder_files(path.parent)
    elif suffix == ".sng":
        metadata, files = read_sng(path)
        metadata = {key: without_style_tags(value) for key, value in metadata.items()}
        return _song_files(files, metadata)
    elif suffix == ".zip":
        files = _zipped_song(path)
    else:
        raise ChartError(f"a song is a folder or one of {', '.join((*ARCHIVE_SUFFIXES, *CHART_SUFFIXES))}", file=path)
    ini = next((file for name, file in files.items() if name.lower() == INI_NAME), None)
    song = _song_files(files, {} if ini is None else parse_ini(read_whole(ini)))
    return song if os.path.isdir(path) or suffix not in CHART_SUFFIXES else song._replace(chart=path)


def find_stems(path: PathLike) -> list[File]:
    """The audio files that make up the song, one a stem, in the order of ``STEM_NAMES``.

    Args:
        path: as for :func:`read_song`; a folder or archive need not have a chart.

    Raises:
        ChartError: it cannot be read.
    """
    return song_files(path).stems()


def read_song(path: PathLike) -> Song:
    """Reads a song.

    Args:
        path: a song folder, a ``.sng``, a ``.zip`` of a song folder, or a ``.chart`` or ``.mid``, with what lies
            beside it. File names may be in any case; ``notes.chart`` goes before ``notes.mid``.

    Raises:
        ChartError: no chart in it, or a file that cannot be read. Names the file and where in it.
    """
    song = song_files(path)
    if song.chart is None:
        raise ChartError(f"holds neither {' nor '.join(CHART_NAMES)}", file=path)
    chart = song.parse_chart()
    metadata = dict(chart.metadata)
    for key, value in song.metadata.items():
        if value and (value != "-1" or key not in metadata):
            metadata[key] = value
    delay = (number(song.metadata, "delay") or 0.0) / 1000
    offset = delay if 0 < abs(delay) <= MAX_SECONDS else chart.offset
    chart = replace(chart, metadata=metadata, offset=offset)
    return Song(chart, metadata, song.stems(chart), song.album)


def write_song(
    target: PathLike,
    chart: Chart,
    audio: PathLike | PackedFile | Sequence[PathLike | PackedFile] | None = None,
    *,
    album: PathLike | PackedFile | None = None,
    metadata: Mapping[str, str] | None = None,
    song_length: float | None = None,
    chart_format: Literal["chart", "mid"] = "chart",
) -> Path:
    """Writes a song that Clone Hero plays: chart, ``song.ini``, audio and album art.

    It is built beside its place and moved there when it is whole: a failed write leaves what was there as it was.
    In an existing song the chart and ``song.ini`` are replaced, and audio and album art where they are given; other
    files stay.

    Args:
        target: a folder, or a file where the name ends in ``.sng`` or ``.zip``; missing parents are made.
        chart: what to write, its ``metadata`` and ``offset`` too.
        audio: the song's audio, one file, copied as ``song`` with its own suffix, or several stems, which keep their
            names, of ``STEM_NAMES``; one of them that has another is the ``song``. Suffixes are of
            ``AUDIO_SUFFIXES``. Files of the song that is written over, and none but those, stay as they are, as do the
            other stems beside them.
        album: the album art, one of ``ALBUM_NAMES`` by its suffix; drawn where there is none.
        metadata: goes over the chart's: ``name`` (else that of the target), ``artist``, ``album``, ``genre``,
            ``year``, ``charter``, ``preview_start_time`` (milliseconds, else a third into the song), and others, which
            are carried over.
        song_length: seconds; else the ``song_length`` (milliseconds) of the metadata, else where the chart ends.
        chart_format: ``notes.chart`` or ``notes.mid``.

    Returns:
        The folder or file.

    Raises:
        ChartError: the target is something that is not a song, the audio or album art is missing or in a format that
            Clone Hero does not play, or the chart does not fit the format.
        ValueError: another chart format.
        OSError: it cannot be written.
    """
    if f"notes.{chart_format}" not in CHART_NAMES:
        raise ValueError(f"a chart format is chart or mid, not {chart_format!r}")
    target = Path(target).resolve()
    existing = check_target(target)
    stems = _named_stems(audio)
    stays = bool(stems) and all(_is_same(file, existing.get(file.name.lower())) for file in stems.values())
    packed = target.suffix.lower() in ARCHIVE_SUFFIXES
    name = name_as_text(target.stem if packed else target.name)
    merged = {"name": name, **DEFAULT_METADATA}
    merged.update((key, value) for key, value in {**chart.metadata, **(metadata or {})}.items() if str(value).strip())
    if stays:
        # The song itself, or what is called otherwise than stems are.
        files = [*SongFiles(existing, {}, None).stems(), *stems.values()]
        music = (file.name for file in files if os.path.splitext(file.name.lower())[0] not in STEM_NAMES[1:])
        merged["musicstream"] = next(music, "")
        stems = {}
    elif stems:
        merged["musicstream"] = next((name for name in stems if name.startswith("song.")), "")
    ini = ini_values(chart, merged, song_length=song_length, midi=chart_format == "mid")
    named_chart = replace(chart, metadata=merged)
    written: dict[str, Content] = {
        f"notes.{chart_format}": format_midi(chart) if chart_format == "mid" else format_chart(named_chart).encode(),
        **stems,
        **_named_album(album),
    }
    if not album and not existing.keys() & {*ALBUM_NAMES}:
        written["album.png"] = draw_album_art(chart, str(merged["name"]), str(merged["artist"]))
    kept = [file for name, file in existing.items() if not _is_replaced(name, bool(stems), bool(album))]

    target.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        files = [*written.items(), *((file.name, file) for file in kept)]
        if target.suffix.lower() == ".sng":
            write_sng(target, ini, files)
        else:
            write_zip(target, [(INI_NAME, format_ini(ini).encode()), *files])
    else:
        left_out = {file.name for file in existing.values()} - {file.name for file in kept}
        _write_folder(target, {INI_NAME: format_ini(ini).encode(), **written}, left_out)
    return target


def check_target(target: PathLike) -> dict[str, File]:
    """The files of the song to write to, by their names in lower case; none where there is none yet.

    Raises:
        ChartError: there is something that :func:`write_song` does not overwrite: something else than a song, or a
            chart of instruments that it would lose, or of who knows what, as it cannot be read.
    """
    target = Path(target)
    if not target.exists():
        return {}
    known = ", ".join((*CHART_NAMES, INI_NAME))
    if target.suffix.lower() in ARCHIVE_SUFFIXES:
        if not target.is_file():
            raise ChartError(f"a folder is there, not a {target.suffix}", file=target)
        try:
            song = song_files(target)
        except ChartError as error:
            raise ChartError(f"not overwritten: it is no song ({error.reason})", file=target) from error
        if target.suffix.lower() == ".zip":
            if not song.files.keys() & {*CHART_NAMES, INI_NAME}:
                raise ChartError(f"not overwritten: it is no song (it holds none of {known})", file=target)
            if sum(not name.startswith("__MACOSX/") for name in read_zip(target)) > len(song.files):
                raise ChartError("not overwritten: it holds more than a song's folder", file=target)
        _check_losses(target, song)
        return song.files
    if not target.is_dir():
        raise ChartError("a file is there, not a song folder", file=target)
    files = {name.lower(): file for name, file in _folder_files(target).items()}
    if any(target.iterdir()) and not files.keys() & {*CHART_NAMES, INI_NAME}:
        raise ChartError(
            f"not overwritten: it is not empty and no song folder (it holds none of {known})", file=target
        )
    _check_losses(target, _song_files(files, {}))
    return files


def check_chart_target(target: PathLike) -> None:
    """Raises :class:`ChartError` for a ``.chart`` or ``.mid`` with what would be lost, see :func:`check_target`."""
    target = Path(target)
    if target.is_file():
        _check_loss(target, song_files(target))


def _check_losses(target: Path, song: SongFiles) -> None:
    """As :func:`_check_loss`, of all its charts: none of them stays beside a new one."""
    for name in CHART_NAMES:
        if name in song.files:
            _check_loss(target, song._replace(chart=song.files[name]))


def _check_loss(target: Path, song: SongFiles) -> None:
    """Raises :class:`ChartError` for a song whose chart has what a new one could not have, or might have."""
    try:
        lost = song.parse_chart().left_out
    except ChartError as error:
        where = f"{error.position}: " if error.position else ""
        reason = (
            f"not overwritten: its {song.chart.name} cannot be read ({where}{error.reason}); mend it, or move it away"
        )
        raise ChartError(reason, file=target) from error
    if lost:
        raise ChartError(f"not overwritten: {', '.join(lost)} of its {song.chart.name} would be lost", file=target)


# Finding


def _song_files(files: Mapping[str, File], metadata: dict[str, str]) -> SongFiles:
    files = {name.lower(): file for name, file in files.items()}
    return SongFiles(files, metadata, next((files[name] for name in CHART_NAMES if name in files), None))


def _folder_files(folder: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    except OSError as error:
        raise ChartError(f"not a folder that can be read ({error.strerror})", file=folder) from error


def _zipped_song(path: Path) -> dict[str, PackedFile]:
    """The files of the one folder in a ``.zip`` that is a song, or waits for its chart, or of its top."""
    files = read_zip(path)
    inside = [name.rpartition("/")[::2] for name in files if name.count("/") < 2]
    folders = {folder for folder, plain in inside if plain.lower() in (*CHART_NAMES, INI_NAME)}
    folders = folders or {folder for folder, plain in inside if _is_stem(plain.lower())}
    if "" in folders or not folders:
        return files
    if len(folders) > 1:
        raise ChartError(f"holds {len(folders)} songs: unpack it", file=path)
    prefix = f"{folders.pop()}/"
    inside = {name.removeprefix(prefix): file for name, file in files.items() if name.startswith(prefix)}
    return {name: replace(file, name=name) for name, file in inside.items()}


def _is_stem(name: str) -> bool:
    """Whether a file of this name, in lower case, is audio of a song."""
    stem, suffix = os.path.splitext(name)
    return stem in STEM_NAMES and suffix in AUDIO_SUFFIXES


def _suffix(file: File) -> str:
    return os.path.splitext(file.name)[1].lower()


# Writing


def _named_stems(audio: PathLike | PackedFile | Sequence[PathLike | PackedFile] | None) -> dict[str, File]:
    """The audio files to write, by the names they get."""
    files = [audio] if isinstance(audio, (str, os.PathLike, PackedFile)) else list(audio or ())
    files = [_existing_file(file, "audio", AUDIO_SUFFIXES) for file in files]
    if len(files) == 1:
        return {f"song{_suffix(files[0])}": files[0]}
    named = {}
    others = [file for file in files if not _is_stem(file.name.lower())]
    for file in files:
        name = f"song{_suffix(file)}" if others == [file] else file.name.lower()
        if not _is_stem(name) or name in named:
            raise ChartError(f"stems have different names, each one of {', '.join(STEM_NAMES)}", file=str(file))
        named[name] = file
    return named


def _named_album(album: PathLike | PackedFile | None) -> dict[str, File]:
    if album is None:
        return {}
    file = _existing_file(album, "picture", tuple(os.path.splitext(name)[1] for name in ALBUM_NAMES))
    return {f"album{_suffix(file)}": file}


def _existing_file(file: PathLike | PackedFile, what: str, suffixes: tuple[str, ...]) -> File:
    file = file if isinstance(file, PackedFile) else Path(file)
    if isinstance(file, Path) and not file.is_file():
        raise ChartError(f"no such {what} file", file=file)
    if _suffix(file) not in suffixes:
        raise ChartError(f"Clone Hero takes {what} in {', '.join(suffixes)}, not {_suffix(file)!r}", file=str(file))
    return file


def _is_same(file: File, other: File | None) -> bool:
    """Whether two are one file of one folder or archive."""
    if isinstance(file, PackedFile) or isinstance(other, PackedFile):
        packed = isinstance(file, PackedFile) and isinstance(other, PackedFile)
        return packed and file.name == other.name and os.path.samefile(file.archive, other.archive)
    return other is not None and os.path.samefile(file, other)


def _is_replaced(name: str, stems: bool, album: bool) -> bool:
    return name in (*CHART_NAMES, INI_NAME) or (stems and _is_stem(name)) or (album and name in ALBUM_NAMES)


def _write_folder(target: Path, written: Mapping[str, Content], left_out: set[str]) -> None:
    """Writes files into a folder, over what is there but for what is left out."""
    building = target.with_name(f".{uuid.uuid4().hex}")
    building.mkdir()
    try:
        if target.exists():
            shutil.copytree(
                target,
                building,
                symlinks=True,
                ignore=lambda path, names: left_out if Path(path) == target else (),
                dirs_exist_ok=True,
            )
        for name, content in written.items():
            with open_content(content) as source, (building / name).open("wb") as file:
                shutil.copyfileobj(source, file)
        _move_into_place(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _move_into_place(building: Path, target: Path) -> None:
    if not target.exists():
        building.rename(target)
        return
    aside = building.with_name(building.name + ".old")
    moves = [(target, aside), (building, target)]
    inside = _stands_in(target)
    if inside:  # who stands in it, stays in it: what is in it changes places
        aside.mkdir()
        moves = [(path, to / path.name) for whole, to in moves for path in whole.iterdir()]
    moved = []
    try:
        for path, to in moves:
            path.rename(to)
            moved.append((to, path))
    except BaseException:
        for to, path in reversed(moved):
            to.rename(path)
        if inside:
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _stands_in(folder: Path) -> bool:
    try:
        return Path.cwd() == folder
    except FileNotFoundError:  # it stands in one that is gone
        return False
