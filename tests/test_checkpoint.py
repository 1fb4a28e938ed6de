"""What the bundled checkpoint can do, on music it never heard."""

import json
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from tabhero_hf import TabHeroForConditionalGeneration, bundled_checkpoint
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.data.rendered import RenderedWindows, render_windows
from tabhero_hf.evaluation.metrics import onset_f1
from tabhero_hf.evaluation.windows import score_windows

UNSEEN_SEED = 2_000_000_000  # neither training nor its own held-out windows come near


@pytest.fixture(scope="module")
def charter():
    return pipeline("audio-to-chart", model=bundled_checkpoint(), device="cpu")


def score(folder: Path, count: int, seed: int) -> dict[str, float]:
    render_windows(folder, seed, count, 8.0)
    model = TabHeroForConditionalGeneration.from_pretrained(bundled_checkpoint()).eval()
    return score_windows(model, RenderedWindows(folder, (3,)))


def test_it_is_small_and_computes_in_float32():
    folder = Path(bundled_checkpoint())
    assert (folder / "model.safetensors").stat().st_size <= 16_000_000
    assert TabHeroForConditionalGeneration.from_pretrained(folder).dtype == torch.float32
    assert not list(folder.glob("*.py")) and "auto_map" not in json.loads((folder / "config.json").read_text())


def test_it_charts_unseen_synthetic_windows(tmp_path):
    scores = score(tmp_path, 60, UNSEEN_SEED)
    assert scores["onset_f1_50"] >= 0.90 and scores["note_f1"] >= 0.75
    assert 0.9 <= scores["density"] <= 1.1


@pytest.mark.slow
def test_it_reaches_what_its_card_states_on_many_windows(tmp_path):
    scores = score(tmp_path, 500, UNSEEN_SEED)
    assert scores["onset_f1_50"] >= 0.90 and scores["note_f1"] >= 0.80


def test_it_listens_to_a_real_song(charter, demo_song):
    human = read_song(demo_song).chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    chart = charter(demo_song, difficulties=["expert"])["notes"]["lead", "expert"]
    other = charter(demo_song.parent / "other_song.ogg", difficulties=["expert"])["notes"]["lead", "expert"]
    assert onset_f1(human, chart) >= 0.75
    assert onset_f1(human, chart) - onset_f1(human, other) >= 0.15


def test_harder_charts_have_more_notes(charter, demo_song):
    notes = charter(demo_song)["notes"]
    counts = [len(notes["lead", name]) for name in ("easy", "medium", "hard", "expert")]
    assert counts == sorted(set(counts))
