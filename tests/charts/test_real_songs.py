"""The human charts of Debian's Frets on Fire songs: type 0 files, unnamed tracks, one file with its track twice."""

import pytest

from tabhero_hf.charts import Difficulty, Instrument, read_song

# Notes of each difficulty, counted in the files' bytes: ticks at which one of its five note numbers is struck.
COUNTS = {
    "muldjord/armygeddon": (377, 463, 809, 1524),
    "muldjord/chaos_god": (461, 521, 599, 713),
    "muldjord/internal_degeneration": (551, 583, 859, 1115),
    "muldjord/mutilated_mime": (447, 626, 815, 1153),
    "sectoid/Escape from chaosland": (0, 429, 671, 806),
    "sectoid/Feelings": (0, 0, 442, 591),
    "sectoid/Metal madness": (0, 202, 379, 483),
    "sectoid/War of freedom": (0, 691, 691, 691),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_note_is_read(real_songs, name):
    song = read_song(real_songs / name)
    assert {key: len(track.notes) for key, track in song.chart.tracks.items()} == {
        (Instrument.LEAD, difficulty): count
        for difficulty, count in zip(Difficulty, COUNTS[name], strict=True)
        if count
    }
    assert song.chart.warnings == ()
    assert song.stems
