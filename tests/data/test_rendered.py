import numpy as np
import pytest
import torch
from datasets import load_dataset

from tabhero_hf import TabHeroConfig, TabHeroFeatureExtractor, TabHeroForConditionalGeneration
from tabhero_hf.data.publishing import published_extractor
from tabhero_hf.data.rendered import render_dataset
from tabhero_hf.data.schema import FEATURE_FIELDS, chart_notes
from tabhero_hf.data.synthetic import make_window
from tabhero_hf.data.windows import ChartWindows
from tabhero_hf.evaluation.windows import score_windows

EXTRACTOR = TabHeroFeatureExtractor(max_frames=173, overlap_frames=0)
SECONDS = 172 * 256 / 22050
FIRST_HELD_OUT = 1_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    render_dataset(folder, {"train": 4, "validation": 2}, EXTRACTOR, workers=2)
    return folder


def test_rendered_pieces_are_the_synthetic_ones(folder):
    splits = load_dataset(str(folder))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 4, "validation": 2}
    for split, first in (("train", 0), ("validation", FIRST_HELD_OUT)):
        for seed, row in enumerate(splits[split], first):
            piece = make_window(seed, SECONDS)
            assert len(row["charts"]) == 4
            for chart in row["charts"]:
                expected, rendered = piece.notes[chart["difficulty"]], chart_notes(chart)
                assert chart["instrument"] == piece.instrument
                assert [note[1:3] for note in rendered] == [note[1:3] for note in expected]
                for column in (0, 3):
                    np.testing.assert_allclose(
                        *([n[column] for n in notes] for notes in (rendered, expected)), atol=1e-5
                    )
            mel = np.frombuffer(row["mel"], np.float16).reshape(173, 128)
            np.testing.assert_array_equal(mel, EXTRACTOR.log_mel(piece.waveform).astype(np.float16))


def test_pieces_are_trained_on_as_songs_are(folder):
    windows = ChartWindows(load_dataset(str(folder))["train"], EXTRACTOR, random_start=True)
    assert len(windows) == 16 and windows[3]["input_features"].shape == (173, 128)
    extractor = published_extractor(str(folder))
    assert all(getattr(extractor, name) == getattr(EXTRACTOR, name) for name in FEATURE_FIELDS)


def test_files_that_are_there_are_not_rendered_again(folder):
    files = sorted(folder.rglob("*.parquet"))
    assert len(files) == 2
    before = [file.stat().st_mtime_ns for file in files]
    render_dataset(folder, {"train": 4, "validation": 2}, EXTRACTOR, workers=1)
    assert [file.stat().st_mtime_ns for file in files] == before and sorted(folder.rglob("*.parquet")) == files


def test_a_dataset_goes_on_where_another_ends(folder, tmp_path):
    render_dataset(tmp_path, {"train": 2}, EXTRACTOR, workers=1, first_seed=2)
    first, more = (load_dataset(str(path))["train"] for path in (folder, tmp_path))
    assert more["mel"] == first["mel"][2:]


def test_nothing_to_evaluate_on_is_trained_on(tmp_path):
    for first_seed in (-1, FIRST_HELD_OUT - 1):
        with pytest.raises(ValueError, match=f"from 0 to 999999999, not from {first_seed} to {first_seed + 1}"):
            render_dataset(tmp_path, {"train": 2}, EXTRACTOR, first_seed=first_seed)
    assert not list(tmp_path.iterdir())


def test_other_settings_make_other_pieces(tmp_path):
    longer = TabHeroFeatureExtractor(max_frames=260, overlap_frames=0)
    for count, extractor in ((3, EXTRACTOR), (2, EXTRACTOR), (2, longer)):
        render_dataset(tmp_path, {"train": count}, extractor, workers=1)
        rows = load_dataset(str(tmp_path))["train"]
        assert rows["num_frames"][:] == [extractor.max_frames] * count
        assert len(ChartWindows(rows, extractor)) == 4 * count


def test_a_model_is_scored_on_windows(folder):
    torch.manual_seed(0)
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    windows = ChartWindows(load_dataset(str(folder))["train"], EXTRACTOR, difficulties=[3])
    scores = score_windows(TabHeroForConditionalGeneration(config).eval(), windows, batch_size=3, max_new_tokens=17)
    assert scores["windows"] == 4
    with pytest.raises(ValueError, match="no windows"):
        score_windows(TabHeroForConditionalGeneration(config), [])
    assert all(0 <= scores[name] <= 1 for name in ("onset_f1_25", "onset_f1_50", "onset_f1_100", "note_f1"))
