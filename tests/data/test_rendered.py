import json

import numpy as np
import pytest
import torch

from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration, TabHeroTokenizer
from tabhero_hf.data.rendered import RenderedWindows, render_windows
from tabhero_hf.data.synthetic import make_window
from tabhero_hf.evaluation.windows import score_windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    render_windows(folder, first_seed=7, count=4, seconds=2.0, workers=1)
    return folder


def test_rendered_windows_are_the_synthetic_ones(folder):
    for difficulty in (0, 3):
        windows = RenderedWindows(folder, (difficulty,))
        assert len(windows) == 4
        for index in range(4):
            synthetic = make_window(7 + index, 2.0)
            decoded = TabHeroTokenizer().decode_notes(windows[index]["labels"])
            expected = synthetic.notes[difficulty]
            assert [note[1] for note in decoded] == [note[1] for note in expected]
            np.testing.assert_allclose([n[0] for n in decoded], [n[0] for n in expected], atol=0.0101)
            assert windows[index]["instrument_ids"] == synthetic.instrument
            assert windows[index]["input_features"].shape == (173, 128)


def test_each_difficulty_is_an_item_with_its_length(folder):
    windows = RenderedWindows(folder, (0, 3, 3))
    assert len(windows) == 12
    assert [windows[i]["difficulty_ids"] for i in range(6)] == [0, 3, 3] * 2
    assert windows.lengths == [len(windows[i]["labels"]) for i in range(12)]


def test_finished_shards_are_not_rendered_again(folder):
    (labels,) = folder.glob("*.json")
    marked = [{**row, "instrument": 3} for row in json.loads(labels.read_text())]
    labels.write_text(json.dumps(marked))
    render_windows(folder, first_seed=7, count=4, seconds=2.0, workers=1)
    assert json.loads(labels.read_text()) == marked


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no rendered windows"):
        RenderedWindows(tmp_path)


def test_a_model_is_scored_on_windows(folder):
    torch.manual_seed(0)
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    scores = score_windows(
        TabHeroForConditionalGeneration(config).eval(), RenderedWindows(folder, (3,)), batch_size=3, max_new_tokens=17
    )
    assert scores["windows"] == 4
    assert all(0 <= scores[name] <= 1 for name in ("onset_f1_25", "onset_f1_50", "onset_f1_100", "note_f1"))
