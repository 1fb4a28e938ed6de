"""A song as one web page whose highway scrolls with the audio."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tabhero_hf.audio.loading import audio_duration, load_audio, open_audio
from tabhero_hf.audio.transcoding import to_ogg, write_ogg
from tabhero_hf.charts.album_art import FIVE_FRET_COLORS, OPEN_COLOR, SIX_FRET_COLORS
from tabhero_hf.charts.check import check_song, instrument_name, sustains
from tabhero_hf.charts.notes import Chart, Difficulty, Instrument, Phrase, Track, in_phrases
from tabhero_hf.charts.packed import File, open_content, replacing
from tabhero_hf.charts.song_folder import Song

from .beats import beat_lines

MIX_RATE = 44100
DECIMALS = 4
"""Of seconds in the page."""


def write_preview(song: Song, path: str | os.PathLike[str]) -> Path:
    """Writes a song as one HTML page that needs no network, or leaves what was there as it was.

    The page holds the audio: a single Ogg as it is, another file as Ogg, and several stems as their sum, in mono. A
    song without audio scrolls in silence.

    Args:
        song: as :func:`~tabhero_hf.charts.read_song` gives it.
        path: of the page; missing parents are made.

    Returns:
        The path.

    Raises:
        ValueError: the chart has no notes, or the audio cannot be used
            (:class:`~tabhero_hf.audio.AudioError`).
        OSError: the page cannot be written.
    """
    path = Path(path)
    if not any(track.notes for track in song.chart.tracks.values()):
        raise ValueError("the chart has no notes to show")
    html, style, script = (
        (Path(__file__).with_name(f"page.{kind}")).read_text("utf-8") for kind in ("html", "css", "js")
    )
    # Nothing but this script and this style runs, whatever a song's texts say.
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; media-src blob:; "
        f"script-src '{_digest(script)}'; style-src '{_digest(style)}'"
    )
    page = Template(html).substitute(
        policy=policy,
        style=style,
        script=script,
        data=json.dumps(_page_data(song), separators=(",", ":")).replace("<", "\\u003c"),
        audio=base64.b64encode(_ogg(song.stems)).decode(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as building:
        building.write_text(page, "utf-8", newline="\n")
    return path


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


# The audio


def _ogg(stems: Sequence[File]) -> bytes:
    """The sum of the stems as an Ogg file, in which browsers seek exactly; empty where there is none."""
    if not stems:
        return b""
    if len(stems) > 1:
        return _mixed(stems)
    with open_audio(stems[0]) as sound:
        container = sound.format
    if container == "OGG":
        with open_content(stems[0]) as file:
            return file.read()
    with TemporaryDirectory() as folder:
        return to_ogg(stems[0], Path(folder) / "song.ogg").read_bytes()


def _mixed(stems: Sequence[File]) -> bytes:
    mix = load_audio(stems, MIX_RATE)
    mix /= max(1.0, mix.max(), -mix.min())
    buffer = io.BytesIO()
    write_ogg(buffer, mix, MIX_RATE)
    return buffer.getvalue()


# What the script reads; all times are seconds of the audio


def _page_data(song: Song) -> dict[str, Any]:
    chart = song.chart
    audio_seconds = audio_duration(song.stems) if song.stems else 0.0
    audio_ticks = int(chart.tempo_map.ticks(audio_seconds - chart.offset))
    beats, measures = beat_lines(chart.tempo_map, max(chart.last_tick, audio_ticks))
    tracks = [track for key, track in sorted(chart.tracks.items()) if track.notes]
    return {
        "name": song.metadata.get("name", ""),
        "artist": song.metadata.get("artist", ""),
        "charter": song.metadata.get("charter", ""),
        "audioSeconds": audio_seconds,
        "duration": max(audio_seconds, *_seconds(chart, [chart.last_tick])),
        "beats": _seconds(chart, beats),
        "measures": measures.astype(int).tolist(),
        "sections": {
            "times": _seconds(chart, [section.tick for section in chart.sections]),
            "names": [section.text for section in chart.sections],
        },
        "tracks": [_track_data(chart, track) for track in tracks],
        "problems": [
            {
                "seconds": None if problem.seconds is None else round(problem.seconds + chart.offset, DECIMALS),
                "instrument": _label(problem.instrument),
                "difficulty": _label(problem.difficulty),
                "text": str(problem),
            }
            for problem in check_song(song)
        ],
        "openColor": _css(OPEN_COLOR),
    }


def _track_data(chart: Chart, track: Track) -> dict[str, Any]:
    ticks = np.array([note.tick for note in track.notes])
    owners, lanes, ends = sustains(track.notes)
    return {
        "instrument": _label(track.instrument),
        "difficulty": _label(track.difficulty),
        "colors": [_css(color) for color in (SIX_FRET_COLORS if track.instrument.six_fret else FIVE_FRET_COLORS)],
        "times": _seconds(chart, ticks),
        "lanes": [note.lanes for note in track.notes],
        "kinds": [int(note.kind) for note in track.notes],
        "starred": in_phrases(ticks, track.star_power).astype(int).tolist(),
        # By lane, so that none overlaps the next and the visible ones can be found by bisection.
        "sustains": [
            {
                "lane": lane,
                "starts": _seconds(chart, ticks[owners[lanes == lane]]),
                "ends": _seconds(chart, ends[lanes == lane]),
            }
            for lane in track.instrument.lanes
        ],
        "starPower": _spans(chart, track.star_power),
    }


def _spans(chart: Chart, phrases: Sequence[Phrase]) -> dict[str, list[float]]:
    return {
        "starts": _seconds(chart, [phrase.tick for phrase in phrases]),
        "ends": _seconds(chart, [phrase.end for phrase in phrases]),
    }


def _seconds(chart: Chart, ticks: ArrayLike) -> list[float]:
    return np.round(chart.tempo_map.seconds(np.asarray(ticks)) + chart.offset, DECIMALS).tolist()


def _label(value: Instrument | Difficulty | None) -> str | None:
    if value is None:
        return None
    return (instrument_name(value) if isinstance(value, Instrument) else value.name).capitalize()


def _css(color: tuple[int, int, int]) -> str:
    return f"rgb({', '.join(map(str, color))})"
