import pytest

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Instrument,
    Note,
    TempoMap,
    Track,
    find_songs,
    library,
    read_song,
    write_song,
)

KEY = (Instrument.LEAD, Difficulty.EXPERT)


def write(path, notes=4):
    track = Track(*KEY, tuple(Note(192 * i, (0,)) for i in range(1, notes + 1)))
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "a.ogg").write_bytes(b"samples")
    write_song(path, Chart(TempoMap(192, ((0, 60.0),)), {KEY: track}, offset=0.5), path.parent / "a.ogg")
    return path


@pytest.fixture
def songs(tmp_path):
    root = tmp_path / "songs"
    write(root / "b" / "Two")
    write(root / "b" / "one.SNG")
    write(root / "A" / "three.zip", 7)
    write(root / "Zero")
    write(root / "Zero" / "inner" / "Not searched")
    write(root / ".hidden" / "Song")
    (root / "b" / "readme.txt").write_text("hello")
    return root


def test_songs_are_found_in_order_with_what_a_data_set_needs(songs):
    found = find_songs(songs)
    assert [song.path.relative_to(songs).as_posix() for song in found.songs] == [
        "A/three.zip", "Zero", "b/Two", "b/one.SNG"
    ]  # fmt: skip
    assert found.unread == []
    song = found.songs[0]
    assert (song.counts, song.seconds, song.stems, song.warnings) == ({KEY: 7}, 7.5, ("song.ogg",), ())
    assert song.metadata == read_song(song.path).metadata


def test_what_cannot_be_read_is_told_and_hides_nothing(songs):
    (songs / "A" / "Broken").mkdir()
    (songs / "A" / "Broken" / "Notes.chart").write_bytes(b"nothing")
    (songs / "A" / "cut.sng").write_bytes((songs / "b" / "one.SNG").read_bytes()[:500])
    (songs / "b" / "other.zip").write_bytes(b"PK")
    found = find_songs(songs)
    assert len(found.songs) == 4
    assert [(entry.path.name, entry.reason) for entry in found.unread] == [
        (path.name, str(error_of(path))) for path in (songs / "A/Broken", songs / "A/cut.sng", songs / "b/other.zip")
    ]


def error_of(path):
    with pytest.raises(ChartError) as error:
        read_song(path)
    return error.value


def test_links_are_followed_but_not_in_circles(songs, tmp_path):
    (songs / "b" / "up").symlink_to(songs)
    (songs / "b" / "itself").symlink_to("itself")
    (songs / "b" / "nowhere.sng").symlink_to("nowhere")
    write(tmp_path / "elsewhere" / "Four")
    (songs / "c").symlink_to(tmp_path / "elsewhere")
    found = find_songs(songs)
    assert [song.path.name for song in found.songs] == ["three.zip", "Zero", "Two", "one.SNG", "Four"]
    assert found.unread == []


def test_processes_find_the_same(songs, monkeypatch, capfd):
    monkeypatch.setattr(library, "SONGS_PER_TASK", 2)
    (songs / "b" / "other.zip").write_bytes(b"PK")
    assert find_songs(songs, workers=2, progress=True) == find_songs(songs, workers=1)
    assert "5/5" in capfd.readouterr().err


def test_no_songs(tmp_path):
    assert find_songs(tmp_path) == ([], [])
    with pytest.raises(ChartError, match="none: no such folder"):
        find_songs(tmp_path / "none")


def test_the_real_songs_are_found(real_songs):
    assert len(find_songs(real_songs, workers=1).songs) == len(list(real_songs.glob("*/*/notes.mid")))
