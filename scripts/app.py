#!/usr/bin/env python
"""
A web page that charts the song which is dropped on it, on this machine or as a Space (`docs/demo.md`).

    python scripts/app.py
"""

import html
import os
import tempfile
from pathlib import Path

import gradio as gr
from transformers import pipeline

from tabhero_hf import bundled_checkpoint
from tabhero_hf.audio.loading import audio_duration, audio_files, is_song
from tabhero_hf.charting import chart_song
from tabhero_hf.charts import Difficulty, Instrument, read_song, write_song
from tabhero_hf.charts.packed import content_size
from tabhero_hf.charts.song_folder import ARCHIVE_SUFFIXES, song_files
from tabhero_hf.cli import AUDIO_NAMES
from tabhero_hf.preview import write_preview

MAX_BYTES = 100 * gr.FileSize.MB
MAX_MINUTES = 10
MAX_WAITING = 20
"""Songs in the queue; one is charted at a time."""

KEPT_SECONDS = 3600
"""How long what was uploaded and charted can be downloaded."""

charter = pipeline("audio-to-chart", model=bundled_checkpoint())


def chart(upload: str | None, difficulties: list[str], instruments: list[str], progress=gr.Progress()):
    """Yields the preview, as HTML, and the `.zip` and the `.sng`, which are gone after that."""
    if upload is None:
        raise refusal("Choose a song first.")
    if not difficulties or not instruments:
        raise refusal("Choose a difficulty and an instrument at least.")
    song = Path(upload)
    with tempfile.TemporaryDirectory(prefix="tabhero-") as folder:
        packed = Path(folder) / f"{song.stem}.zip"
        try:
            progress(0, "Listening")
            check_limits(song)
            chart_song(
                song,
                packed,
                difficulties,
                instruments,
                charter=charter,
                monitor_progress=lambda done, total: progress((done, total), "Charting", unit="windows"),
            )
            charted = read_song(packed)
            page = write_preview(charted, Path(folder) / "preview.html").read_text("utf-8")
            sng = packed.with_suffix(".sng")
            write_song(sng, charted.chart, charted.stems, album=charted.album, metadata=charted.metadata)
        except (ValueError, OSError) as error:
            raise refusal(str(error).replace(f"{song.parent}{os.sep}", "").replace(f"{folder}{os.sep}", "")) from error
        # Gradio copies the files before it asks for more.
        yield preview_frame(page), *(gr.DownloadButton(value=path, interactive=True) for path in (sng, packed))


def check_limits(song: Path):
    """Raises `ValueError` for a song that is too large or too long."""
    stems = audio_files(song)
    source = song_files(song) if is_song(song) else None
    carried = [file for file in (source.album, source.chart) if file] if source else []
    if sum(map(content_size, [*stems, *carried])) > MAX_BYTES:
        raise ValueError(f"{song.name}: unpacks to more than {MAX_BYTES // gr.FileSize.MB} MB")
    minutes = audio_duration(stems) / 60
    if minutes > MAX_MINUTES:
        raise ValueError(f"{song.name}: {minutes:.1f} minutes long, over the limit of {MAX_MINUTES}")


def refusal(reason: str) -> gr.Error:
    # Gradio reads messages as HTML.
    return gr.Error(html.escape(reason, quote=False), title="Not charted", print_exception=False)


def preview_frame(page: str) -> str:
    # A sandbox without `allow-same-origin`: whatever a song's texts say, the page cannot reach the one around it.
    return f'<iframe title="Preview" sandbox="allow-scripts" allow="autoplay" srcdoc="{html.escape(page)}"></iframe>'


with gr.Blocks(title="Tab Hero", analytics_enabled=False, delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS)) as demo:
    gr.Markdown(
        "# Tab Hero\n\nDrop a song, get a chart for [Clone Hero](https://clonehero.net). "
        f"Up to {MAX_MINUTES} minutes and {MAX_BYTES // gr.FileSize.MB} MB; everything is deleted after an hour."
    )
    with gr.Row():
        upload = gr.File(
            label="Song: an audio file, or a song's .zip or .sng", file_types=[*AUDIO_NAMES, *ARCHIVE_SUFFIXES]
        )
        with gr.Column():
            names = [difficulty.name.lower() for difficulty in Difficulty]
            difficulties = gr.CheckboxGroup(names, value=names, label="Difficulties")
            names = [instrument.name.lower() for instrument in Instrument][: charter.model.config.num_instruments]
            instruments = gr.CheckboxGroup(names, value=names[:1], label="Instruments")
            button = gr.Button("Chart", variant="primary")
    preview = gr.HTML(css_template="iframe { width: 100%; height: 80vh; border: 0; }")
    with gr.Row():
        downloads = [gr.DownloadButton(f"Download {suffix}", interactive=False) for suffix in ARCHIVE_SUFFIXES]
    button.click(chart, [upload, difficulties, instruments], [preview, *downloads], api_name="chart")

demo.queue(max_size=MAX_WAITING, default_concurrency_limit=1)

if __name__ == "__main__":
    demo.launch(max_file_size=MAX_BYTES)
