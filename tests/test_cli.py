import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from typer.testing import CliRunner

from tabhero_hf import __version__, bundled_checkpoint, charting
from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, TempoMap, Track, check_song, read_song, write_chart
from tabhero_hf.cli import Format, _songs, _targets, app


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


def test_convert_tells_what_the_target_lacks(demo_song, tmp_path):
    song = shutil.copytree(demo_song, tmp_path / "song")
    with (song / "notes.chart").open("a") as file:
        file.write("[HardDrums]\n{\n  192 = N 0 0\n}\n")
    done = tabhero("convert", song, tmp_path / "new" / "song.mid")
    assert done.exit_code == 0
    delay = round(1000 * read_song(song).chart.offset)
    assert done.stderr.splitlines() == [
        f"warning: {song}: left out: Drums",
        f"warning: beside {tmp_path / 'new' / 'song.mid'}, song.ini has to say delay = {delay}",
    ]


def test_convert_tells_of_settings_that_would_read_it_otherwise(demo_song, tmp_path):
    song = shutil.copytree(demo_song, tmp_path / "song")
    with (song / "song.ini").open("a") as file:
        file.write("eighthnote_hopo = 1\n")
    done = tabhero("convert", song, song / "notes.chart")
    assert done.stderr.splitlines() == [
        f"warning: eighthnote_hopo in {song / 'song.ini'} changes how {song / 'notes.chart'} is read: take it out"
    ]
    assert tabhero("convert", song, tmp_path / "new").stderr == ""


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("notes.chart", "delay = 500\nmultiplier_note = 103\n", ["delay"]),
        ("notes.chart", "delay = {offset}\n", []),
        ("notes.chart", "delay = 0\n", []),
        ("notes.mid", "delay = {offset}\nmultiplier_note = 116\n", []),
        ("notes.mid", "delay = 500\nmultiplier_note = 103\n", ["delay", "multiplier_note"]),
    ],
)
def test_convert_tells_of_times_that_would_be_others(demo_song, tmp_path, name, settings, told):
    offset = round(1000 * read_song(demo_song).chart.offset)
    (tmp_path / "song.ini").write_text("[song]\n" + settings.format(offset=offset))
    done = tabhero("convert", demo_song, tmp_path / name)
    warned = [line.split()[1] for line in done.stderr.splitlines() if "take it out" in line]
    assert done.exit_code == 0 and warned == told


def test_convert_does_not_lose_what_a_chart_alone_has(demo_song, tmp_path):
    song = shutil.copytree(demo_song, tmp_path / "song")
    with (song / "notes.chart").open("a") as file:
        file.write("[HardDrums]\n{\n  192 = N 0 0\n}\n")
    before = (song / "notes.chart").read_bytes()
    done = tabhero("convert", demo_song, song / "notes.chart")
    assert done.exit_code == 1 and "Drums of its notes.chart would be lost" in done.stderr
    assert (song / "notes.chart").read_bytes() == before
    assert tabhero("convert", song, tmp_path / "alone.chart").exit_code == 0
    assert tabhero("convert", demo_song, tmp_path / "alone.chart").exit_code == 0


@pytest.mark.parametrize("name", ["out.chart", "out.mid"])
def test_a_chart_that_cannot_be_written_leaves_the_old_one(demo_song, tmp_path, monkeypatch, name):
    assert tabhero("convert", demo_song, tmp_path / name).exit_code == 0
    before = (tmp_path / name).read_bytes()

    def full(path, data):
        path.open("wb").write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    assert tabhero("convert", demo_song, tmp_path / name).exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == before


def test_a_song_whose_name_is_no_text_is_charted(demo_song, tmp_path):
    name = os.fsdecode(b"bad\xff - tune.ogg")
    shutil.copy(demo_song / "song.ogg", tmp_path / name)
    done = tabhero("chart", tmp_path / name, "-o", tmp_path / "out", "-d", "easy")
    assert done.exit_code == 0, done.stderr
    assert read_song(tmp_path / "out").metadata["artist"] == "bad\ufffd"


def test_the_song_in_the_folder_one_stands_in_has_a_name(demo_song, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(demo_song, tmp_path / "Here"))
    assert [target.name for target in _targets([Path(), Path("song.ogg")], Path("out"), Format.folder)] == [
        "Here",
        "song",
    ]


def test_convert_refuses_in_one_sentence_and_writes_nothing(demo_song, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    done = tabhero("convert", demo_song, tmp_path / "thesis")
    assert done.exit_code == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    assert tabhero("convert", tmp_path / "nothing", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


def clip(path, seconds=3, **tags):
    samples = np.random.default_rng(0).normal(0, 0.1, seconds * 22050)
    with soundfile.SoundFile(path, "w", 22050, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(samples)


def test_songs_that_wait_for_their_chart(tmp_path):
    for folder, names in {
        "song": ("song.ogg", "Crowd.ogg", "preview.ogg", "._song.ogg"),
        "stems": ("guitar.ogg", "drums_1.ogg"),
        "music": ("song.ogg", "A Tune.ogg", ".hidden.ogg"),
        "noise": ("crowd.ogg",),
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    for folder in ("song", "stems"):
        assert list(_songs([tmp_path / folder], audio=True)) == [tmp_path / folder]
    assert [path.name for path in _songs([tmp_path / "music"], audio=True)] == ["A Tune.ogg", "song.ogg"]
    assert [path.name for path in _songs([tmp_path / "noise"], audio=True)] == ["crowd.ogg"]
    below = ["music/A Tune.ogg", "music/song.ogg", "noise/crowd.ogg", "song", "stems"]
    assert list(_songs([tmp_path], audio=True)) == [tmp_path / name for name in below]
    assert not list(_songs([tmp_path]))
    (tmp_path / "stems" / "vocals.aiff").touch()  # which no song can have: all are charted one by one, and none lost
    assert [path.name for path in _songs([tmp_path / "stems"], audio=True)] == [
        "drums_1.ogg",
        "guitar.ogg",
        "vocals.aiff",
    ]


def test_a_time_signature_in_the_middle_of_a_measure_is_charted(demo_song, tmp_path):
    song = shutil.copytree(demo_song, tmp_path / "song")
    chart = read_song(song).chart
    meters = ((0, 4, 4), (1344, 2, 4), (1728, 4, 4), (3001, 7, 8))
    write_chart(replace(chart, tempo_map=replace(chart.tempo_map, meters=meters)), song / "notes.chart")
    done = tabhero("chart", song, "-o", tmp_path / "out", "-d", "expert")
    assert done.exit_code == 0, done.stderr
    assert check_song(read_song(tmp_path / "out")) == []


def test_what_several_songs_cannot_be_written_to(tmp_path):
    for name in ("a.wav", "b.wav"):
        clip(tmp_path / name)
    several = ("chart", tmp_path / "a.wav", tmp_path / "b.wav", "-o")
    done = tabhero(*several, tmp_path / "out.sng")
    assert done.exit_code == 1 and "name a folder, and --format sng" in done.stderr
    done = tabhero(*several, tmp_path / "a.wav")
    assert done.exit_code == 1 and "is a file, not a folder for songs" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "b.wav"}


def test_what_is_said_fits_any_output(demo_song, tmp_path):
    target = tmp_path / "日本語"
    command = [sys.executable, "-m", "tabhero_hf.cli", "convert", demo_song, target]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert ascii("日本語")[1:-1] in done.stdout and read_song(target).chart.tracks


def test_several_songs_are_charted_and_one_that_fails_is_named(tmp_path, demo_song):
    music = tmp_path / "music"
    (music / "stems").mkdir(parents=True)
    clip(music / "Band - Tune.flac", title="Tune!")
    clip(music / "stems" / "guitar.wav")
    (music / "broken.mp3").write_bytes(b"no music")
    done = tabhero(
        "chart", music, music / "stems", demo_song, "-o", tmp_path / "out", "-d", "expert", "--format", "sng"
    )
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {music / 'broken.mp3'}: not audio")
    assert done.stdout.splitlines()[-1] == "3 of 4 songs charted"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"Band - Tune.sng", "stems.sng", "demo_song.sng"}
    song = read_song(tmp_path / "out" / "Band - Tune.sng")
    assert (song.metadata["artist"], song.metadata["name"]) == ("Band", "Tune!")
    # A song that has a tempo map keeps it, but for whole beats of silence before the music.
    charted, human = read_song(tmp_path / "out" / "demo_song.sng").chart, read_song(demo_song).chart
    beats = (human.offset - charted.offset) * human.tempo_map.tempos[0][1] / 60
    assert charted.tempo_map.tempos == human.tempo_map.tempos and beats == pytest.approx(round(beats), abs=1e-3)
    assert charted.tempo_map.resolution >= 480


def test_a_song_that_the_machine_cannot_compute_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    for name in ("a.wav", "b.wav"):
        clip(tmp_path / name)
    chart_song = charting.chart_song

    def failing(song, *arguments, **settings):
        if song.name == "a.wav":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return chart_song(song, *arguments, **settings)

    monkeypatch.setattr(charting, "chart_song", failing)
    done = tabhero("chart", tmp_path / "a.wav", tmp_path / "b.wav", "-o", tmp_path / "out", "-d", "easy")
    assert done.exit_code == 1 and done.stdout.splitlines()[-1] == "1 of 2 songs charted"
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'a.wav'}: CUDA out of memory"


def test_songs_of_one_name_do_not_overwrite_each_other(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        clip(tmp_path / folder / "Tune.wav")
    arguments = ("chart", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out", "-d", "easy")
    assert tabhero(*arguments).exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"Tune", "Tune (2)"}


def test_no_song_is_written_over_another_one_that_is_still_to_be_charted(tmp_path, monkeypatch):
    for song in ("Disc/Song", "Song", "Song (2)"):
        (tmp_path / song).mkdir(parents=True)
    (tmp_path / "Other").mkdir()
    songs = [tmp_path / name for name in ("Disc/Song", "Song", "Song (2)", "Disc/other.ogg", "Other/guitar.ogg")]
    targets = _targets(songs, tmp_path, Format.folder)
    assert [path.name for path in targets] == ["Song (3)", "Song", "Song (2)", "other (2)", "guitar"]
    monkeypatch.chdir(tmp_path)
    assert _targets([Path("Disc/Song"), Path("Song")], Path(), Format.folder)[1:] == [Path("Song")]
    archives = [path.with_suffix(".zip") for path in songs[:2]]
    assert [path.name for path in _targets(archives, tmp_path, Format.zip)] == ["Song (2).zip", "Song.zip"]
    assert [path.name for path in _targets(archives, tmp_path, Format.sng)] == ["Song.sng", "Song (2).sng"]


def test_a_tempo_that_is_given_is_used(tmp_path):
    clip(tmp_path / "a.wav", seconds=8)
    assert tabhero("chart", tmp_path / "a.wav", "-o", tmp_path / "out", "-d", "easy", "--bpm", 133.5).exit_code == 0
    assert read_song(tmp_path / "out").chart.tempo_map.tempos[-1][1] == 133.5
    done = tabhero("chart", tmp_path / "a.wav", "-o", tmp_path / "out", "-d", "easy", "--bpm", 1)
    assert done.exit_code == 1 and done.stderr.splitlines()[-1] == (
        f"error: {tmp_path / 'a.wav'}: a tempo is 20 to 600 BPM, not 1"
    )


def test_an_offset_that_is_given_is_a_measure_line(tmp_path):
    clip(tmp_path / "a.wav", seconds=8)
    arguments = ("chart", tmp_path / "a.wav", "-o", tmp_path / "out", "-d", "easy", "--bpm", 120)
    assert tabhero(*arguments, "--offset", 0.4).exit_code == 0
    chart = read_song(tmp_path / "out").chart
    assert chart.tempo_map.tempos == ((0, 120.0),)
    measures = (0.4 - chart.offset) / 2
    assert chart.offset <= 0 and measures == pytest.approx(round(measures), abs=1e-3)
    done = tabhero(*arguments, "--offset", "nan")
    assert done.exit_code == 1 and done.stderr.splitlines()[-1] == (
        f"error: {tmp_path / 'a.wav'}: an offset is a number of seconds, a day at most, not nan"
    )


def test_a_seed_draws_another_chart_and_the_same_each_time(demo_song, tmp_path):
    def charted(name, *options):
        done = tabhero("chart", demo_song / "song.ogg", "-o", tmp_path / name, "-d", "expert", *options)
        assert done.exit_code == 0, done.stderr
        return read_song(tmp_path / name).chart.tracks

    assert charted("a", "--seed", 1) == charted("b", "--seed", 1) != charted("c", "--seed", 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-d", "brutal"], "error: no difficulty is called 'brutal'; known are easy, medium, hard, expert"),
        (["-m", "no/such"], "error: "),
        (["-m", "/no/such/model"], "error: /no/such/model: no such model folder"),
        (["-o", "song.chart"], "error: song.chart: a song is a folder, .sng or .zip"),
        (["-f", "zip"], "error: --format is for several songs: name the one that you want written, as in -o song.zip"),
    ],
)
def test_what_cannot_be_charted_is_one_sentence(demo_song, tmp_path, arguments, sentence):
    done = tabhero("chart", demo_song, "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 1 and done.stderr.startswith(sentence) and not (tmp_path / "out").exists()


def test_a_model_that_is_cut_off_is_one_sentence(demo_song, tmp_path):
    shutil.copytree(bundled_checkpoint(), tmp_path / "model")
    os.truncate(tmp_path / "model" / "model.safetensors", 1000)
    done = tabhero("chart", demo_song, "-o", tmp_path / "out", "-m", tmp_path / "model")
    assert done.exit_code == 1 and done.stderr.splitlines()[-1].startswith("error: ")


def test_a_model_of_another_kind_and_one_without_weights_are_one_sentence(demo_song, tmp_path):
    sizes = {"d_model": 8, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 100}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 1}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = WhisperConfig(**sizes, **layers, **special, suppress_tokens=None, begin_suppress_tokens=None)
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "other")
    WhisperFeatureExtractor().save_pretrained(tmp_path / "other")
    config.save_pretrained(tmp_path / "empty")
    for model, reason in {
        "other": "error: audio-to-chart needs a tabhero model, not a whisper one",
        "empty": f"error: OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory "
        f"{tmp_path / 'empty'}.",
    }.items():
        done = tabhero("chart", demo_song, "-o", tmp_path / "out", "-m", tmp_path / model)
        assert done.exit_code == 1 and done.stderr.splitlines()[-1] == reason


def test_info_where_nothing_is(tmp_path):
    done = tabhero("info", tmp_path)
    assert done.exit_code == 1 and done.stderr == "error: no song there\n"


def test_info_tells_what_is_in_a_song(demo_song, tmp_path):
    done = tabhero("info", demo_song)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "Sectoid - Feelings (excerpt)" and "  audio    song.ogg" in lines
    counts = {key: len(track.notes) for key, track in read_song(demo_song).chart.tracks.items()}
    assert sorted(int(line.split()[-2]) for line in lines if line.endswith(" notes")) == sorted(counts.values())
    (tmp_path / "notes.chart").write_bytes(b"\xff\xfe")
    assert tabhero("info", tmp_path).exit_code == 1


def test_a_length_is_rounded_to_whole_minutes(tmp_path):
    track = Track(Instrument.LEAD, Difficulty.EXPERT, (Note(119_960, (0,)),))
    chart = Chart(TempoMap(1000, ((0, 60.0),)), {(track.instrument, track.difficulty): track})
    write_chart(chart, tmp_path / "notes.chart")
    assert "  length   2:00.0, to the chart's end" in tabhero("info", tmp_path).stdout


def test_preview_writes_a_page_or_pictures(demo_song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tabhero("preview", demo_song).stdout == "demo_song.html\n"
    assert "Feelings (excerpt)" in (tmp_path / "demo_song.html").read_text("utf-8")
    done = tabhero("preview", demo_song, "--png", "-d", "hard", "-o", "out/hard.png")
    assert done.exit_code == 0, done.stderr
    pictures = [tmp_path / line for line in done.stdout.splitlines()]
    assert pictures and all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    refused = tabhero("preview", demo_song, "--png", "-i", "keys")
    assert refused.exit_code == 1 and refused.stderr.startswith("error: the song has no expert keys notes")
    refused = tabhero("preview", demo_song, "-o", "out")
    assert refused.exit_code == 1 and refused.stderr == "error: [Errno 21] Is a directory: 'out'\n"


def test_version_and_help():
    assert tabhero("--version").stdout == f"tabhero {__version__}\n"
    assert {"chart", "check", "convert", "info"} <= set(tabhero("--help").stdout.split())


def test_charted_songs_pass_the_check(demo_song, tmp_path):
    done = tabhero("chart", demo_song, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert list(map(str, check_song(read_song(tmp_path / "out")))) == []


def test_a_part_of_a_chart_is_charted_anew(demo_song, tmp_path):
    before = read_song(demo_song).chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    command = ("chart", demo_song, "-o", tmp_path / "out", "-d", "expert", "--from", 10, "--to", 20, "--seed", 3)
    assert tabhero(*command).exit_code == 0
    after = read_song(tmp_path / "out").chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)

    def outside(notes):
        return [note[:3] for note in notes if not 10 <= note[0] < 20]

    assert outside(after) == outside(before)
    assert len(after) - len(outside(after)) > 10
    assert after != before
    failed = tabhero("chart", demo_song, "-o", tmp_path / "other", "--from", 99)
    assert failed.exit_code == 1 and "nothing from 99 to inf s" in failed.stderr
    assert not (tmp_path / "other").exists()
