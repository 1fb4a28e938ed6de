import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tabhero_hf import TabHeroForConditionalGeneration, TabHeroProcessor

SCRIPT = Path(__file__).parents[2] / "scripts" / "add_fret_encoder.py"


def add(monkeypatch, *folders: Path):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, folders)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture
def other(small_model, tmp_path) -> Path:
    """Another one, of other weights."""
    torch.manual_seed(1)
    model = TabHeroForConditionalGeneration(TabHeroForConditionalGeneration.from_pretrained(small_model).config)
    model.save_pretrained(tmp_path / "other")
    TabHeroProcessor.from_pretrained(small_model).save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def test_the_fret_pointer_reads_the_other_model_s_frets(small_model, other, monkeypatch, tmp_path):
    add(monkeypatch, small_model, other, tmp_path / "once")
    add(monkeypatch, tmp_path / "once", small_model, tmp_path / "again")
    models = [
        TabHeroForConditionalGeneration.from_pretrained(folder).model.encoder.eval()
        for folder in (small_model, other, tmp_path / "once", tmp_path / "again")
    ]
    inputs = torch.randn(1, 100, 128), None, torch.tensor([3]), torch.tensor([0])
    with torch.no_grad():
        heard, by_other, once, again = (model(*inputs) for model in models)
    assert torch.equal(once.pointer_logits, by_other.fret_logits)
    assert torch.equal(once.fret_logits, heard.fret_logits)
    assert torch.equal(again.pointer_logits, heard.fret_logits)


def test_all_else_stays_but_the_gate(small_model, other, monkeypatch, tmp_path):
    gated = Path(shutil.copytree(small_model, tmp_path / "gated"))
    model = TabHeroForConditionalGeneration.from_pretrained(gated)
    torch.nn.init.ones_(model.fret_pointer.gate.weight)
    model.save_pretrained(gated)
    add(monkeypatch, gated, other, tmp_path / "new")
    before, after = (load_file(folder / "model.safetensors") for folder in (gated, tmp_path / "new"))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"fret_pointer.gate.weight"}
    assert not after["fret_pointer.gate.weight"].any()


@pytest.mark.parametrize(("field", "value"), [("encoder_layers", 1), ("head_dim", 32), ("fret_pointer", False)])
def test_an_encoder_of_another_kind_is_refused(small_model, other, monkeypatch, tmp_path, field, value):
    config = TabHeroForConditionalGeneration.from_pretrained(other).config
    setattr(config, field, value)
    TabHeroForConditionalGeneration(config).save_pretrained(other)
    with pytest.raises(SystemExit, match=f"other has {field} {value}, but .*model.* has "):
        add(monkeypatch, small_model, other, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_encoder_of_other_mels_is_refused(small_model, other, monkeypatch, tmp_path):
    processor = TabHeroProcessor.from_pretrained(other)
    processor.feature_extractor.n_fft = 1024
    processor.save_pretrained(other)
    with pytest.raises(SystemExit, match="other has n_fft 1024, but .*model.* has 2048"):
        add(monkeypatch, small_model, other, tmp_path / "new")


def test_a_model_without_a_fret_pointer_gets_none(other, monkeypatch, tmp_path):
    config = TabHeroForConditionalGeneration.from_pretrained(other).config
    config.fret_pointer = False
    TabHeroForConditionalGeneration(config).save_pretrained(other)
    with pytest.raises(SystemExit, match="other has no fret pointer to read it"):
        add(monkeypatch, other, other, tmp_path / "new")
