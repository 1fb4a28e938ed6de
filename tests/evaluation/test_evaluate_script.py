"""scripts/evaluate.py on a few seconds of the demo's song, with a small random model."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "evaluate.py"
BASELINES = [
    *("librosa onsets", "clicks, 5 per second", "eighths, fitted tempo", "eighths, true tempo (oracle)"),
    *("the human's onsets, one lane", "the human chart"),
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evaluate_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their types up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    model = TabHeroForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 21
    model.save_pretrained(folder)
    TabHeroProcessor(TabHeroFeatureExtractor(max_frames=344, overlap_frames=40), TabHeroTokenizer()).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def run(script, model, tmp_path, monkeypatch, capsys):
    def run(*arguments) -> tuple[dict, str]:
        command = [SCRIPT.name, "--model", model, "--output_dir", tmp_path / "out", "--max_seconds", 6, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        script.main()
        return json.loads((tmp_path / "out" / "report.json").read_text()), capsys.readouterr().err

    return run


def test_the_model_stands_beside_every_baseline(run, demo_song, tmp_path):
    songs = tmp_path / "library"
    shutil.copytree(demo_song, songs / "one")
    shutil.copytree(demo_song, songs / "two")
    notes = (songs / "two" / "notes.chart").read_text()
    easy = notes[notes.index("[ExpertSingle]") :].replace("Expert", "Easy")
    (songs / "two" / "notes.chart").write_text(notes + easy)
    (songs / "broken").mkdir()
    (songs / "broken" / "notes.chart").write_text("nothing")
    report, said = run("--songs", songs, "--difficulties", "easy", "expert", "--num_beams", 2)

    assert "left out" in said and "broken" in said
    assert report["facts"]["decoding"] == "2 beams" and report["facts"]["audio"] == "the first 6 s, mix"
    assert "songs whose harder lead charts have more notes" in report["facts"]
    assert {row["song"] for row in report["songs"] if row["difficulty"] == "easy"} == {"two"}
    expert = {row["system"]: row for row in report["summary"] if row["difficulty"] == "expert"}
    assert list(expert) == [
        "model",
        "model, before arranging",
        "model, silence",
        "model, another song's audio",
        *BASELINES,
    ]
    assert all(row["songs"] == 2 for row in expert.values())
    # The two songs are one: what is heard there is heard here.
    assert expert["model"]["onset_f1_50"] == expert["model, another song's audio"]["onset_f1_50"]
    assert expert["the human chart"]["note_f1"]["mean"] == 1
    one_lane = expert["the human's onsets, one lane"]
    assert one_lane["onset_f1_50"]["mean"] == 1 > one_lane["contour"]["mean"]
    assert expert["librosa onsets"]["onset_f1_50"]["mean"] > 0.7
    assert expert["eighths, true tempo (oracle)"]["on_grid"]["mean"] == 1
    assert 0 < expert["clicks, 5 per second"]["onset_f1_50"]["mean"] < 0.7
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.md", "report.json", "report.png"}


def test_one_song_needs_other_audio_given(run, demo_song):
    report, _ = run("--songs", demo_song)
    assert [row["system"] for row in report["songs"]] == [
        "model",
        "model, before arranging",
        "model, silence",
        *BASELINES,
    ]
    assert {row["song"] for row in report["songs"]} == {"demo_song"}
    report, _ = run("--songs", demo_song, "--other_audio", demo_song.parent / "other_song.ogg")
    assert "model, another song's audio" in [row["system"] for row in report["songs"]]


def test_charts_that_are_not_there_are_not_scored(run, demo_song, tmp_path):
    with pytest.raises(SystemExit, match="no song has a chart"):
        run("--songs", demo_song, "--instruments", "keys")
    with pytest.raises(SystemExit, match="no song has a chart"):
        run("--songs", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--instruments", "harp"], "known are lead, bass"),
        (["--difficulties", "insane"], "no difficulty is called 'insane'"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--num_beams", 0], "are 1 or more"),
        (["--window_batch_size", 0], "are 1 or more"),
    ],
)
def test_what_cannot_be_is_one_line(run, demo_song, arguments, message):
    with pytest.raises(SystemExit, match=message) as caught:
        run("--songs", demo_song, *arguments)
    assert caught.value.code.startswith("error: ")


def test_other_audio_is_read_before_songs_are_heard(run, demo_song, script, monkeypatch):
    monkeypatch.setattr(script, "listen", lambda *_: pytest.fail("a song was heard"))
    with pytest.raises(SystemExit, match="no such file"):
        run("--songs", demo_song, "--other_audio", "/nowhere.ogg")


def test_an_instrument_is_heard_by_itself_where_it_has_a_stem(run, demo_song, tmp_path):
    with pytest.raises(SystemExit, match="no song has a chart"):
        run("--songs", demo_song, "--audio", "stem")
    with pytest.raises(SystemExit, match="a stem is of one instrument"):
        run("--songs", demo_song, "--audio", "stem", "--instruments", "lead", "bass")
    song = Path(shutil.copytree(demo_song, tmp_path / "song"))
    samples, rate = soundfile.read(song / "song.ogg")
    soundfile.write(song / "guitar.wav", samples, rate)
    soundfile.write(song / "song.ogg", np.zeros((rate, 2)), rate)
    report, said = run("--songs", song, demo_song, "--audio", "stem")
    assert "left out: demo_song: no stem of its own" in said
    assert report["facts"]["audio"] == "the first 6 s, stem"
    onsets = next(row for row in report["songs"] if row["system"] == "librosa onsets")
    assert onsets["onset_f1_50"] > 0.7
