"""scripts/label_recordings.py on seconds of the demo's song."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import load_dataset

from tabhero_hf import TabHeroFeatureExtractor
from tabhero_hf.audio import load_audio
from tabhero_hf.data.windows import ChartWindows

SCRIPT = Path(__file__).parents[2] / "scripts" / "label_recordings.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their types up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def recordings(tmp_path, demo_song):
    folder = tmp_path / "recordings"
    (folder / "album.ogg").mkdir(parents=True)
    soundfile.write(folder / "album.ogg" / "tune.wav", load_audio(demo_song, 22050)[: 12 * 22050], 22050)
    (folder / "broken.ogg").write_bytes(b"no music")
    (folder / "._tune.wav").write_bytes(b"no music either")
    return folder


def test_what_a_model_hears_in_recordings_is_a_dataset(script, recordings, demo_song, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    script.main([str(recordings), str(out)])
    (left_out,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert "broken.ogg: not audio" in left_out
    rows = load_dataset(str(out))["train"]
    assert set(rows["title"]) == {"tune"}
    windows = ChartWindows(rows, TabHeroFeatureExtractor.from_pretrained(out), difficulties=[3], random_start=True)
    assert len(windows) == len(rows) == 2
    # The charts are of this music: of its 12 s a human's has some 25 notes.
    onsets = np.concatenate([row["charts"][3]["onsets"] for row in rows])
    assert 15 < len(onsets) < 60
    assert len(rows[0]["charts"][0]["onsets"]) < len(rows[0]["charts"][3]["onsets"])

    monkeypatch.setattr(script, "labelled", lambda *_: pytest.fail("heard again"))
    (recordings / "broken.ogg").unlink()
    script.main([str(recordings), str(out)])
    monkeypatch.undo()
    script.main([str(recordings), str(out), "--instruments", "bass"])
    rows = load_dataset(str(out))["train"]
    assert len(rows) == 2 and {chart["instrument"] for row in rows for chart in row["charts"]} == {1}


def test_what_cannot_be_labelled_is_one_line(script, recordings, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, reason in {
        (recordings, tmp_path / "out", "--instruments", "harp"): "error: .*'harp'",
        (recordings, tmp_path / "out", "--model", "/nowhere/at/all"): "error: .*nowhere",
        (tmp_path / "empty", tmp_path / "out"): "error: there is no audio in .*empty",
    }.items():
        with pytest.raises(SystemExit, match=reason):
            script.main(list(map(str, arguments)))
    assert not (tmp_path / "out").exists()
