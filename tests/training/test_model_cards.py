"""The cards in ``model_cards/`` that are written by ``scripts/model_cards.py``."""

import runpy
import shutil
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from tabhero_hf import TabHeroConfig
from tabhero_hf.configuration_tabhero import NAMED_SIZES

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "model_cards"


def test_cards_are_what_the_code_and_the_data_say(tmp_path, monkeypatch):
    shutil.copytree(CARDS, tmp_path / "model_cards")
    for name in ("scripts", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("scripts/model_cards.py", run_name="__main__")
    for card in CARDS.glob("*.md"):
        assert (tmp_path / "model_cards" / card.name).read_text("utf-8") == card.read_text("utf-8"), card.name


@pytest.mark.parametrize("size", NAMED_SIZES)
def test_every_size_has_a_card_in_the_hubs_format(size):
    card = ModelCard.load(CARDS / f"{size}.md")
    assert (card.data.license, card.data.library_name) == ("mit", "transformers")
    assert "## Limits" in card.text and "## Results" in card.text and "## Training" in card.text
    if size != "tiny":
        assert f"width {TabHeroConfig.from_size(size).hidden_size}, " in card.text
        assert "Not evaluated" in card.text and card.data.eval_results is None


def test_the_dataset_has_a_card_in_the_hubs_format():
    card = DatasetCard.load(CARDS / "dataset.md")
    assert card.data.license == "mit"
    assert card.data.configs == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train/*.parquet"}]}
    ]
