import json
import os
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import load_dataset
from made_songs import made_chart, made_song, made_track

from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, TempoMap, Track, read_song, write_song
from tabhero_hf.data import engines, preparation
from tabhero_hf.data.engines import DaskEngine, LocalEngine, threads_kept
from tabhero_hf.data.preparation import (
    METADATA_KEY,
    PreparationError,
    PreparationSettings,
    feature_extractor,
    format_report,
    genre_number,
    prepare_library,
)
from tabhero_hf.data.schema import FEATURE_FIELDS, Parts, chart_notes, mix_mels
from tabhero_hf.data.tab_file import GENRES

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_dataset.py"
LEAD, BASS, RHYTHM = Instrument.LEAD, Instrument.BASS, Instrument.RHYTHM
MEDIUM, HARD, EXPERT = Difficulty.MEDIUM, Difficulty.HARD, Difficulty.EXPERT
ALL_TRAINING = PreparationSettings(splits=(1, 0, 0))


@pytest.fixture
def songs(tmp_path) -> Path:
    """Three songs: two folders and an archive."""
    made_song(tmp_path / "songs" / "one", 1)
    made_song(tmp_path / "songs" / "pack" / "two", 2, made_chart((LEAD, EXPERT), (LEAD, HARD), (BASS, EXPERT), seed=2))
    made_song(tmp_path / "songs" / "three.sng", 3)
    return tmp_path / "songs"


def contents(out: Path) -> dict[str, bytes]:
    """What has to be the same whoever prepared it: the data and the report."""
    files = [path for path in (out / "data").rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in (*files, out / "report.json")}


def rows_of(out: Path) -> list[dict]:
    return [row for path in sorted(out.glob("data/*/*.parquet")) for row in pq.read_table(path).to_pylist()]


def forbid(monkeypatch):
    def prepare_song(path, stage, settings):
        raise AssertionError(f"{path} was prepared again")

    monkeypatch.setattr(preparation, "prepare_song", prepare_song)


# What a dataset holds


def test_a_song_comes_back_as_it_was(tmp_path):
    chart = made_chart((LEAD, EXPERT), (BASS, HARD), seconds=55.0, offset=0.25)
    song = made_song(tmp_path / "songs" / "one", 1, chart, seconds=56.0, genre="Progressive Metal")
    report = prepare_library(tmp_path / "songs", tmp_path / "out", PreparationSettings(splits=(0, 1, 0)))
    assert (report["songs"], report["charts"], report["skipped"], report["remarks"]) == (1, 2, [], [])

    rows = rows_of(tmp_path / "out")
    mel = feature_extractor().log_mel(soundfile.read(song / "song.wav", dtype="float32")[0]).astype(np.float16)
    assert [(row["window"], row["start_frame"], row["num_frames"]) for row in rows] == [(0, 0, 4096), (1, 3840, 984)]
    for row in rows:
        assert (row["artist"], row["title"], row["audio"], GENRES[row["genre"]]) == ("Artist", "one", "mix", "metal")
        assert row["song_frames"] == len(mel) == 4824
        found = np.frombuffer(row["mel"], np.float16).reshape(row["num_frames"], 128)
        np.testing.assert_array_equal(found, mel[row["start_frame"] : row["start_frame"] + row["num_frames"]])
        start, end = (
            feature_extractor().frames_to_seconds(row["start_frame"] + frames) for frames in (0, row["num_frames"])
        )
        assert [(c["difficulty"], c["instrument"]) for c in row["charts"]] == [(2, 1), (3, 0)]
        for stored, key in zip(row["charts"], [(BASS, HARD), (LEAD, EXPERT)]):
            expected = [note for note in read_song(song).chart.to_seconds(*key) if start <= note[0] < end]
            assert expected[0][0] >= 1.25
            for note, right in zip(chart_notes(stored, start), expected, strict=True):
                assert note[0] == pytest.approx(right[0], abs=1e-5) and note[3] == pytest.approx(right[3], abs=1e-5)
                assert note[1:3] == right[1:3]


def test_the_notes_of_every_real_song_are_in_its_windows(real_songs, tmp_path):
    (tmp_path / "songs").mkdir()
    for name in ("muldjord/armygeddon", "sectoid/Metal madness"):
        (tmp_path / "songs" / Path(name).name).symlink_to(real_songs / name)
    report = prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    assert (report["songs"], report["charts"], report["notes"]) == (2, 7, 377 + 463 + 809 + 1524 + 202 + 379 + 483)
    charts = {"Armygeddon": "armygeddon", "Metal madness": "Metal madness"}
    for row in rows_of(tmp_path / "out"):
        assert row["audio"] == "guitar"
        chart = read_song(tmp_path / "songs" / charts[row["title"]]).chart
        start = row["start_frame"] * 256 / 22050
        end = start + row["num_frames"] * 256 / 22050
        for stored in row["charts"]:
            key = Instrument(stored["instrument"]), Difficulty(stored["difficulty"])
            expected = [note for note in chart.to_seconds(*key) if start <= note[0] < end]
            found = chart_notes(stored, start)
            np.testing.assert_allclose([n[0] for n in found], [n[0] for n in expected], atol=1e-4)
            assert [n[1:3] for n in found] == [n[1:3] for n in expected]


def test_load_dataset_reads_the_folder(songs, tmp_path):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    dataset = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.to_list() == rows_of(tmp_path / "out")


def test_files_say_how_they_were_made(songs, tmp_path):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    for path in (tmp_path / "out").glob("data/*/*.parquet"):
        facts = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
        assert facts["features"] == {name: getattr(feature_extractor(), name) for name in FEATURE_FIELDS}
        assert facts["windows"] == {"max_frames": 4096, "overlap_frames": 256}
        assert facts["tempo"] == pytest.approx(150)
        assert facts["loudness"] == pytest.approx(-20, abs=0.2)  # noise of a tenth of full scale
        assert facts["spectral_centroid"] == pytest.approx(22050 / 4, rel=0.05)  # white noise


@pytest.mark.parametrize(
    ("audio", "stems", "expected"),
    [
        ("mix", ("song", "guitar"), {"mix": [LEAD, BASS]}),
        ("auto", ("song",), {"mix": [LEAD, BASS]}),
        ("auto", ("song", "guitar"), {"guitar": [LEAD], "mix": [BASS]}),
        ("auto", ("song", "guitar", "rhythm"), {"guitar": [LEAD], "rhythm": [BASS]}),
        ("auto", ("guitar", "bass", "rhythm"), {"guitar": [LEAD], "bass": [BASS]}),
        ("stem", ("song", "bass"), {"bass": [BASS]}),
    ],
)
def test_charts_are_paired_with_their_audio(tmp_path, audio, stems, expected):
    chart = made_chart((LEAD, EXPERT), (BASS, EXPERT))
    song = made_song(tmp_path / "songs" / "one", 1, chart, stems)
    report = prepare_library(tmp_path / "songs", tmp_path / "out", replace(ALL_TRAINING, audio=audio))
    rows = rows_of(tmp_path / "out")
    assert {row["audio"]: [c["instrument"] for c in row["charts"]] for row in rows} == expected
    assert len({row["song_id"] for row in rows}) == 1
    waveforms = {stem: soundfile.read(song / f"{stem}.wav", dtype="float32")[0] for stem in stems}
    waveforms["mix"] = sum(waveforms.values())
    for row in rows:
        mel = feature_extractor().log_mel(waveforms[row["audio"]])
        np.testing.assert_allclose(np.frombuffer(row["mel"], np.float16).reshape(mel.shape), mel, atol=5e-3)
    if audio == "stem":
        assert report["remarks"] == [
            {"path": "one", "chart": "expert lead", "reason": "no stem of its own (guitar)"},
        ]


def test_the_rhythm_stem_is_not_the_bass_where_a_rhythm_guitar_is_charted(tmp_path):
    chart = made_chart((BASS, EXPERT), (RHYTHM, EXPERT))
    made_song(tmp_path / "songs" / "one", 1, chart, ("song", "rhythm"))
    prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    rows = rows_of(tmp_path / "out")
    assert {row["audio"]: [c["instrument"] for c in row["charts"]] for row in rows} == {"mix": [1], "rhythm": [2]}


# What is left out


def test_filters(songs, tmp_path):
    settings = replace(ALL_TRAINING, difficulties=("Expert",), instruments=("bass",))
    report = prepare_library(songs, tmp_path / "bass", settings)
    assert (report["songs"], report["charts"]) == (1, 1)
    assert report["difficulties"].keys() == {"expert"} and report["instruments"].keys() == {"bass"}
    assert report["skipped"] == [
        {"path": "one", "reason": "none of the asked charts"},
        {"path": "three.sng", "reason": "none of the asked charts"},
    ]
    report = prepare_library(songs, tmp_path / "many", replace(ALL_TRAINING, min_notes=10))
    assert report["charts"] == 4
    assert report["remarks"] == [{"path": "pack/two", "chart": "hard lead", "reason": "8 notes, fewer than 10"}]
    made_song(songs / "long", 4, seconds=8.0)
    for bounds, taken in (({"min_duration": 6}, 1), ({"max_duration": 6}, 3), ({"max_duration": 1}, 0)):
        assert prepare_library(songs, tmp_path / "many", replace(ALL_TRAINING, **bounds))["songs"] == taken


def test_songs_that_cannot_be_used_are_skipped_with_a_reason(songs, tmp_path):
    (songs / "no audio").mkdir()
    (songs / "no audio" / "notes.chart").write_bytes((songs / "one" / "notes.chart").read_bytes())
    (songs / "no chart.zip").write_bytes(b"PK, but nothing more")
    (made_song(songs / "no sound", 5) / "song.wav").write_bytes(b"RIFF")
    made_song(songs / "no notes", 6, Chart(TempoMap(192)))
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert report["songs"] == 3
    reasons = {entry["path"]: entry["reason"] for entry in report["skipped"]}
    assert reasons.keys() == {"no audio", "no chart.zip", "no sound", "no notes"}
    assert reasons["no audio"] == "no audio" and reasons["no notes"] == "none of the asked charts"
    assert reasons["no sound"].startswith("song.wav: not audio")
    assert str(tmp_path) not in json.dumps(report)
    assert "no sound: song.wav: not audio" in format_report(report)


def broken_songs(songs: Path):
    """A chart that was never set to its tempo, one whose chords came apart, one not reduced, one of another song."""
    loose = Track(LEAD, EXPERT, tuple(Note(tick, (0,)) for tick in range(200, 1500, 23)))
    made_song(songs / "automatic", 11, Chart(TempoMap(192), {(LEAD, EXPERT): loose}))
    notes = [Note(tick + apart, (apart,)) for tick in range(480, 1900, 96) for apart in (0, 1)]
    apart = Track(LEAD, EXPERT, tuple(notes))
    made_song(songs / "apart", 12, Chart(TempoMap(192, ((0, 150.0),)), {(LEAD, EXPERT): apart}))
    expert = made_track((LEAD, EXPERT), 8.0)
    tracks = {(LEAD, EXPERT): expert, (LEAD, HARD): replace(expert, difficulty=HARD)}
    elsewhere = replace(expert, notes=tuple(replace(note, lanes=(1,)) for note in expert.notes))
    tracks[LEAD, MEDIUM] = replace(elsewhere, difficulty=MEDIUM)
    made_song(songs / "not reduced", 13, Chart(TempoMap(192, ((0, 150.0),)), tracks), seconds=9.0)
    made_song(songs / "other song", 14, made_chart(seconds=10.0))


def test_charts_that_would_teach_something_wrong_are_left_out(tmp_path):
    broken_songs(tmp_path / "songs")
    report = prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    assert [(row["title"], [c["difficulty"] for c in row["charts"]]) for row in rows_of(tmp_path / "out")] == [
        ("not reduced", [3])
    ]
    assert {entry["path"] for entry in report["skipped"]} == {"apart", "automatic", "other song"}
    assert {(remark["path"], remark["chart"]): remark["reason"] for remark in report["remarks"]} == {
        ("apart", "expert lead"): "15 of 30 notes come right after another (brokenNote)",
        ("automatic", "expert lead"): "at 120 BPM throughout, with notes off the beat (isDefaultBPM)",
        ("not reduced", "hard lead"): "its notes are Expert's, none is left out (difficultyNotReduced)",
        ("not reduced", "medium lead"): "struck whenever hard is, none is left out",
        ("other song", "expert lead"): "25 of 45 notes are outside the audio",
    }


def test_a_chart_at_120_on_the_beat_stays(tmp_path):
    track = Track(LEAD, EXPERT, tuple(Note(tick, (0,)) for tick in range(384, 1500, 32)))
    made_song(tmp_path / "songs" / "one", 1, Chart(TempoMap(192), {(LEAD, EXPERT): track}))
    assert prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)["charts"] == 1


def test_notes_outside_the_audio_are_left_out_and_reported(tmp_path):
    made_song(tmp_path / "songs" / "one", 1, made_chart(seconds=5.3), seconds=5.0)  # notes up to 5.2 s
    report = prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    assert report["notes"] == 20
    assert report["remarks"] == [
        {"path": "one", "chart": "expert lead", "reason": "2 notes before or after the audio were left out"}
    ]
    (row,) = rows_of(tmp_path / "out")
    assert len(row["charts"][0]["onsets"]) == 20


def test_a_note_on_the_first_sample_stays_though_its_tick_may_lie_before_it(tmp_path):
    chart = made_chart()
    first = chart.to_seconds(LEAD, EXPERT)[0][0]
    made_song(tmp_path / "songs" / "one", 1, replace(chart, offset=-first - 0.0004))
    report = prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    assert report["remarks"] == []
    (row,) = rows_of(tmp_path / "out")
    assert row["charts"][0]["onsets"][0] == 0


def test_duplicates_are_left_out_whatever_they_are_packed_in(tmp_path):
    songs = tmp_path / "songs"
    chart = made_chart((LEAD, EXPERT), (BASS, EXPERT))
    first = made_song(songs / "a", 1, chart)
    write_song(songs / "b.sng", chart, first / "song.wav", metadata={"name": "another title"})
    # More charts of the same audio: what is new of them is taken.
    more = made_chart((LEAD, EXPERT), (BASS, EXPERT), (LEAD, HARD))
    write_song(songs / "c", more, first / "song.wav", metadata={"artist": "Artist", "name": "a"})
    # Another charter's chart of it is no duplicate.
    other = made_chart((LEAD, EXPERT), seed=9)
    write_song(songs / "d", other, first / "song.wav", metadata={"artist": "Artist", "name": "a"})
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert report["skipped"] == [{"path": "b.sng", "reason": "the same as in a"}]
    assert report["remarks"] == [
        {"path": "c", "chart": "expert lead", "reason": "the same as in a"},
        {"path": "c", "chart": "expert bass", "reason": "the same as in a"},
    ]
    assert (report["songs"], report["charts"]) == (3, 4)
    (song_id,) = {row["song_id"] for row in rows_of(tmp_path / "out")}
    charts = {
        path.stem: [(c["difficulty"], c["instrument"]) for c in pq.read_table(path)["charts"][0].as_py()]
        for path in (tmp_path / "out").glob("data/train/*.parquet")
    }
    assert charts == {f"{song_id}-mix": [(3, 0), (3, 1)], f"{song_id}-mix-2": [(2, 0)], f"{song_id}-mix-3": [(3, 0)]}


# Splits


def test_a_song_stays_in_its_split_when_others_are_added():
    settings = PreparationSettings()
    rng = np.random.default_rng(0)
    ids = [f"{number:016x}" for number in rng.integers(0, 2**64, 4000, dtype=np.uint64).tolist()]
    found = [settings.split_of(song_id) for song_id in ids]
    assert [found.count(split) / 4000 for split in ("train", "validation", "test")] == pytest.approx(
        [0.9, 0.05, 0.05], abs=0.015
    )
    assert PreparationSettings(splits=(0.1, 0.2, 0.7)).split_of("f" * 16) == "test"
    assert PreparationSettings(splits=(1, 0, 0)).split_of("f" * 16) == "train"


def test_all_recordings_and_charts_of_a_song_are_in_one_split(tmp_path):
    settings = PreparationSettings(splits=(0.4, 0.3, 0.3))
    for number in range(6):
        song = made_song(tmp_path / "songs" / str(number), number, made_chart(seed=number))
        ini = (song / "song.ini").read_text()
        (song / "song.ini").write_text(ini.replace(f"name = {number}", f"name = A Song{'!' * number}"))
    assert prepare_library(tmp_path / "songs", tmp_path / "out", settings)["songs"] == 6
    rows = rows_of(tmp_path / "out")
    assert len({row["song_id"] for row in rows}) == 6 and len(list((tmp_path / "out" / "data").iterdir())) == 1


def test_a_recording_under_many_titles_is_in_one_split_and_so_is_all_of_their_names(tmp_path):
    settings = PreparationSettings(splits=(0.4, 0.3, 0.3))
    songs = tmp_path / "songs"
    for number in range(6):
        made_song(songs / str(number), number, made_chart(seed=number))
    alone = prepare_library(songs, tmp_path / "alone", settings)
    assert max(row["songs"] for row in alone["splits"].values()) < 6
    # Another charter of each song named it after the next one, so that all hang together.
    for number in range(5):
        write_song(
            songs / f"again {number}",
            made_chart(seed=10 + number),
            songs / str(number) / "song.wav",
            metadata={"artist": "Artist", "name": str(number + 1)},
        )
    together = prepare_library(songs, tmp_path / "together", settings)
    assert together["songs"] == 11
    (split,) = (name for name, row in together["splits"].items() if row["songs"] == 11)
    assert split == settings.split_of(min(row["song_id"] for row in rows_of(tmp_path / "together")))


def test_a_run_that_takes_nothing_leaves_the_dataset_as_it_was(songs, tmp_path, monkeypatch):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    before = contents(tmp_path / "out")
    report = prepare_library(songs, tmp_path / "out", replace(ALL_TRAINING, min_notes=10_000))
    assert report["charts"] == 0 and len(report["skipped"]) == 3
    assert contents(tmp_path / "out") == before
    forbid(monkeypatch)
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert contents(tmp_path / "out") == before


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_names_that_are_no_text_are_told_apart(songs, tmp_path):
    for name in (b"caf\xe9", b"caf\xe8"):
        Path(os.fsdecode(os.fsencode(songs) + b"/" + name)).mkdir()
        Path(os.fsdecode(os.fsencode(songs) + b"/" + name + b"/notes.chart")).write_text("nothing")
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert len(report["skipped"]) == 2 and report["songs"] == 3


def test_adding_songs_changes_no_file_of_others(songs, tmp_path):
    settings = PreparationSettings(splits=(0.4, 0.3, 0.3))
    prepare_library(songs, tmp_path / "out", settings)
    before = {path: content for path, content in contents(tmp_path / "out").items() if path != "report.json"}
    made_song(songs / "a new one", 9)
    prepare_library(songs, tmp_path / "out", settings)
    after = contents(tmp_path / "out")
    assert len(after) == len(before) + 2 and before.items() <= after.items()


# The same bytes


def test_a_second_run_does_nothing_again(songs, tmp_path, monkeypatch):
    (songs / "broken.sng").write_bytes(b"SNGPKG")
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    before = contents(tmp_path / "out")
    again = prepare_library(songs, tmp_path / "again", ALL_TRAINING)
    assert again == report and contents(tmp_path / "again") == before
    forbid(monkeypatch)
    assert prepare_library(songs, tmp_path / "out", ALL_TRAINING) == report
    assert contents(tmp_path / "out") == before


def test_only_what_has_changed_is_done_again(songs, tmp_path):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    write_song(songs / "one", made_chart(seed=77))
    done = []

    def engine(tasks):
        done.extend(task[0].name for task in tasks)
        return preparation._one_by_one(tasks)

    prepare_library(songs, tmp_path / "out", ALL_TRAINING, engine)
    assert done == ["one"]
    prepare_library(songs, tmp_path / "fresh", ALL_TRAINING)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    assert len(list((tmp_path / "out" / ".prepared").iterdir())) == 6  # and nothing of the chart before


def test_songs_that_are_gone_leave_the_dataset(songs, tmp_path):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    (songs / "three.sng").unlink()
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert report["songs"] == 2
    assert {row["title"] for row in rows_of(tmp_path / "out")} == {"one", "two"}


def test_damaged_intermediate_files_are_made_again(songs, tmp_path):
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    expected = contents(tmp_path / "out")
    files = sorted((tmp_path / "out" / ".prepared").iterdir())
    next(path for path in files if path.suffix == ".json").write_text('{"reason": ')
    cut = [path for path in files if path.suffix == ".parquet"][-1]
    cut.write_bytes(cut.read_bytes()[:1000])  # the linked file in data too
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("finished", range(4))
def test_an_interrupted_run_is_resumed(songs, tmp_path, finished):
    prepare_library(songs, tmp_path / "whole", ALL_TRAINING)

    def interrupted(tasks):
        for number, result in preparation._one_by_one(tasks):
            if number == finished:
                raise KeyboardInterrupt
            yield number, result
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_library(songs, tmp_path / "out", ALL_TRAINING, interrupted)
    assert not (tmp_path / "out" / "report.json").exists()
    prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_one_strange_song_does_not_end_the_run(songs, tmp_path, monkeypatch):
    def strange(path):
        if path.name == "one":
            raise RecursionError("as deep as it gets")
        return read_song(path)

    monkeypatch.setattr(preparation, "read_song", strange)
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING)
    assert report["skipped"] == [{"path": "one", "reason": "RecursionError: as deep as it gets"}]
    monkeypatch.undo()
    assert prepare_library(songs, tmp_path / "out", ALL_TRAINING)["skipped"] == []


# Processes


def many_songs(folder: Path, count: int) -> Path:
    for number in range(count):
        made_song(folder / f"song {number:02}", number)
    return folder


def wait_for(condition, process: subprocess.Popen | None = None):
    while not condition():
        assert process is None or process.poll() is None, "it ended too early"
        time.sleep(0.01)


def test_two_workers_and_a_killed_run_give_the_same_bytes(tmp_path):
    songs = many_songs(tmp_path / "songs", 12)
    prepare_library(songs, tmp_path / "one", ALL_TRAINING)

    out = tmp_path / "two"
    command = [sys.executable, SCRIPT, songs, out, "--splits", "1,0,0", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: any((out / ".prepared").glob("*.json")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # until the workers, too, have closed their ends
    assert not (out / "data").exists()

    finished = len(list((out / ".prepared").glob("*.json")))
    done = []

    def engine(tasks):
        done.extend(tasks)
        return LocalEngine(workers=2)(tasks)

    prepare_library(songs, out, ALL_TRAINING, engine)
    assert len(done) == 12 - finished < 12
    assert contents(out) == contents(tmp_path / "one")


def test_a_worker_that_dies_is_one_clear_error(songs, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "prepare_song", partial(os._exit, 9))
    with pytest.raises(PreparationError, match="a worker process died"):
        list(LocalEngine(1)([()]))


@pytest.mark.slow
def test_dask_does_the_songs_of_a_killed_worker_again(tmp_path):
    distributed = pytest.importorskip("distributed")
    songs = many_songs(tmp_path / "songs", 40)
    prepare_library(songs, tmp_path / "local", ALL_TRAINING)
    out = tmp_path / "dask"
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with threads_kept(), distributed.LocalCluster(**options) as cluster:
        killed = []

        def engine(tasks):
            for number, result in DaskEngine(cluster.scheduler_address)(tasks):
                if not killed:
                    with distributed.Client(cluster) as client:
                        busy = {worker for worker, keys in client.processing().items() if keys}
                        pids = client.run(os.getpid)
                    killed.append(pids[max(busy)])
                    os.kill(killed[0], signal.SIGKILL)
                yield number, result

        prepare_library(songs, out, ALL_TRAINING, engine)
    assert killed
    assert contents(out) == contents(tmp_path / "local")


def test_a_dask_cluster_of_its_own_leaves_no_threads_set(songs, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    report = prepare_library(songs, tmp_path / "out", ALL_TRAINING, DaskEngine(workers=1))
    assert report["charts"] > 0
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


def test_dask_that_is_not_there(songs, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(PreparationError, match="no Dask scheduler at nonsense://"):
        prepare_library(songs, tmp_path / "out", ALL_TRAINING, DaskEngine("nonsense://127.0.0.1:1"))


# Bad input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"difficulties": ("insane",)}, "no difficulty is called 'insane'; known are easy, medium, hard, expert"),
        ({"instruments": ()}, "at least one difficulty and one instrument"),
        ({"instruments": ("ghl_lead",)}, "models chart the instruments lead, bass, rhythm, keys"),
        ({"audio": "loud"}, "audio is mix, stem, auto or parts"),
        ({"min_notes": 0}, "at least 1 note"),
        ({"min_duration": 5, "max_duration": 5}, "min_duration"),
        ({"splits": (0.5, 0.6, 0.1)}, "three shares that sum to 1"),
        ({"splits": (0.5, 0.5)}, "three shares that sum to 1"),
    ],
)
def test_settings_that_make_no_sense(fields, message):
    with pytest.raises(PreparationError, match=message):
        PreparationSettings(**fields)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "error: nowhere: no such folder"),
        (["stats", "nowhere"], "error: nowhere: no dataset"),
        (["songs", "out", "--splits", "most"], "error: splits are three numbers like 0.9,0.05,0.05, not 'most'"),
        (["songs", "out", "--difficulties", "insane"], "error: no difficulty is called 'insane'"),
        (["songs", "out", "--workers", "0"], "error: at least 1 worker"),
        (["songs", "out", "--scheduler", "tcp://host:1"], "error: a scheduler is for --engine dask"),
        (["songs", "out", "--revision-tag", "v1"], "error: a revision tag is for --push_to_hub"),
        (["songs", "out", "--push-to-hub", "a/b/c"], "error: a/b/c cannot be a dataset's name"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare_dataset.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert str(caught.value).startswith(message) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used(songs, tmp_path):
    with pytest.raises(PreparationError, match="no such folder"):
        prepare_library(tmp_path / "nothing", tmp_path / "out", ALL_TRAINING)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PreparationError, match="no songs in it"):
        prepare_library(tmp_path / "empty", tmp_path / "out", ALL_TRAINING)
    (tmp_path / "file").write_text("")
    with pytest.raises(PreparationError, match="cannot be written to"):
        prepare_library(songs, tmp_path / "file", ALL_TRAINING)
    (tmp_path / "mine" / "data" / "thesis").mkdir(parents=True)
    with pytest.raises(PreparationError, match="no earlier run has made it"):
        prepare_library(songs, tmp_path / "mine", ALL_TRAINING)
    with pytest.raises(PreparationError, match="at least 1 worker"):
        LocalEngine(0)


@pytest.mark.parametrize(
    ("text", "genre"),
    [
        ("", "unknown"),
        ("Rock", "rock"),
        ("Progressive Metal", "metal"),
        ("Nu-Metal", "metal"),
        ("Metalcore", "metal"),
        ("Pop/Rock", "pop"),
        ("Pop Punk", "punk"),
        ("Hip-Hop/Rap", "hiphop"),
        ("Alternative Rock", "alternative"),
        ("Drum and Bass", "other"),
        ("Trapeze", "other"),
        ("Classic Rock", "rock"),
    ],
)
def test_genres_by_their_nearest_name(text, genre):
    assert GENRES[genre_number(text)] == genre


# Instrument and backing apart


def bursts(onsets, seconds: float, seed: int) -> np.ndarray:
    """Silence with a tenth of a second of noise at each onset."""
    rng, sound = np.random.default_rng(seed), np.zeros(round(seconds * 22050))
    for onset in onsets:
        start = round(onset * 22050)
        sound[start : start + 2205] = rng.normal(0, 0.1, 2205)[: len(sound) - start]
    return sound


def test_an_instrument_and_its_backing_are_kept_apart_and_sum_to_the_song(tmp_path):
    song = made_song(tmp_path / "songs" / "one", 1, stems=("guitar", "bass", "song"))
    sounds = {
        "guitar": bursts(np.arange(0.1, 4.8, 0.6), 5.0, 1),
        "bass": bursts(np.arange(0.4, 3.0, 0.6), 3.2, 2),
        "song": bursts(np.arange(0.25, 4.0, 0.6), 4.1, 3),
    }
    for stem, sound in sounds.items():
        soundfile.write(song / f"{stem}.wav", sound, 22050, "FLOAT")
    prepare_library(tmp_path / "songs", tmp_path / "out", replace(ALL_TRAINING, audio="parts"))
    (row,) = rows_of(tmp_path / "out")
    assert row["audio"] == "guitar+backing" and [chart["instrument"] for chart in row["charts"]] == [0]
    mel, backing = (np.frombuffer(row[name], "<f2").reshape(-1, 128).astype(np.float32) for name in ("mel", "backing"))
    whole = sum(np.pad(sound, (0, 5 * 22050 - len(sound))) for sound in sounds.values())
    expected = feature_extractor().log_mel(whole)
    sounding = expected > expected.min() + 1  # two silences add up to a little more than one
    mix = mix_mels(mel, Parts(backing, row["log_scale"]))
    np.testing.assert_allclose(mix[sounding], expected[sounding], atol=0.1)
    # Where only one of them sounds, the other is silent.
    guitar_alone, bass_alone = (slice(round(at * 86.13), round(at * 86.13) + 3) for at in (0.13, 0.43))
    assert mel[guitar_alone].min() > backing[guitar_alone].max()
    assert backing[bass_alone].min() > mel[bass_alone].max()


def test_a_silent_stem_teaches_nothing(tmp_path):
    song = made_song(tmp_path / "songs" / "one", 1, stems=("guitar", "song"))
    soundfile.write(song / "guitar.wav", np.zeros(5 * 22050), 22050)
    report = prepare_library(tmp_path / "songs", tmp_path / "out", ALL_TRAINING)
    assert not report["charts"]
    assert [remark["reason"] for remark in report["remarks"]] == ["its audio (guitar) is silent"]


def test_a_chart_that_is_early_is_moved_to_its_audio(tmp_path):
    chart = made_chart(seconds=4.0)
    onsets = np.array([note[0] for note in chart.to_seconds(LEAD, EXPERT)])
    song = made_song(tmp_path / "songs" / "one", 1, chart, stems=("guitar", "song"))
    soundfile.write(song / "guitar.wav", bursts(onsets + 0.05, 5.0, 1), 22050, "FLOAT")
    prepare_library(tmp_path / "songs", tmp_path / "out", replace(ALL_TRAINING, audio="parts", align=True))
    (row,) = rows_of(tmp_path / "out")
    np.testing.assert_allclose(row["charts"][0]["onsets"], onsets + 0.05, atol=0.004)
