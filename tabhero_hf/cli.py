"""The `tabhero` command."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Write Clone Hero charts of songs, check them and convert them."
)


@app.command()
def chart(
    song: Annotated[Path, typer.Argument(help="An audio file, or a song folder whose stems are charted.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Song folder to write.")],
    difficulties: Annotated[
        str, typer.Option("--difficulties", "-d", help="Comma-separated: easy, medium, hard, expert.")
    ] = "easy,medium,hard,expert",
    instruments: Annotated[
        str, typer.Option("--instruments", "-i", help="Comma-separated: lead, bass, rhythm, keys.")
    ] = "lead",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model folder or Hub name; the bundled one when unset.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The song's name; the file's when unset.")] = None,
    artist: Annotated[str | None, typer.Option(help="The song's artist.")] = None,
):
    """Chart a song and write a folder that Clone Hero plays."""
    from .charting import chart_song

    metadata = {key: value for key, value in {"name": name, "artist": artist}.items() if value}
    try:
        result = chart_song(
            song, output, difficulties.split(","), instruments.split(","), model=model, metadata=metadata
        )
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{result.folder}")
    for (instrument, difficulty), notes in result.notes.items():
        typer.echo(f"  {instrument} {difficulty}: {len(notes)} notes")


@app.command()
def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Songs (folders, .sng, .zip, .chart, .mid), or folders with songs in them.")
    ],
):
    """Tell what players and other tools would object to in songs. Exits with 1 if there is anything."""
    from .charts import ChartError, check, check_song, read_song

    songs, bad = 0, 0
    for path in _songs(paths):
        songs += 1
        try:
            song = read_song(path)
            is_chart = path.suffix.lower() in (".chart", ".mid")
            findings = [*song.chart.warnings, *map(str, check(song.chart) if is_chart else check_song(song))]
        except (ChartError, OSError) as error:
            findings = [f"error: {error}"]
        bad += bool(findings)
        typer.echo(f"{path}: {len(findings) or 'no'} problem{'' if len(findings) == 1 else 's'}")
        for finding in findings:
            typer.echo(f"  {finding}")
    if not songs:
        typer.echo("error: no song there", err=True)
    elif songs > 1:
        typer.echo(f"{songs} songs, {bad} with problems")
    if bad or not songs:
        raise typer.Exit(1)


def _songs(paths: Iterable[Path]) -> Iterable[Path]:
    """The songs that paths lead to: themselves, or those in folders that are no songs."""
    from .charts.library import song_paths
    from .charts.song_folder import CHART_NAMES

    for path in paths:
        if path.is_dir() and not any(file.name.lower() in CHART_NAMES for file in path.iterdir()):
            yield from song_paths(path)
        else:
            yield path


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

    try:
        song = read_song(source)
        for warning in song.chart.warnings:
            typer.echo(f"warning: {source}: {warning}", err=True)
        writer = {".chart": write_chart, ".mid": write_midi}.get(target.suffix.lower())
        if writer:
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
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{target}")


if __name__ == "__main__":
    app()
