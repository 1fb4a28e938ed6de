"""The `tabhero` command."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write Clone Hero charts of songs.")


@app.callback()
def _commands():
    """Write Clone Hero charts of songs."""


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


if __name__ == "__main__":
    app()
