import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tabhero_hf import TabHeroFeatureExtractor, TabHeroTokenizer
from tabhero_hf.data.tab_file import TabFile, read_tab, write_tab
from tabhero_hf.data.tab_folder import dataset_from_tab_folder
from tabhero_hf.data.windows import ChartWindows

EXTRACTOR = TabHeroFeatureExtractor(feature_size=4, max_frames=200, overlap_frames=50)
TOKENIZER = TabHeroTokenizer()
COPIES = Path(__file__).parent.parent / "fixtures" / "tab"
SHARED = os.environ.get("TABHERO_SHARED_FIXTURES")
NOTES = [(0.5, (0,), 0, 0.0), (2.5, (1, 3), 5, 0.5), (4.99, (6,), 0, 7.0)]


def write(path: Path, song: int = 7, mel: int = 0, difficulty: int = 3, tokens=None, frames: int = 450, **fields):
    values = np.random.default_rng(mel).normal(size=(frames, 4)).astype(np.float16)
    tokens = TOKENIZER.encode_notes(NOTES) if tokens is None else tokens
    write_tab(TabFile(difficulty, 0, values, np.array(tokens, np.int16), song_id=song, **fields), path)


def charts(dataset) -> list[tuple]:
    """Of the first windows, which song's they are and which charts they have."""
    return [
        (row["song_id"], row["audio"], [(chart["difficulty"], chart["instrument"]) for chart in row["charts"]])
        for row in dataset
        if row["window"] == 0
    ]


def test_charts_of_one_song_and_mel_share_its_windows(tmp_path):
    write(tmp_path / "a.tab", difficulty=3, genre=2)
    write(tmp_path / "b.tab", difficulty=1, genre=2)
    write(tmp_path / "c.tab", difficulty=1, mel=1)
    write(tmp_path / "d.tab", song=300)
    splits, skipped = dataset_from_tab_folder(tmp_path, EXTRACTOR)
    assert list(splits) == ["train"] and skipped == []
    rows = splits["train"]
    assert charts(rows) == [
        (f"{7:016x}", "mix", [(1, 0), (3, 0)]),
        (f"{7:016x}", "mix-2", [(1, 0)]),
        (f"{300:016x}", "mix", [(3, 0)]),
    ]
    assert [row["num_frames"] for row in rows][:3] == [200, 200, 150] and rows[0]["genre"] == 2
    mel = np.frombuffer(rows[1]["mel"], np.float16).reshape(200, 4)
    np.testing.assert_array_equal(mel, read_tab(tmp_path / "b.tab").mel[150:350])

    windows = ChartWindows(rows, EXTRACTOR, random_start=True)
    found = {}
    for item in windows:
        for onset, lanes, bits, sustain in TOKENIZER.decode_notes(item["labels"], item["window_start"]):
            found.setdefault((round(onset, 1), lanes, bits), set()).add(round(sustain, 2))
    assert found.keys() == {(round(onset, 1), lanes, bits) for onset, lanes, bits, _ in NOTES}
    # A window may end before what is held does, as the song itself does at 5.22 s.
    assert found[0.5, (0,), 0] == {0.0} and 0.5 in found[2.5, (1, 3), 5] and max(found[5.0, (6,), 0]) <= 0.2


def test_the_original_s_files():
    folder = Path(SHARED) / "tab" if SHARED else COPIES
    splits, skipped = dataset_from_tab_folder(folder)
    assert skipped == []
    read = [chart for _, _, keys in charts(splits["train"]) for chart in keys]
    files = [read_tab(path) for path in folder.glob("*.tab")]
    assert sorted(read) == sorted((tab.difficulty, tab.instrument) for tab in files)
    assert sorted(len(item["labels"]) for item in ChartWindows(splits["train"])) == sorted(
        len(tab.tokens) - 1 for tab in files
    )


def test_floored_times_are_said(tmp_path, caplog):
    write(tmp_path / "a.tab")
    write(tmp_path / "b.tab", song=8, floored_times=True)
    dataset_from_tab_folder(tmp_path, EXTRACTOR)
    assert "1 charts may have floored times" in caplog.text


def test_files_that_cannot_be_used_are_skipped_and_named(tmp_path):
    write(tmp_path / "good.tab")
    write(tmp_path / "second.tab", tokens=[1, 2])
    write(tmp_path / "other_hop.tab", hop_length=512)
    write(tmp_path / "wrong_order.tab", difficulty=2, tokens=[1, 504, 2])
    (tmp_path / "cut.tab").write_bytes((tmp_path / "good.tab").read_bytes()[:-5])
    (tmp_path / "empty.tab").touch()
    splits, skipped = dataset_from_tab_folder(tmp_path, EXTRACTOR)
    assert charts(splits["train"]) == [(f"{7:016x}", "mix", [(3, 0)])]
    reasons = {path.name: reason for path, reason in skipped}
    assert list(reasons) == ["cut.tab", "empty.tab", "other_hop.tab", "second.tab", "wrong_order.tab"]
    assert "cut short" in reasons["cut.tab"] and "TIME is due" in reasons["wrong_order.tab"]
    assert (
        reasons["other_hop.tab"] == "mel bands, sampling rate and hop length are (4, 22050, 512), not (4, 22050, 256)"
    )
    assert reasons["second.tab"] == "another chart of the same audio, difficulty and instrument"

    (tmp_path / "good.tab").unlink()
    (tmp_path / "second.tab").unlink()
    with pytest.raises(ValueError, match=r"no \.tab file that can be used\n  cut.tab: "):
        dataset_from_tab_folder(tmp_path, EXTRACTOR)


def test_the_manifest_says_what_is_for_validation(tmp_path):
    for song, name in enumerate("abc", start=1):
        write(tmp_path / f"{name}.tab", song=song)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"train": ["a", "elsewhere"], "val": ["b"]}))
    splits, _ = dataset_from_tab_folder(tmp_path, EXTRACTOR)
    assert [song for song, _, _ in charts(splits["validation"])] == [f"{2:016x}"]
    assert [song for song, _, _ in charts(splits["train"])] == [f"{1:016x}", f"{3:016x}"]
    for content in ("{", "[]", '{"val": [1]}', '{"val": "b.tab"}'):
        manifest.write_text(content)
        with pytest.raises(ValueError, match="manifest.json: no list of names as `val`"):
            dataset_from_tab_folder(tmp_path, EXTRACTOR)


def test_a_changed_folder_is_read_anew(tmp_path):
    write(tmp_path / "a.tab")
    before = dataset_from_tab_folder(tmp_path, EXTRACTOR)[0]["train"]
    write(tmp_path / "a.tab", mel=5)
    after = dataset_from_tab_folder(tmp_path, EXTRACTOR)[0]["train"]
    assert before["mel"][0] != after["mel"][0]
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "a.tab", copy)
    assert dataset_from_tab_folder(copy, EXTRACTOR)[0]["train"][:] == after[:]
