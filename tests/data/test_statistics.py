import csv

import pytest
from made_songs import made_song

from tabhero_hf.charts import Difficulty, Instrument, Note, Phrase, TempoMap, Track
from tabhero_hf.charts.notes import Chart, Kind
from tabhero_hf.data.preparation import PreparationError, PreparationSettings, prepare_library
from tabhero_hf.data.statistics import dataset_statistics, format_statistics, note_statistics, write_statistics


def test_what_notes_are_like():
    notes = [
        (1.0, (0,), 0, 0.0),
        (1.5, (1,), 1, 0.0),
        (2.0, (0, 1), 2 | 4, 0.5),
        (4.0, (0,), 4, 0.25),
        (5.0, (6,), 1 | 4, 0.0),
    ]
    found = note_statistics(notes)
    assert found.notes == 5
    assert found.notes_per_second == 1.0  # four gaps in 4 s
    assert found.gap == 0.75
    assert (found.chords, found.sustains, found.hopos, found.taps, found.star_power) == (0.2, 0.4, 0.4, 0.2, 0.6)
    assert found.fret_entropy == pytest.approx(1.921928)  # shares of 2/5, 1/5, 1/5, 1/5


def test_a_single_note():
    found = note_statistics([(1.0, (0,), 0, 0.0)])
    assert (found.notes_per_second, found.gap, found.fret_entropy) == (0.0, 0.0, 0.0)


def test_a_prepared_dataset_has_a_row_for_each_chart(tmp_path):
    # A minute at 100 BPM then 200: notes on each beat, the middle ones in both windows.
    ticks = range(192, 192 * 120, 192)
    notes = tuple(Note(tick, (0, 1) if tick < 4000 else (2,), 0, Kind(tick // 192 % 3)) for tick in ticks)
    tempos = TempoMap(192, ((0, 100.0), (192 * 60, 200.0)))
    track = Track(Instrument.LEAD, Difficulty.EXPERT, notes, (Phrase(0, 192 * 10),))
    made_song(tmp_path / "songs" / "one", 1, Chart(tempos, {(track.instrument, track.difficulty): track}), seconds=60)
    prepare_library(tmp_path / "songs", tmp_path / "out", PreparationSettings(splits=(0, 0, 1)))

    rows = write_statistics(tmp_path / "out")
    assert rows == list(dataset_statistics(tmp_path / "out"))
    (row,) = rows
    assert (row.split, row.artist, row.title, row.difficulty, row.instrument, row.audio) == (
        *("test", "Artist", "one", "expert", "lead", "mix"),
    )
    assert row.notes.notes == len(notes) == 119
    assert row.notes.star_power == pytest.approx(9 / 119)
    assert row.notes.chords == pytest.approx(20 / 119)
    assert row.notes.gap == pytest.approx(0.45, abs=1e-4)  # as many gaps of 0.3 s as of 0.6 s
    assert row.tempo == pytest.approx(60 * 118 / (59 * 0.6 + 59 * 0.3), rel=1e-3)

    with (tmp_path / "out" / "statistics.csv").open(encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["title"], line["notes"], line["loudness"]) == ("one", "119", f"{row.loudness:.4g}")
    assert (tmp_path / "out" / "statistics.png").read_bytes().startswith(b"\x89PNG")
    assert "| expert | 1 | 119 |" in format_statistics(rows)


def test_a_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(PreparationError, match="no dataset"):
        write_statistics(tmp_path)
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(PreparationError, match="a.parquet: not a file that was prepared"):
        write_statistics(tmp_path)
