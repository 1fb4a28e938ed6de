import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tabhero_hf import TabHeroForConditionalGeneration, bundled_checkpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "bundle_checkpoint.py"


@pytest.fixture
def copies(tmp_path) -> list[Path]:
    """The bundled checkpoint, and one whose weights are 1 more."""
    one, other = (Path(shutil.copytree(bundled_checkpoint(), tmp_path / name)) for name in ("one", "other"))
    weights = load_file(one / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, other / "model.safetensors")
    return [one, other]


def bundle(monkeypatch, tmp_path, *folders: Path | str) -> Path:
    """A copy of the script puts them into a package of its own."""
    script = tmp_path / "scripts" / SCRIPT.name
    script.parent.mkdir()
    shutil.copy(SCRIPT, script)
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, folders)])
    runpy.run_path(str(script), run_name="__main__")
    return tmp_path / "tabhero_hf" / "checkpoints" / "tiny"


def test_several_folders_are_averaged_and_loadable(copies, monkeypatch, tmp_path):
    bundled = bundle(monkeypatch, tmp_path, *copies)
    weights, before = (load_file(folder / "model.safetensors") for folder in (bundled, copies[0]))
    for name, tensor in before.items():
        assert weights[name].dtype == torch.float16
        torch.testing.assert_close(weights[name].float(), tensor.float() + 0.5, rtol=1e-3, atol=1e-3)
    assert TabHeroForConditionalGeneration.from_pretrained(bundled).dtype == torch.float32


@pytest.mark.parametrize(("options", "share"), [((), 0.5), (("--earlier_share", "0.75"), 0.75)])
def test_what_a_run_started_from_is_blended_in(copies, monkeypatch, tmp_path, options, share):
    before = load_file(copies[0] / "model.safetensors")
    bundled = bundle(monkeypatch, tmp_path, copies[1], copies[1], "--earlier", copies[0], *options)
    for name, tensor in load_file(bundled / "model.safetensors").items():
        torch.testing.assert_close(tensor.float(), before[name].float() + 1 - share, rtol=2e-3, atol=2e-3)


def test_the_fret_encoder_counts_for_more(copies, monkeypatch, tmp_path):
    bundled = bundle(monkeypatch, tmp_path, copies[0], "--fret_encoder_scale", "1.5")
    weights, before = (load_file(folder / "model.safetensors") for folder in (bundled, copies[0]))
    output = {f"model.encoder.fret_encoder.fret_head.out.{name}" for name in ("weight", "bias")}
    assert {name for name in before if not torch.equal(weights[name], before[name])} == output
    for name in output:
        torch.testing.assert_close(weights[name].float(), 1.5 * before[name].float(), rtol=1e-3, atol=0)


def test_a_fret_encoder_that_is_not_there_is_not_scaled(copies, monkeypatch, tmp_path):
    weights = load_file(copies[0] / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".fret_encoder." not in name}
    save_file(kept, copies[0] / "model.safetensors")
    with pytest.raises(SystemExit, match="the model has no fret encoder"):
        bundle(monkeypatch, tmp_path, copies[0], "--fret_encoder_scale", "1.5")
    assert not (tmp_path / "tabhero_hf").exists()


def test_a_share_is_a_part(copies, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        bundle(monkeypatch, tmp_path, copies[1], "--earlier", copies[0], "--earlier_share", "1.5")
    assert "--earlier_share must be between 0 and 1" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["weights", "settings"])
def test_folders_that_do_not_fit_are_refused_and_nothing_is_lost(copies, monkeypatch, tmp_path, broken):
    kept = tmp_path / "tabhero_hf" / "checkpoints" / "tiny" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    if broken == "weights":
        save_file({"weight": torch.ones(2)}, copies[1] / "model.safetensors")
    else:
        (copies[0] / "vocab.json").unlink()
    words = {"weights": "other weights than .*one", "settings": "vocab.json"}
    with pytest.raises(SystemExit, match=words[broken]):
        bundle(monkeypatch, tmp_path, *copies)
    assert kept.read_bytes() == b"kept"
