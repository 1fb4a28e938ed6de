"""``chart_song`` around the model, which is played by a stand-in here."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tabhero_hf.audio import AudioError
from tabhero_hf.charting import chart_song, file_metadata
from tabhero_hf.charts import Chart, ChartError, Difficulty, Instrument, Note, TempoMap, Track, read_song, write_song

TRACK = Track(Instrument.LEAD, Difficulty.EXPERT, (Note(960, (0,)), Note(1152, (1,))))
CHART = Chart(TempoMap(192), {(Instrument.LEAD, Difficulty.EXPERT): TRACK})


def charter(song, **parameters):
    return {"chart": CHART, "notes": {}, "measure_confidence": {}}


def silent_charter(song, **parameters):
    raise AssertionError("the model was asked")


@pytest.fixture
def tone():
    return 0.3 * np.sin(np.arange(3 * 22050) / 10)


def test_a_last_note_behind_a_lead_in_is_within_the_song_from_tick_0(tmp_path, tone):
    """As scan-chart counts; the audio begins later then, and the note is within it."""
    soundfile.write(tmp_path / "a.ogg", tone, 22050)
    track = Track(Instrument.LEAD, Difficulty.EXPERT, (Note(48, (0,)), Note(1101, (1,))))
    early = Chart(TempoMap(192), {(Instrument.LEAD, Difficulty.EXPERT): track})
    heard = {"chart": early, "notes": {}, "measure_confidence": {}}
    song = read_song(chart_song(tmp_path / "a.ogg", tmp_path / "Song", charter=lambda song, **_: heard).folder)
    (end,) = song.chart.tempo_map.seconds(song.chart.end_ticks).tolist()
    assert song.chart.offset < -1 and end > 3.0
    assert end <= song.duration < end + 0.001
    assert end + song.chart.offset <= 3.0


@pytest.mark.parametrize("output", ["Song", "Song.sng", "Song.zip"])
@pytest.mark.parametrize("name", ["a.aiff", "a.au", "a.w64"])
def test_audio_that_clone_hero_does_not_play_is_written_as_ogg(tmp_path, tone, name, output):
    soundfile.write(tmp_path / name, tone, 22050)
    charted = chart_song(tmp_path / name, tmp_path / "out" / output, charter=charter)
    song = read_song(charted.folder)
    assert [stem.name for stem in song.stems] == ["song.ogg"]
    assert song.chart.tracks == CHART.tracks
    assert (song.metadata["name"], song.metadata["charter"]) == ("a", "tabhero_hf")
    assert song.metadata["song_length"] == "3000"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [output]


def test_audio_is_copied_where_it_is_played(tmp_path, tone):
    soundfile.write(tmp_path / "a.flac", tone, 22050)
    folder = chart_song(tmp_path / "a.flac", tmp_path / "Song", charter=charter).folder
    assert (folder / "song.flac").read_bytes() == (tmp_path / "a.flac").read_bytes()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Band - Tune", {"artist": "Band", "name": "Tune"}),
        ("01 - Tune", {"name": "Tune"}),
        ("117. - Tune", {"name": "Tune"}),
        ("1999 - Tune", {"artist": "1999", "name": "Tune"}),
    ],
)
def test_what_a_files_name_says(tmp_path, tone, name, told):
    soundfile.write(tmp_path / f"{name}.wav", tone, 22050)
    assert file_metadata(tmp_path / f"{name}.wav") == told


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("2009-05-12", "2009"),
        ("12.05.2009", "2009"),
        ("20090512", "2009"),
        ("12052009", "12052009"),
        ("a while ago", "a while ago"),
    ],
)
def test_the_year_of_a_date_is_taken(tmp_path, tone, date, year):
    path = tmp_path / "Tune.ogg"
    with soundfile.SoundFile(path, "w", 22050, 1) as file:
        file.date = date
        file.write(tone)
    assert file_metadata(path)["year"] == year


def test_old_tags_that_are_no_text_do_not_replace_the_name(tmp_path, tone):
    path = tmp_path / "Motörhead - Überflug.mp3"
    soundfile.write(path, tone, 22050)
    with path.open("ab") as file:
        file.write(b"TAG" + b"\xdcberflug".ljust(30, b"\0") + b"Mot\xf6rhead".ljust(30, b"\0"))
        file.write(b"Plain".ljust(30, b"\0") + b"1979" + bytes(30) + b"\xff")
    assert file_metadata(path) == {"artist": "Motörhead", "name": "Überflug", "album": "Plain", "year": "1979"}


@pytest.mark.parametrize("source", ["Source", "Source.sng", "Source.zip"])
def test_a_songs_metadata_and_picture_are_taken_over(tmp_path, tone, source):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    soundfile.write(tmp_path / "guitar.ogg", tone, 22050)
    (tmp_path / "art.jpg").write_bytes(b"painted")
    metadata = {"artist": "A", "album": "B", "charter": "a human", "diff_guitar": "6", "icon": "i", "delay": "99"}
    stems = [tmp_path / "song.ogg", tmp_path / "guitar.ogg"]
    path = write_song(tmp_path / source, CHART, stems, album=tmp_path / "art.jpg", metadata=metadata)
    song = read_song(chart_song(path, tmp_path / "Song", charter=charter, metadata={"album": "C"}).folder)
    expected = {"artist": "A", "album": "C", "charter": "tabhero_hf", "diff_guitar": "0", "icon": "i"}
    assert song.metadata.items() >= expected.items()
    assert [stem.name for stem in song.stems] == ["song.ogg", "guitar.ogg"]
    assert (song.album.name, song.album.read_bytes()) == ("album.jpg", b"painted")


def test_what_only_the_chart_of_a_song_says_is_taken_over(tmp_path, tone):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    path = write_song(tmp_path / "Song", CHART, [tmp_path / "song.ogg"], metadata={"name": "Tune", "artist": "Band"})
    (path / "song.ini").unlink()
    song = read_song(chart_song(path, path, charter=charter).folder)
    assert song.metadata.items() >= {"name": "Tune", "artist": "Band", "charter": "tabhero_hf"}.items()


def test_what_cannot_work_is_told_before_the_model_runs(tmp_path, tone):
    (tmp_path / "a.xyz").write_bytes(b"no audio")
    soundfile.write(tmp_path / "b.wav", tone, 22050)
    (tmp_path / "Letter.sng").write_bytes(b"Dear")
    with pytest.raises(AudioError, match="a.xyz: not audio"):
        chart_song(tmp_path / "a.xyz", tmp_path / "Song", charter=silent_charter)
    with pytest.raises(ChartError, match="Letter.sng: not overwritten"):
        chart_song(tmp_path / "b.wav", tmp_path / "Letter.sng", charter=silent_charter)
    assert not (tmp_path / "Song").exists()


def test_a_chart_that_cannot_be_read_is_named_and_not_written_over(tmp_path, tone):
    soundfile.write(tmp_path / "a.ogg", tone, 22050)
    folder = write_song(tmp_path / "Song", CHART, tmp_path / "a.ogg")
    written = (folder / "notes.chart").read_text().replace("0 = B 120000", "0 = B 0")
    (folder / "notes.chart").write_text(written)
    with pytest.raises(ChartError, match="notes.chart, line 1.: a tempo of 0 BPM"):
        chart_song(folder, tmp_path / "Other", charter=silent_charter, region=(1.0, 2.0))
    with pytest.raises(
        ChartError, match="Song: not overwritten: its notes.chart cannot be read .line 1.: a tempo of 0"
    ):
        chart_song(folder, folder, charter=silent_charter)
    assert (folder / "notes.chart").read_text() == written
    charted = chart_song(folder, tmp_path / "Other", charter=charter)
    assert "notes.chart, line 1" in charted.warning
    assert chart_song(charted.folder, charted.folder, charter=charter).warning is None


def test_a_song_charted_from_one_of_its_stems_keeps_the_others_and_its_name(tmp_path, tone):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    soundfile.write(tmp_path / "guitar.ogg", tone / 2, 22050)
    stems = [tmp_path / "song.ogg", tmp_path / "guitar.ogg"]
    folder = write_song(tmp_path / "Folder", CHART, stems, metadata={"name": "Tune", "artist": "Band"})
    shutil.copy(stems[0], folder / "song.flac")  # which is none of its stems, as song.ogg goes before it
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".ogg", ".flac")}
    for source in (folder / "guitar.ogg", folder):
        song = read_song(chart_song(source, folder, charter=charter).folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before
        assert (song.metadata["name"], song.metadata["artist"]) == ("Tune", "Band")
        assert song.chart.tracks == CHART.tracks and song.metadata["musicstream"] == "song.ogg"


def test_nothing_is_written_where_nothing_is_heard(tmp_path, tone):
    soundfile.write(tmp_path / "hum.ogg", tone, 22050)
    heard = {"chart": Chart(TempoMap(192)), "notes": {}, "measure_confidence": {}}
    with pytest.raises(ValueError, match="hum.ogg: nothing to chart is heard"):
        chart_song(tmp_path / "hum.ogg", tmp_path / "Song", charter=lambda song, **_: heard)
    assert not (tmp_path / "Song").exists()


DRUMS = "[ExpertDrums]\n{\n  192 = N 0 0\n}\n[ExpertVocals]\n{\n  192 = E solo\n}\n"


def test_a_chart_of_other_instruments_is_not_lost(tmp_path, tone):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    path = write_song(tmp_path / "Song", CHART, [tmp_path / "song.ogg"])
    with (path / "notes.chart").open("a") as file:
        file.write(DRUMS)
    before = (path / "notes.chart").read_text()
    for options in ({}, {"region": (0.0, 1.0)}):
        with pytest.raises(ChartError, match="not overwritten: Drums of its notes.chart would be lost"):
            chart_song(path, path, charter=silent_charter, **options)
    assert (path / "notes.chart").read_text() == before
    with pytest.raises(ValueError, match="Drums of .* would be lost"):
        chart_song(path, tmp_path / "Other", charter=silent_charter, region=(0.0, 1.0))
    assert read_song(chart_song(path, tmp_path / "Other", charter=charter).folder).chart.tracks == CHART.tracks


@pytest.mark.parametrize(
    ("sync", "offset"),
    [
        ("0 = TS 1\n0 = B 100000000", 0),
        ("0 = TS 1 31", 0),
        ("0 = B 1", 0),
        ("0 = TS 1 4\n0 = B 599000", 0),
        ("", -1e4),
        ("", 1e4),
        ("0 = B 120000\n192 = B 100000000", 0),
    ],
)
def test_a_strangers_tempo_map_that_no_music_has_is_not_kept(tmp_path, tone, sync, offset):
    """Measures without end would take all memory."""
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    path = write_song(tmp_path / "Song", CHART, [tmp_path / "song.ogg"])
    notes = "[ExpertSingle]\n{\n  0 = N 0 0\n}\n"
    head = f"[Song]\n{{\n  Offset = {offset}\n  Resolution = 192\n}}\n"
    (path / "notes.chart").write_text(f"{head}[SyncTrack]\n{{\n{sync}\n}}\n{notes}")
    asked = {}
    chart_song(path, tmp_path / "out", charter=lambda song, **parameters: asked.update(parameters) or charter(song))
    assert not asked.keys() & {"tempo_map", "offset"}
    with pytest.raises(ValueError, match="tempo map .* cannot be that of its audio"):
        chart_song(path, tmp_path / "out", charter=silent_charter, region=(0.0, 1.0))


def test_ticks_that_no_chart_could_hold_are_not_kept(tmp_path, tone):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    path = write_song(tmp_path / "Song", replace(CHART, tempo_map=TempoMap(2**31 - 1)), [tmp_path / "song.ogg"])
    asked = {}
    chart_song(path, tmp_path / "out", charter=lambda song, **parameters: asked.update(parameters) or charter(song))
    assert "tempo_map" not in asked


def test_a_region_is_charted_anew_and_all_else_stays(tmp_path, tone):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    key = Instrument.LEAD, Difficulty.EXPERT
    own = Track(*key, tuple(Note(tick, (4,)) for tick in range(768, 1152, 96)))  # eighths from 2 s on
    metadata = {"name": "A", "charter": "a human"}
    path = write_song(tmp_path / "Song", Chart(TempoMap(192), {key: own}), [tmp_path / "song.ogg"], metadata=metadata)
    measures = np.array([[0.0, 2.4, 0.1], [2.4, 2.7, 0.2], [2.7, 3.0, 0.3]])
    heard = {**charter(path), "measure_confidence": {"lead": measures}}
    charted = chart_song(path, path, charter=lambda song, **_: heard, region=(2.4, 2.7))  # in its place
    assert charted.confidence["lead"].tolist() == [[2.4, 2.7, 0.2]]
    song = read_song(charted.folder)
    assert [(note.tick, note.lanes) for note in song.chart.tracks[key].notes] == [
        (768, (4,)),
        (864, (4,)),
        (960, (0,)),
        (1056, (4,)),
    ]
    assert (song.metadata["name"], song.metadata["charter"]) == ("A", "a human")


@pytest.mark.parametrize(("region", "message"), [((5.0, 6.0), "3.0 s long"), ((2.0, 1.0), "nothing from 2 to 1 s")])
def test_a_region_outside_the_song_is_told_before_the_model_runs(tmp_path, tone, region, message):
    soundfile.write(tmp_path / "song.ogg", tone, 22050)
    path = write_song(tmp_path / "Song", CHART, [tmp_path / "song.ogg"])
    with pytest.raises(ValueError, match=message):
        chart_song(path, tmp_path / "out", charter=silent_charter, region=region)
    with pytest.raises(ValueError, match="has no chart to change"):
        chart_song(tmp_path / "song.ogg", tmp_path / "out", charter=silent_charter, region=(0.0, 1.0))
    assert not (tmp_path / "out").exists()
