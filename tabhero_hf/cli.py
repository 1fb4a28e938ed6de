"""The `tabhero` command."""

import io
import math
import sys
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Write Clone Hero charts of songs, check them and convert them.")

DIFFICULTIES = "easy,medium,hard,expert"
AUDIO_NAMES = (".ogg", ".opus", ".mp3", ".flac", ".wav", ".aiff", ".aif")
"""What is charted in a folder of audio files."""


def _print_version(asked: bool):
    if asked:
        from . import __version__

        typer.echo(f"tabhero {__version__}")
        raise typer.Exit


@app.callback()
def tabhero(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
):
    for stream in (sys.stdout, sys.stderr):
        # Where a terminal or a file cannot have a song's name, the rest of what is said comes through.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Format(StrEnum):
    """What a charted song is written as."""

    folder = "folder"
    sng = "sng"
    zip = "zip"


@app.command()
def chart(
    songs: Annotated[
        list[Path],
        typer.Argument(metavar="SONG...", help="Audio files, songs (folders, .sng, .zip), or folders of them."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Song to write; a folder for them if there are several.")
    ],
    difficulties: Annotated[
        str, typer.Option("--difficulties", "-d", help=f"Comma-separated, of {DIFFICULTIES}.")
    ] = DIFFICULTIES,
    instruments: Annotated[
        str, typer.Option("--instruments", "-i", help="Comma-separated, of lead,bass,rhythm,keys.")
    ] = "lead",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model folder or Hub name; the bundled one when unset.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write several songs as.")] = Format.folder,
    name: Annotated[str | None, typer.Option(help="The song's name; else that of its tags or file.")] = None,
    artist: Annotated[str | None, typer.Option(help="The song's artist; else that of its tags or file.")] = None,
    bpm: Annotated[
        float | None, typer.Option(help="The song's tempo; else its chart's, or found in the audio.")
    ] = None,
    offset: Annotated[
        float | None, typer.Option(help="A second of the audio at which a measure begins; else found in the audio.")
    ] = None,
    start: Annotated[
        float | None, typer.Option("--from", help="Second from which a song's own chart is charted anew.")
    ] = None,
    end: Annotated[float | None, typer.Option("--to", help="Second up to which it is; all else stays.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Draw another chart, by chance, for each seed.")
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, help="With --seed: draw HOPOs and sustains so often, and keep the likeliest.")
    ] = 1,
    int8: Annotated[bool, typer.Option("--int8", help="Decode with rounded weights: faster on a processor.")] = False,
):
    """
    Chart songs and write what Clone Hero plays. A song that fails is named, and the others go on.

    A song that is there already gets the new chart in place of its own, unless that has drums or vocals, or cannot be
    read.
    """
    from .charts.song_folder import ARCHIVE_SUFFIXES, CHART_SUFFIXES

    found = list(dict.fromkeys(_songs(songs, audio=True)))  # each once, whether named or found
    several = len(songs) > 1 or found != songs
    if several and (name or any(value is not None for value in (bpm, offset, start, end))):
        _fail("--name, --bpm, --offset, --from and --to are for one song")
    if format is not Format.folder and not several:
        _fail(f"--format is for several songs: name the one that you want written, as in -o song.{format.value}")
    if several and output.suffix.lower() in ARCHIVE_SUFFIXES:
        _fail(f"{output} would be one song, but there are several: name a folder, and --format {output.suffix[1:]}")
    if several and output.is_file():
        _fail(f"{output} is a file, not a folder for songs")
    if output.suffix.lower() in CHART_SUFFIXES:
        _fail(f"{output}: a song is a folder, .sng or .zip; `tabhero convert` writes its chart alone")
    if model and model.count("/") != 1 and not Path(model).is_dir():
        _fail(f"{model}: no such model folder")
    if candidates > 1 and seed is None:
        _fail("--candidates are drawn: give a --seed")
    if not found:
        _fail(f"no song in {', '.join(map(str, songs))}")

    from safetensors import SafetensorError
    from transformers import pipeline, set_seed

    from . import bundled_checkpoint
    from .arranging import least_sure
    from .charting import chart_song
    from .charts import Difficulty, Instrument
    from .decoding_tabhero import to_int8

    metadata = {key: value for key, value in {"name": name, "artist": artist}.items() if value}
    given = {"bpm": bpm, "offset": offset}
    parameters = {key: value for key, value in given.items() if value is not None}
    if start is not None or end is not None:
        parameters["region"] = start or 0.0, math.inf if end is None else end
    if seed is not None:
        set_seed(seed)
        parameters["generate_kwargs"] = {"do_sample": True, "num_return_sequences": candidates}
    charted, targets = [], _targets(found, output, format) if several else [output]
    try:
        asked = [Difficulty.parse(value) for value in difficulties.split(",")]
        players = [Instrument.parse(value) for value in instruments.split(",")]
        charter = pipeline("audio-to-chart", model=model or bundled_checkpoint())
        if int8:
            to_int8(charter.model)
    except (ValueError, OSError, SafetensorError) as error:
        # What to do about it comes after what is wrong, and transformers' tracebacks before.
        lines = (str(error).strip() or type(error).__name__).splitlines()
        _fail(lines[-1 if "Traceback" in str(error) else 0])
    for song, target in zip(_progress(found), targets, strict=True):
        try:
            result = chart_song(song, target, asked, players, charter=charter, metadata=metadata, **parameters)
            charted.append(result)
            if result.warning:
                typer.echo(f"warning: its own chart, and tempo, are left out: {result.warning}", err=True)
        except (ValueError, OSError, MemoryError, RuntimeError) as error:  # torch's lack of memory is the last
            reason = str(error) or "out of memory"
            typer.echo(f"error: {reason if str(song) in reason else f'{song}: {reason}'}", err=True)
    for result in charted:
        typer.echo(f"{result.folder}")
        for (instrument, difficulty), notes in result.notes.items():
            typer.echo(f"  {instrument} {difficulty:<7}{len(notes):5} notes")
        for instrument, confidence in result.confidence.items():
            stretches = [f"{_clock(start)}-{_clock(end)}" for start, end in least_sure(confidence)]
            if stretches:
                typer.echo(f"  {instrument} is least sure at {', '.join(stretches)}")
    if len(found) > 1:
        typer.echo(f"{len(charted)} of {len(found)} songs charted")
    if len(charted) < len(found):
        raise typer.Exit(1)


def _fail(reason: object):
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(1)


def _clock(seconds: float) -> str:
    return f"{int(max(seconds, 0)) // 60}:{int(max(seconds, 0)) % 60:02}"


def _progress(songs: list[Path]) -> Iterable[Path]:
    """The songs, with a bar of how many are done and how long the others will take, where someone sees it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("charting {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(songs))
        for song in songs:
            progress.update(task, description=escape(song.name))
            yield song
            progress.advance(task)


def _targets(songs: list[Path], output: Path, format: Format) -> list[Path]:
    """Where each of several songs is written to: under its own name, and another one where two have the same, or where
    another one of them lies, which is still to be read."""

    def place(path: Path) -> str:
        return str(path.resolve()).casefold()

    suffix = "" if format is Format.folder else f".{format.value}"
    places = [{place(song), place(song if song.is_dir() else song.parent)} for song in songs]
    taken, targets = Counter(other for own in places for other in own), []
    for song, own in zip(songs, places, strict=True):
        stem = song.resolve().name if song.is_dir() else song.stem
        names = (f"{stem} ({number})" if number > 1 else stem for number in count(1))
        candidates = (output / f"{name}{suffix}" for name in names)
        target = next(target for target in candidates if taken[place(target)] == (place(target) in own))
        taken[place(target)] += 1
        targets.append(target)
    return targets


@app.command()
def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Songs (folders, .sng, .zip, .chart, .mid), or folders with songs in them.")
    ],
):
    """Tell what players and other tools would object to in songs. Exits with 1 if there is anything."""
    from .charts import ChartError, check, check_song, read_song
    from .charts.song_folder import CHART_SUFFIXES

    songs, bad = 0, 0
    for path in _songs(paths):
        songs += 1
        try:
            song = read_song(path)
            is_chart = path.is_file() and path.suffix.lower() in CHART_SUFFIXES
            findings = [*song.chart.warnings, *map(str, check(song.chart) if is_chart else check_song(song))]
        except (ChartError, OSError) as error:
            findings = [f"error: {error}"]
        bad += bool(findings)
        typer.echo(f"{path}: {len(findings) or 'no'} problem{'' if len(findings) == 1 else 's'}")
        for finding in findings:
            typer.echo(f"  {finding}")
    if not songs:
        _fail("no song there")
    if songs > 1:
        typer.echo(f"{songs} songs, {bad} with problems")
    if bad:
        raise typer.Exit(1)


def _songs(paths: Iterable[Path], audio: bool = False) -> Iterable[Path]:
    """The songs that paths lead to: themselves, or those in folders that are no songs, and `audio` without a chart."""
    from .charts.library import song_paths

    for path in paths:
        yield from song_paths(path, AUDIO_NAMES if audio else ()) if path.is_dir() else [path]


@app.command()
def info(
    paths: Annotated[
        list[Path], typer.Argument(help="Songs (folders, .sng, .zip, .chart, .mid), or folders with songs in them.")
    ],
):
    """Tell what is in songs: name, length, tempo, audio, and the notes of every chart."""
    from .charts import ChartError, read_song

    failed, songs = False, 0
    for path in _songs(paths):
        songs += 1
        try:
            song = read_song(path)
        except (ChartError, OSError) as error:
            typer.echo(f"error: {error}", err=True)
            failed = True
            continue
        chart = song.chart
        tempos = sorted({round(bpm, 1) for _, bpm in chart.tempo_map.tempos})
        seconds = float(chart.tempo_map.seconds(chart.last_tick)) + chart.offset
        typer.echo(f"{song.metadata.get('artist', 'Unknown Artist')} - {song.metadata.get('name', path.stem)}")
        typer.echo(f"  charter  {song.metadata.get('charter', 'unknown')}")
        minutes, tenths = divmod(round(10 * seconds), 600)
        typer.echo(f"  length   {minutes}:{tenths / 10:04.1f}, to the chart's end")
        typer.echo(f"  tempo    {tempos[0]:g}" + (f" to {tempos[-1]:g}" if len(tempos) > 1 else "") + " BPM")
        typer.echo(f"  audio    {', '.join(stem.name for stem in song.stems) or 'none'}")
        for (instrument, difficulty), track in sorted(chart.tracks.items()):
            label = f"{instrument.name} {difficulty.name}".lower().replace("_", " ")
            typer.echo(f"  {label:<16}{len(track.notes):6} notes")
    if not songs:
        _fail("no song there")
    if failed:
        raise typer.Exit(1)


@app.command()
def preview(
    song: Annotated[Path, typer.Argument(help="A song: a folder, .sng, .zip, .chart or .mid.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="What to write; else the song's name, in this folder.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write pictures of one chart instead of a page.")] = False,
    difficulty: Annotated[str, typer.Option("--difficulty", "-d", help="Of the pictures.")] = "expert",
    instrument: Annotated[str, typer.Option("--instrument", "-i", help="Of the pictures.")] = "lead",
):
    """Write a page that plays a song on a highway, in any browser; or pictures of all its notes."""
    from .charts import Difficulty, Instrument, read_song
    from .preview import write_pictures, write_preview

    name = song.resolve().name if song.is_dir() else song.stem
    try:
        content = read_song(song)
        if png:
            asked = (Difficulty.parse(difficulty), Instrument.parse(instrument))
            written = write_pictures(content, output or Path(f"{name}.png"), *asked)
        else:
            written = [write_preview(content, output or Path(f"{name}.html"))]
    except (ValueError, OSError) as error:
        _fail(error)
    for path in written:
        typer.echo(path)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A song: a folder, .sng, .zip, .chart or .mid.")],
    target: Annotated[Path, typer.Argument(help="What to write: .sng, .zip, .chart, .mid, or else a song folder.")],
    midi: Annotated[
        bool, typer.Option("--midi", help="Write notes.mid instead of notes.chart into the song.")
    ] = False,
):
    """
    Convert a song, or its chart alone, to another format.

    Guitar, bass, rhythm and keys tracks are kept, five-fret and six-fret; drums and vocals are not, but lyrics are.
    """
    from .charts import ChartError, read_song, write_chart, write_midi, write_song
    from .charts.ini import read_ini
    from .charts.metadata import midi_settings, misleading_settings
    from .charts.song_folder import CHART_SUFFIXES, check_chart_target

    try:
        song = read_song(source)
        for warning in song.chart.warnings:
            typer.echo(f"warning: {source}: {warning}", err=True)
        if song.chart.left_out:
            typer.echo(f"warning: {source}: left out: {', '.join(song.chart.left_out)}", err=True)
        if target.suffix.lower() == ".mid":
            for setting, value in midi_settings(song.chart).items():
                typer.echo(f"warning: beside {target}, song.ini has to say {setting} = {value}", err=True)
        ini = target.parent / "song.ini"
        if target.suffix.lower() in CHART_SUFFIXES and ini.is_file():
            wrong = misleading_settings(read_ini(ini), song.chart, midi=target.suffix.lower() == ".mid")
            for key in sorted(wrong):
                typer.echo(f"warning: {key} in {ini} changes how {target} is read: take it out", err=True)
        writer = {".chart": write_chart, ".mid": write_midi}.get(target.suffix.lower())
        if writer:
            check_chart_target(target)
            writer(song.chart, target)
        else:
            write_song(
                target,
                song.chart,
                song.stems,
                album=song.album,
                metadata=song.metadata,
                chart_format="mid" if midi else "chart",
            )
    except (ChartError, OSError) as error:
        _fail(error)
    typer.echo(f"{target}")


if __name__ == "__main__":
    app()
