import shutil

import pytest
from typer.testing import CliRunner

from tabhero_hf.charts import check_song, read_song
from tabhero_hf.cli import app


def tabhero(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_check_names_the_rule_the_track_and_the_time(demo_song):
    done = tabhero("check", demo_song / "notes.chart")
    assert done.exit_code == 1
    assert "(noSections)" in done.stdout and "Expert lead, 0:" in done.stdout


def test_check_of_a_library_counts_and_goes_on_after_an_error(demo_song, tmp_path):
    shutil.copytree(demo_song, tmp_path / "a" / "song")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.mid").write_bytes(b"nothing")
    done = tabhero("check", tmp_path)
    assert done.exit_code == 1
    assert "notes.mid, byte 0: not a MIDI file" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 songs, 2 with problems"


def test_check_where_nothing_is(tmp_path):
    done = tabhero("check", tmp_path)
    assert done.exit_code == 1 and done.stderr == "error: no song there\n"


def test_convert_there_and_back(demo_song, tmp_path):
    steps = [demo_song, tmp_path / "a.sng", tmp_path / "b.zip", tmp_path / "c", tmp_path / "d.chart"]
    for source, target in zip(steps, steps[1:]):
        done = tabhero("convert", source, target)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == f"{target}\n"
    first, last = read_song(demo_song), read_song(tmp_path / "d.chart")
    assert last.chart.tracks == first.chart.tracks and last.chart.offset == first.chart.offset
    with read_song(tmp_path / "a.sng").stems[0].open() as audio:
        assert audio.read() == (demo_song / "song.ogg").read_bytes()
    assert (tmp_path / "c" / "album.png").is_file()


def test_convert_to_midi_keeps_the_timing(demo_song, tmp_path):
    assert tabhero("convert", demo_song, tmp_path / "song", "--midi").exit_code == 0
    assert (tmp_path / "song" / "notes.mid").is_file() and not (tmp_path / "song" / "notes.chart").exists()
    first, last = read_song(demo_song).chart, read_song(tmp_path / "song").chart
    assert last.offset == pytest.approx(first.offset, abs=0.001)
    for key, track in first.tracks.items():
        assert [(n.tick, n.lanes, n.kind) for n in last.tracks[key].notes] == [
            (n.tick, n.lanes, n.kind) for n in track.notes
        ]


def test_convert_refuses_in_one_sentence_and_writes_nothing(demo_song, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    done = tabhero("convert", demo_song, tmp_path / "thesis")
    assert done.exit_code == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    assert tabhero("convert", tmp_path / "nothing", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


def test_charted_songs_pass_the_check(demo_song, tmp_path):
    done = tabhero("chart", demo_song, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert list(map(str, check_song(read_song(tmp_path / "out")))) == []
