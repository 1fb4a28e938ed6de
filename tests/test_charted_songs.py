"""What `tabhero chart` writes of whole songs, real and made ones: nothing for `check` to say, and on the grid."""

from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from tabhero_hf import bundled_checkpoint
from tabhero_hf.arranging import holds
from tabhero_hf.arranging.snapping import BEAT_PARTS, GRIDS, LOW_CONFIDENCE
from tabhero_hf.charting import chart_song
from tabhero_hf.charts import Chart, Difficulty, Instrument, check_song, read_song
from tabhero_hf.data.made_library import make_library

MADE_SONGS, FIRST_SEED = 30, 900_000

pytestmark = pytest.mark.slow


class Listener:
    """The pipeline, which remembers how sure each beat of the last song was."""

    def __init__(self):
        self.pipeline = pipeline("audio-to-chart", model=bundled_checkpoint())
        self.confidence = None

    def __call__(self, song, **parameters):
        heard = self.pipeline(song, **parameters)
        self.confidence = heard["confidence"]
        return heard


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def made_songs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_library(folder, MADE_SONGS, FIRST_SEED, seconds=60.0)
    return folder


def on_grid(chart: Chart, confidence: np.ndarray) -> tuple[int, int]:
    """Of the notes on beats that are sure, how many are on a grid, and how many there are."""
    resolution = chart.tempo_map.resolution
    ticks = np.array([note.tick for track in chart.tracks.values() for note in track.notes])
    ticks = ticks[confidence[np.minimum(ticks // resolution, len(confidence) - 1)] >= LOW_CONFIDENCE]
    places = np.array([part * BEAT_PARTS // grid for grid in GRIDS for part in range(grid + 1)])
    away = np.abs((ticks % resolution)[:, None] - places * resolution / BEAT_PARTS).min(axis=1)
    return int((away <= 0.5).sum()), len(ticks)


def chart_all(songs: dict[str, list[Path]], listener: Listener, output: Path) -> float:
    """Charts songs from their stems alone, says what is wrong with one, and returns the share of notes on the grid."""
    counts = []
    for name, stems in songs.items():
        bare = output / "audio" / name
        bare.mkdir(parents=True)
        for stem in stems:
            (bare / stem.name).symlink_to(stem)
        chart_song(bare, output / name, charter=listener)
        charted = read_song(output / name)
        assert [str(problem) for problem in check_song(charted)] == [], name
        levels = {difficulty: charted.chart.tracks[Instrument.LEAD, difficulty] for difficulty in Difficulty}
        assert holds(levels), name
        counts.append(on_grid(charted.chart, listener.confidence))
    on, notes = np.sum(counts, axis=0)
    assert notes > 100 * len(songs)
    print(f"{on} of {notes} notes on sure beats are on the grid")
    return on / notes


def test_real_songs_are_charted_without_problems_and_on_the_grid(real_songs, listener, tmp_path):
    songs = {folder.name: sorted(folder.glob("*.ogg")) for folder in real_songs.glob("*/*/")}
    assert len(songs) == 8
    assert chart_all(songs, listener, tmp_path) >= 0.99


def test_made_songs_are_charted_without_problems_and_on_the_grid(made_songs, listener, tmp_path):
    songs = {folder.name: sorted(folder.glob("*.ogg")) for folder in made_songs.iterdir()}
    assert len(songs) == MADE_SONGS
    assert chart_all(songs, listener, tmp_path) >= 0.99
