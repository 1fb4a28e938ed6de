#!/usr/bin/env python
"""
Writes the cards that follow from code and data: of the sizes that nobody has trained yet, and of the demo's dataset.

    python scripts/model_cards.py

The text of `model_cards/dataset.md` outside its marks is kept.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import DatasetCard

from tabhero_hf.data.preparation import PreparationSettings, prepare_library
from tabhero_hf.data.publishing import CARD, write_card
from tabhero_hf.data.statistics import PLOT, write_statistics
from tabhero_hf.training.model_card import recipe_card

CARDS = Path("model_cards")
SONGS = "tests/fixtures/demo_song"
UNTRAINED_SIZES = ("small", "base", "large")


def main():
    for size in UNTRAINED_SIZES:
        recipe_card(f"scripts/configs/{size}.yaml").save(CARDS / f"{size}.md")
    with TemporaryDirectory() as folder:
        dataset = Path(folder)
        shutil.copy(CARDS / "dataset.md", dataset / CARD)
        report = prepare_library(SONGS, dataset, PreparationSettings(splits=(1, 0, 0)))
        write_card(dataset, report, write_statistics(dataset))
        card = DatasetCard.load(dataset / CARD)
        for config in card.data.configs:
            del config["description"]  # of files that other machines write with other bytes
        card.save(CARDS / "dataset.md")
        shutil.copy(dataset / PLOT, CARDS / PLOT)


if __name__ == "__main__":
    main()
