"""Cuts the demo's song, and another song's audio beside it, from Debian's ``fretsonfire-songs-sectoid``.

    python scripts/cut_demo_song.py [SONGS] [FIXTURES]

SONGS is the package's folder of songs, FIXTURES the folder to write ``demo_song/`` and ``other_song.ogg`` to. The
chart's offset is measured on the guitar's stem and printed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from tabhero_hf.audio import load_audio
from tabhero_hf.audio.alignment import chart_lag
from tabhero_hf.audio.transcoding import write_ogg
from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, TempoMap, Track, find_stems, read_song, write_song

SONGS = Path("/usr/share/games/fretsonfire/data/songs/sectoid")
FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"

DEMO, DEMO_BARS = "Feelings", (0, 20)
OTHER, OTHER_SECONDS = "Escape from chaosland", (120.0, 170.0)
BEATS_PER_BAR = 4

PEAK = 0.9
FADE_SECONDS = 0.005
COMPRESSION_LEVEL = 0.7


def cut_chart(chart: Chart, start: int, end: int) -> Chart:
    """The notes from tick ``start`` to ``end`` of a chart of one tempo, moved to tick 0."""
    tracks = {}
    for key, track in chart.tracks.items():
        kept = [note for note in track.notes if start <= note.tick < end]
        notes = tuple(
            Note(note.tick - start, note.lanes, min(note.sustain, end - note.tick), note.kind) for note in kept
        )
        tracks[key] = Track(*key, notes)
    tempo_map = TempoMap(chart.tempo_map.resolution, ((0, round(chart.tempo_map.tempos[0][1], 3)),))
    return Chart(tempo_map, tracks, end_ticks=(end - start,))


def cut_mix(folder: Path, start: float, end: float) -> tuple[np.ndarray, int]:
    """The sum of a song's stems from ``start`` to ``end`` seconds, stereo, scaled to ``PEAK``, with its rate in Hz."""
    mix = 0
    for stem in find_stems(folder):
        rate = soundfile.info(stem).samplerate
        first, last = round(start * rate), round(end * rate)
        mix = mix + soundfile.read(stem, start=first, stop=last, dtype="float32", always_2d=True)[0]
    fade = np.linspace(0, 1, round(FADE_SECONDS * rate), dtype=np.float32)[:, None]
    mix[: len(fade)] *= fade
    mix[-len(fade) :] *= fade[::-1]
    return mix * (PEAK / np.abs(mix).max()), rate


def main(songs: Path = SONGS, fixtures: Path = FIXTURES) -> None:
    song = read_song(songs / DEMO)
    start, end = (bar * BEATS_PER_BAR * song.chart.tempo_map.resolution for bar in DEMO_BARS)
    start_seconds, end_seconds = song.chart.tempo_map.seconds([start, end])
    expert = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    onsets = np.array([note[0] for note in expert if start_seconds <= note[0] < end_seconds])
    offset = chart_lag(onsets, load_audio(songs / DEMO / "guitar.ogg"), 22050)
    chart = replace(cut_chart(song.chart, start, end), offset=offset)
    mix, rate = cut_mix(songs / DEMO, start_seconds, end_seconds)

    audio = fixtures / "song.ogg"
    write_ogg(audio, mix, rate, COMPRESSION_LEVEL)
    metadata = {
        "name": f"{DEMO} (excerpt)",
        "artist": "Sectoid",
        "album": "Sectoid Frets on Fire Song Pack",
        "genre": "Rock",
        "year": "2007",
        "charter": "Carlos Viola Iborra",
    }
    write_song(fixtures / "demo_song", chart, audio, metadata=metadata, song_length=len(mix) / rate)
    audio.unlink()

    other, rate = cut_mix(songs / OTHER, *OTHER_SECONDS)
    write_ogg(fixtures / "other_song.ogg", other.mean(axis=1), rate, COMPRESSION_LEVEL)
    print(f"{DEMO}: {start_seconds:.3f} s to {end_seconds:.3f} s, Offset = {offset}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
