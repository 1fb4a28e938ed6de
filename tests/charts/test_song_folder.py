import subprocess
import sys

import pytest

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Instrument,
    Kind,
    Note,
    TempoMap,
    Track,
    format_chart,
    read_ini,
    read_song,
    write_song,
)
from tabhero_hf.charts import song_folder as module

KEY = (Instrument.LEAD, Difficulty.EXPERT)


def chart_of(notes=20, **fields):
    track = Track(*KEY, tuple(Note(480 + 240 * i, (i % 3,), 0, Kind.STRUM) for i in range(notes)))
    return Chart(TempoMap(480), {KEY: track}, **fields)


@pytest.fixture
def audio(tmp_path):
    path = tmp_path / "My Song.OGG"
    path.write_bytes(b"samples")
    return path


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_written_song_reads_the_same(tmp_path, audio):
    chart = chart_of(offset=0.123, metadata={"artist": "Ä"}, sections=((0, "Intro"),))
    folder = write_song(tmp_path / "new" / "Song", chart, audio, metadata={"year": "2020"}, song_length=61.5)
    assert sorted(content(folder)) == ["notes.chart", "song.ini", "song.ogg"]
    song = read_song(folder)
    assert (song.chart.tracks, song.chart.tempo_map, song.chart.offset) == (chart.tracks, chart.tempo_map, 0.123)
    assert song.chart.sections == chart.sections
    assert [stem.read_bytes() for stem in song.stems] == [b"samples"]
    assert song.metadata.items() >= {"name": "Song", "artist": "Ä", "year": "2020", "song_length": "61500"}.items()


def test_ini_has_what_clone_hero_reads_and_no_hopo_settings(tmp_path):
    ini = read_ini(write_song(tmp_path / "Song", chart_of(metadata={"hopo_frequency": "9"})) / "song.ini")
    assert set(ini) == set(
        "name artist album genre year charter song_length preview_start_time "
        "diff_guitar diff_guitar_coop diff_bass diff_rhythm diff_keys".split()
    )
    assert all(ini.values())
    assert (ini["diff_guitar"], ini["diff_bass"], ini["diff_guitar_coop"]) == ("2", "-1", "-1")
    assert ini["song_length"] == str(500 + 19 * 250)


def test_more_notes_are_harder():
    def estimate(beats_per_second):
        track = Track(*KEY, tuple(Note(48 * i, (0,)) for i in range(1000)))
        chart = Chart(TempoMap(480, ((0, beats_per_second * 6.0),)), {KEY: track})
        return module._ini_values(chart, {**module.DEFAULT_METADATA, "name": "x"}, None)["diff_guitar"]

    assert [estimate(density) for density in (0.5, 1.5, 2.5, 4, 5, 7, 12)] == [0, 1, 2, 3, 4, 5, 6]


def test_rewriting_a_song_replaces_it_and_keeps_what_else_is_there(tmp_path, audio):
    folder = tmp_path / "Song"
    folder.mkdir()
    for name in ("notes.mid", "Song.ini", "Guitar.mp3", "song.ogg", "album.png"):
        (folder / name).write_bytes(b"old")
    (folder / "extras").mkdir()
    (folder / "extras" / "song.ini").write_bytes(b"old")
    write_song(folder, chart_of(), audio)
    files = content(folder)
    assert sorted(files) == ["album.png", "extras/song.ini", "notes.chart", "song.ini", "song.ogg"]
    assert files["song.ogg"] == b"samples"
    assert files["extras/song.ini"] == b"old"


def test_without_audio_the_old_audio_stays(tmp_path, audio):
    folder = write_song(tmp_path / "Song", chart_of(), audio)
    write_song(folder, chart_of(5))
    assert [stem.name for stem in read_song(folder).stems] == ["song.ogg"]


@pytest.mark.parametrize("broken", ["write_chart", "write_ini", "_move_into_place"])
def test_failed_write_leaves_everything_as_it_was(tmp_path, audio, monkeypatch, broken):
    write_song(tmp_path / "Song", chart_of(), audio)
    before = content(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module, broken, fail)
    for name in ("Song", "Other"):
        with pytest.raises(OSError, match="disk full"):
            write_song(tmp_path / name, chart_of(3), audio)
    assert content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["My Song.OGG", "Song"]


def test_failed_last_step_puts_the_old_song_back(tmp_path, monkeypatch):
    folder = write_song(tmp_path / "Song", chart_of())
    before = content(folder)
    rename = module.Path.rename

    def fail_onto_song(self, target):
        if target == folder and ".old" not in self.name:
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(module.Path, "rename", fail_onto_song)
    with pytest.raises(OSError, match="disk full"):
        write_song(folder, chart_of(3))
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["Song"]


def test_folder_that_is_no_song_is_not_overwritten(tmp_path):
    folder = tmp_path / "Holiday"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(b"photo")
    with pytest.raises(ChartError, match="Holiday: not overwritten"):
        write_song(folder, chart_of())
    with pytest.raises(ChartError, match="a file is there"):
        write_song(folder / "photo.jpg", chart_of())
    assert content(tmp_path) == {"Holiday/photo.jpg": b"photo"}


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "Song").mkdir()
    assert read_song(write_song(tmp_path / "Song", chart_of())).chart.tracks


def test_audio_that_clone_hero_does_not_play_is_refused(tmp_path):
    (tmp_path / "song.aiff").write_bytes(b"")
    for name, reason in (("song.aiff", "Clone Hero plays"), ("song.ogg", "no such audio file")):
        with pytest.raises(ChartError, match=reason):
            write_song(tmp_path / "Song", chart_of(), tmp_path / name)
    assert not (tmp_path / "Song").exists()


@pytest.mark.parametrize(("delay", "offset"), [("", 0.5), ("0", 0.5), ("-250", -0.25), ("soon", 0.5)])
def test_delay_beats_offset(tmp_path, delay, offset):
    (tmp_path / "Notes.chart").write_text(format_chart(chart_of(offset=0.5, metadata={"name": "chart", "genre": "g"})))
    (tmp_path / "SONG.ini").write_text(f"[Song]\nname = ini\ndelay = {delay}\n")
    song = read_song(tmp_path)
    assert song.chart.offset == offset
    assert (song.metadata["name"], song.metadata["genre"]) == ("ini", "g")


def test_stems_are_the_song_without_crowd_and_preview(tmp_path):
    (tmp_path / "notes.chart").write_text(format_chart(chart_of()))
    for name in ("drums_1.opus", "Song.ogg", "guitar.mp3", "crowd.ogg", "preview.ogg", "song.mp3", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [stem.name for stem in read_song(tmp_path).stems] == ["Song.ogg", "guitar.mp3", "drums_1.opus"]


@pytest.mark.parametrize("there", [True, False])
def test_folder_without_a_chart_is_named(tmp_path, there):
    with pytest.raises(ChartError, match="Nothing"):
        folder = tmp_path / "Nothing"
        if there:
            folder.mkdir()
        read_song(folder)


def test_demo_song_reads(demo_song):
    song = read_song(demo_song)
    assert {difficulty for _, difficulty in song.chart.tracks} == {Difficulty.HARD, Difficulty.EXPERT}
    assert song.metadata["artist"] == "Sectoid"
    assert [stem.name for stem in song.stems] == ["song.ogg"]


def test_real_songs_survive_writing(real_songs, tmp_path):
    for folder in sorted(path.parent for path in real_songs.glob("*/*/notes.mid")):
        song = read_song(folder)
        again = read_song(write_song(tmp_path / folder.name, song.chart, song.stems[0]))
        assert again.chart.tracks == song.chart.tracks
        assert again.metadata["name"] == song.metadata["name"]


def test_charts_import_fast_and_without_heavy_libraries():
    heavy = "torch transformers mido librosa soundfile scipy".split()
    code = f"import sys, tabhero_hf.charts; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
