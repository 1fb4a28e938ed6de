import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    TempoMap,
    Track,
    check_song,
    find_stems,
    format_chart,
    format_midi,
    packed,
    read_ini,
    read_song,
    write_sng,
    write_song,
)
from tabhero_hf.charts import song_folder as module
from tabhero_hf.charts.packed import open_content
from tabhero_hf.charts.zip_archive import read_zip, write_zip

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
    assert sorted(content(folder)) == ["album.png", "notes.chart", "song.ini", "song.ogg"]
    song = read_song(folder)
    assert (song.chart.tracks, song.chart.tempo_map, song.chart.offset) == (chart.tracks, chart.tempo_map, 0.123)
    assert song.chart.sections == chart.sections
    assert [stem.read_bytes() for stem in song.stems] == [b"samples"]
    assert song.metadata.items() >= {"name": "Song", "artist": "Ä", "year": "2020", "song_length": "61500"}.items()


def test_ini_has_what_clone_hero_reads_and_no_hopo_settings(tmp_path):
    ini = read_ini(
        write_song(tmp_path / "Song", chart_of(metadata={"hopo_frequency": "9", "delay": "7"})) / "song.ini"
    )
    assert set(ini) == set(
        "name artist album genre year charter song_length preview_start_time "
        "diff_guitar diff_guitar_coop diff_bass diff_rhythm diff_keys".split()
    )
    assert all(ini.values())
    assert (ini["diff_guitar"], ini["diff_bass"], ini["diff_guitar_coop"]) == ("2", "-1", "-1")
    assert ini["song_length"] == str(500 + 19 * 250)


def test_rewriting_a_song_replaces_it_and_keeps_what_else_is_there(tmp_path, audio):
    folder = tmp_path / "Song"
    folder.mkdir()
    for name in ("Song.ini", "Guitar.mp3", "song.ogg", "album.png"):
        (folder / name).write_bytes(b"old")
    (folder / "notes.mid").write_bytes(format_midi(chart_of(3)))
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


@pytest.mark.parametrize("broken", ["format_chart", "open_content", "_move_into_place"])
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


def test_who_stands_in_a_song_that_is_written_stays_in_it(tmp_path, audio, monkeypatch):
    folder = write_song(tmp_path / "Song", chart_of(), audio)
    (folder / "extras").mkdir()
    (folder / "extras" / "video.mp4").write_bytes(b"video")
    monkeypatch.chdir(folder)
    number = folder.stat().st_ino
    write_song(".", chart_of(3), audio)
    assert folder.stat().st_ino == number and len(read_song(".").chart.tracks[KEY].notes) == 3
    assert sorted(content(folder)) == ["album.png", "extras/video.mp4", "notes.chart", "song.ini", "song.ogg"]
    before, rename = content(folder), module.Path.rename

    def fail_late(self, target):
        if target == folder / "song.ini" and ".old" not in str(self):
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(module.Path, "rename", fail_late)
    with pytest.raises(OSError, match="disk full"):
        write_song(".", chart_of(5), audio)
    monkeypatch.undo()
    assert content(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["My Song.OGG", "Song"]


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


@pytest.mark.parametrize("target", ["Song", "Song.sng", "Song.zip"])
def test_a_chart_of_drums_is_not_written_over(tmp_path, audio, target):
    """Nor one of vocals; lyrics are kept."""
    drums = format_chart(chart_of()) + "[MediumDrums]\n{\n  0 = N 0 0\n}\n"
    (tmp_path / "Drums").mkdir()
    (tmp_path / "Drums" / "notes.chart").write_text(drums)
    path = tmp_path / target
    files = [("notes.chart", drums.encode()), ("song.ogg", audio)]
    if target == "Song":
        (tmp_path / "Drums").rename(path)
    elif target.endswith(".sng"):
        write_sng(path, {"name": "A"}, files)
    else:
        write_zip(path, files)
    with pytest.raises(ChartError, match=f"{target}: not overwritten: Drums of its notes.chart would be lost"):
        write_song(path, chart_of(3), audio)
    assert read_song(path).chart.left_out == ("Drums",)


def test_nor_are_drums_of_the_other_chart_of_a_song(tmp_path, audio):
    folder = write_song(tmp_path / "Song", chart_of(), audio)
    track = b"\0\xff\x03\x0aPART DRUMS\0\x90\x60\x64\x10\x60\0\0\xff\x2f\0"
    header = b"MThd\0\0\0\6\0\1\0\1\1\xe0"
    (folder / "notes.mid").write_bytes(header + b"MTrk" + len(track).to_bytes(4, "big") + track)
    with pytest.raises(ChartError, match="not overwritten: PART DRUMS of its notes.mid would be lost"):
        write_song(folder, chart_of(3))
    assert (folder / "notes.mid").is_file()


@pytest.mark.parametrize("target", ["Song", "Song.sng", "Song.zip"])
def test_audio_that_is_there_already_stays_with_all_stems(tmp_path, audio, target):
    guitar = tmp_path / "guitar.ogg"
    guitar.write_bytes(b"guitar")
    path = write_song(tmp_path / target, chart_of(), [audio, guitar])
    for stems in (read_song(path).stems, read_song(path).stems[1:]):
        write_song(path, chart_of(5), stems)
        assert {stem.name: packed.read_whole(stem) for stem in read_song(path).stems} == {
            "song.ogg": b"samples",
            "guitar.ogg": b"guitar",
        }
    write_song(path, chart_of(5), guitar)  # which is another file of that name
    assert [packed.read_whole(stem) for stem in read_song(path).stems] == [b"guitar"]


def test_music_that_a_chart_names_is_written_beside_the_stems(tmp_path):
    folder = tmp_path / "Old"
    folder.mkdir()
    (folder / "Band - Tune.ogg").write_bytes(b"backing")
    (folder / "guitar.ogg").write_bytes(b"guitar")
    named = format_chart(chart_of(metadata={"musicstream": "Band - Tune.ogg"}))
    (folder / "notes.chart").write_text(named)
    song = read_song(folder)
    new = read_song(write_song(tmp_path / "New", song.chart, song.stems, metadata=song.metadata))
    expected = {"song.ogg": b"backing", "guitar.ogg": b"guitar"}
    assert {stem.name: stem.read_bytes() for stem in new.stems} == expected
    write_song(folder, song.chart, song.stems, metadata=song.metadata)
    again = {"Band - Tune.ogg": b"backing", "guitar.ogg": b"guitar"}
    assert {stem.name: stem.read_bytes() for stem in read_song(folder).stems} == again


def test_a_zip_with_more_than_a_song_is_not_written_over(tmp_path, audio):
    folder, path = write_song(tmp_path / "Song", chart_of(), audio), tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Pack/B/notes.chart", b"[Song]")
        for name, data in content(folder).items():
            archive.writestr(f"A/{name}", data)
    before = path.read_bytes()
    assert read_song(path).chart.tracks
    with pytest.raises(ChartError, match="a.zip: not overwritten: it holds more than a song's folder"):
        write_song(path, chart_of(3))
    assert path.read_bytes() == before


def test_audio_that_clone_hero_does_not_play_is_refused(tmp_path):
    (tmp_path / "song.aiff").write_bytes(b"")
    for name, reason in (("song.aiff", "Clone Hero takes audio in"), ("song.ogg", "no such audio file")):
        with pytest.raises(ChartError, match=reason):
            write_song(tmp_path / "Song", chart_of(), tmp_path / name)
    assert not (tmp_path / "Song").exists()


@pytest.mark.parametrize(
    ("delay", "offset"), [("", 0.5), ("0", 0.5), ("-250", -0.25), ("soon", 0.5), ("-1", 0.5), ("1e308", 0.5)]
)
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


TARGETS = ["Song", "Song.sng", "Song.zip"]


@pytest.mark.parametrize("chart_format", ["chart", "mid"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_container_and_chart_format_reads_back(tmp_path, target, chart_format):
    solos = (Phrase(480, 960), Phrase(2400, 480))
    track = Track(*KEY, tuple(Note(480 + 240 * i, (i % 3,), 0, Kind(i % 2)) for i in range(20)), solos=solos)
    chart = Chart(TempoMap(480, ((0, 100.0),)), {KEY: track}, offset=0.123, sections=(Event(0, "Intro"),))
    stems = []
    for name in ("song.ogg", "guitar.opus"):
        stems.append(tmp_path / name)
        stems[-1].write_bytes(name.encode() * 99)
    metadata = {"name": "N; 100 %", "artist": "Ä", "icon": "i", "hopo_frequency": "9"}
    path = write_song(tmp_path / "new" / target, chart, stems, metadata=metadata, chart_format=chart_format)
    song = read_song(path)
    assert (song.chart.tracks, song.chart.offset, song.chart.sections) == (chart.tracks, 0.123, chart.sections)
    assert song.metadata.items() >= {"artist": "Ä", "icon": "i", "diff_guitar": "2", "year": "Unknown"}.items()
    assert song.metadata["name"] == ("N, 100 %" if target == "Song.sng" else "N; 100 %")
    assert "hopo_frequency" not in song.metadata
    assert {file.name: open_content(file).read() for file in song.stems} == {
        name: name.encode() * 99 for name in ("song.ogg", "guitar.opus")
    }
    assert (song.album.name, open_content(song.album).read(4)) == ("album.png", b"\x89PNG")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == [target]


@pytest.mark.parametrize("target", TARGETS)
def test_a_written_song_lacks_nothing_that_players_look_for(tmp_path, audio, target):
    song = read_song(write_song(tmp_path / target, chart_of(), audio))
    assert not {problem.rule for problem in check_song(song)} & {
        "missingValue",
        "noAlbumArt",
        "albumArtSize",
        "noAudio",
    }


@pytest.mark.parametrize("target", TARGETS)
def test_without_audio_and_album_the_old_ones_stay_wherever_they_are(tmp_path, audio, target):
    (tmp_path / "art.jpg").write_bytes(b"painted")
    path = write_song(tmp_path / target, chart_of(), audio, album=tmp_path / "art.jpg")
    song = read_song(write_song(path, chart_of(5), chart_format="mid"))
    assert len(song.chart.tracks[KEY].notes) == 5
    assert [open_content(stem).read() for stem in song.stems] == [b"samples"]
    assert (song.album.name, open_content(song.album).read()) == ("album.jpg", b"painted")


def test_a_name_that_is_no_text_is_written_as_far_as_it_is(tmp_path):
    song = read_song(write_song(tmp_path / os.fsdecode(b"Caf\xe9"), chart_of()))
    assert song.metadata["name"] == "Caf\ufffd"


def test_songs_go_from_container_to_container(tmp_path, audio):
    (tmp_path / "art.png").write_bytes(b"painted")
    path = write_song(tmp_path / "Song.0", chart_of(), audio, album=tmp_path / "art.png", metadata={"icon": "i"})
    first = read_song(path)
    for target in ("Song.sng", "Song.zip", "Song 2.sng", "Song 3"):
        song = read_song(path)
        path = write_song(tmp_path / target, song.chart, song.stems, album=song.album)
    last = read_song(path)
    assert (last.chart, last.metadata) == (first.chart, first.metadata)
    assert content(path) == content(tmp_path / "Song.0")


@pytest.mark.parametrize("target", ["Song.sng", "Song.zip"])
def test_failed_write_leaves_the_old_archive(tmp_path, audio, target, monkeypatch):
    path = write_song(tmp_path / target, chart_of(), audio)
    before = content(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(packed.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_song(path, chart_of(3), audio)
    assert content(tmp_path) == before


def test_archives_that_are_no_songs_are_not_overwritten(tmp_path):
    with zipfile.ZipFile(tmp_path / "Holiday.zip", "w") as archive:
        archive.writestr("photo.jpg", b"photo")
    (tmp_path / "Letter.sng").write_bytes(b"Dear")
    (tmp_path / "Folder.sng").mkdir()
    before = content(tmp_path)
    for name, reason in (
        ("Holiday.zip", "not overwritten: it is no song"),
        ("Letter.sng", "not overwritten: it is no song"),
        ("Folder.sng", "a folder is there"),
    ):
        with pytest.raises(ChartError, match=reason):
            write_song(tmp_path / name, chart_of())
    assert content(tmp_path) == before


def test_a_zipped_folder_reads_and_stays_whole(tmp_path, audio):
    folder = write_song(tmp_path / "Song", chart_of(offset=0.5), audio)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/Song/._notes.chart", b"junk")
        archive.writestr("Song/inner.zip", b"PK")
        for name, data in content(folder).items():
            archive.writestr(f"Song/{name.upper()}", data)
    song = read_song(path)
    assert (song.chart, song.metadata) == read_song(folder)[:2]
    assert [stem.open().read() for stem in song.stems] == [b"samples"]
    assert read_zip(write_song(path, chart_of(3))).keys() == {
        *("notes.chart", "song.ini", "SONG.OGG", "ALBUM.PNG", "inner.zip")
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Song/guitar.ogg", b"samples")  # which waits for its chart
    assert [stem.name for stem in find_stems(path)] == ["guitar.ogg"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("One/notes.chart", "Two/notes.mid", "Three/deeper/notes.chart"):
            archive.writestr(name, b"")
    with pytest.raises(ChartError, match="a.zip: holds 2 songs"):
        read_song(path)


def test_a_bare_chart_reads_with_what_is_beside_it(tmp_path, audio):
    folder = write_song(tmp_path / "Song", chart_of(5), audio, metadata={"artist": "A"})
    (folder / "old.chart").write_text(format_chart(chart_of(3)))
    write_song(tmp_path / "Other", chart_of(4), chart_format="mid")
    shutil.copy(tmp_path / "Other" / "notes.mid", folder / "Old.MID")
    for name, notes in (("notes.chart", 5), ("old.chart", 3), ("Old.MID", 4)):
        song = read_song(folder / name)
        assert len(song.chart.tracks[KEY].notes) == notes
        assert ([stem.name for stem in song.stems], song.metadata["artist"]) == (["song.ogg"], "A")
    with pytest.raises(ChartError, match="song.ogg: a song is a folder or one of .sng, .zip, .chart, .mid"):
        read_song(folder / "song.ogg")


def test_a_broken_chart_is_named_wherever_it_is(tmp_path):
    write_sng(tmp_path / "a.sng", {}, [("notes.chart", b"[Song]\n{\n  Resolution = 0\n}\n")])
    with pytest.raises(ChartError, match="a.sng/notes.chart, line 3"):
        read_song(tmp_path / "a.sng")


def test_sng_metadata_is_song_ini(tmp_path):
    chart = format_chart(chart_of(offset=0.5)).encode()
    metadata = {"name": "<b>Bold</b>", "delay": "250", "diff_guitar": "4"}
    write_sng(tmp_path / "a.sng", metadata, [("Notes.chart", chart), ("song.ini", b"name = no"), ("Song.OGG", b"x")])
    song = read_song(tmp_path / "a.sng")
    assert (song.metadata["name"], song.chart.offset, song.stems[0].name) == ("Bold", 0.25, "Song.OGG")


@pytest.mark.parametrize(
    ("music_stream", "found"),
    [("My Track.ogg", True), ("my track.OGG", True), ("../My Track.ogg", False), ("photo.jpg", False), ("", False)],
)
def test_music_stream_is_the_song_where_no_other_file_is(tmp_path, music_stream, found):
    folder = tmp_path / "Song"
    folder.mkdir()
    (tmp_path / "My Track.ogg").write_bytes(b"outside")
    (folder / "My Track.ogg").write_bytes(b"samples")
    (folder / "photo.jpg").write_bytes(b"photo")
    (folder / "notes.chart").write_text(format_chart(chart_of(metadata={"musicstream": music_stream})))
    expected = [folder / "My Track.ogg"] if found else []
    assert read_song(folder).stems == find_stems(folder) == expected
    (folder / "guitar.ogg").write_bytes(b"guitar")
    assert find_stems(folder) == [*expected, folder / "guitar.ogg"]
    (folder / "song.ogg").write_bytes(b"song")
    assert find_stems(folder) == [folder / "song.ogg", folder / "guitar.ogg"]
    (folder / "song.ogg").unlink()
    (folder / "notes.chart").write_text("no chart")
    assert find_stems(folder) == [folder / "guitar.ogg"]


def test_unset_values_do_not_hide_the_charts_own(tmp_path):
    (tmp_path / "notes.chart").write_text(format_chart(chart_of(metadata={"year": "1999"})))
    (tmp_path / "song.ini").write_text("[song]\nyear = -1\ndiff_guitar = -1\n")
    metadata = read_song(tmp_path).metadata
    assert (metadata["year"], metadata["diff_guitar"]) == ("1999", "-1")


def test_stems_have_names_that_are_played(tmp_path):
    for name in ("a.ogg", "song.ogg", "song.mp3"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "song.ogg").write_bytes(b"")
    for names in (("a.ogg", "song.ogg"), ("song.ogg", "x/song.ogg")):
        with pytest.raises(ChartError, match="stems have different names"):
            write_song(tmp_path / "Song", chart_of(), [tmp_path / name for name in names])
    with pytest.raises(ValueError, match="not 'midi'"):
        write_song(tmp_path / "Song", chart_of(), chart_format="midi")
    with pytest.raises(ChartError, match="takes picture in .png"):
        write_song(tmp_path / "Song", chart_of(), album=tmp_path / "a.ogg")
    assert not (tmp_path / "Song").exists()


def test_real_songs_survive_packing(real_songs, tmp_path):
    for i, folder in enumerate(sorted(path.parent for path in real_songs.glob("*/*/notes.mid"))):
        song = read_song(folder)
        again = read_song(write_song(tmp_path / f"{i}.sng", song.chart, song.stems))
        assert (again.chart.tracks, again.chart.tempo_map) == (song.chart.tracks, rounded(song.chart.tempo_map))
        assert again.metadata.items() >= song.metadata.items() - {("delay", song.metadata.get("delay"))}
        for stem, packed_stem in zip(song.stems, again.stems, strict=True):
            assert packed_stem.open().read() == stem.read_bytes()


def rounded(tempo_map):
    """With the tempos that a ``.chart`` holds."""
    return replace(tempo_map, tempos=tuple((tick, round(bpm, 3)) for tick, bpm in tempo_map.tempos))


def test_charts_import_fast_and_without_heavy_libraries():
    heavy = "torch transformers mido librosa soundfile scipy PIL tqdm multiprocessing".split()
    code = f"import sys, tabhero_hf.charts; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
