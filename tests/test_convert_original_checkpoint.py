import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tabhero_hf import TabHeroForConditionalGeneration

SCRIPT = Path(__file__).parent.parent / "scripts" / "convert_original_checkpoint.py"
ORIGINAL = Path(__file__).parent / "fixtures" / "original"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("kind", ["unmasked", "unconditioned"])
def test_logits_and_losses_are_the_originals(script, name, kind):
    model = script.convert(ORIGINAL / f"original_tiny_{name}.pt")
    expected = load_file(ORIGINAL / f"original_tiny_{name}.safetensors")
    tokens = expected["note_tokens"]
    labels = tokens[:, 1:].masked_fill(tokens[:, 1:] == 0, -100)
    conditioning = {"difficulty_ids": expected["difficulty_id"], "instrument_ids": expected["instrument_id"]}
    with torch.no_grad():
        outputs = model(
            expected["audio"],
            decoder_input_ids=tokens[:, :-1],
            labels=labels,
            **(conditioning if kind == "unmasked" else {}),
        )
    torch.testing.assert_close(outputs.logits, expected[f"logits_{kind}"], atol=1e-4, rtol=0)
    torch.testing.assert_close(outputs.loss, expected[f"loss_{kind}"][0], atol=1e-4, rtol=0)


def test_the_command_writes_a_folder_that_loads(script, tmp_path, capsys):
    source = ORIGINAL / "original_tiny_b.pt"
    script.main([str(source), str(tmp_path / "converted")])
    assert "1 decoder layers" in capsys.readouterr().out
    loaded = TabHeroForConditionalGeneration.from_pretrained(tmp_path / "converted")
    for name, value in script.convert(source).state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)
    # Not the twenty tokens of transformers: a window of 47.6 s has hundreds of notes.
    assert loaded.generation_config.max_new_tokens == 2048


class Exploit:
    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a checkpoint", "cannot be read as a PyTorch checkpoint"),
        (pickle.dumps(Exploit()), "cannot be read as a PyTorch checkpoint"),
        (None, "holds no `model_state_dict`"),
    ],
)
def test_a_file_that_is_no_such_checkpoint_is_refused(script, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is None:
        torch.save({"weights": torch.zeros(3)}, "model.pt")
    else:
        Path("model.pt").write_bytes(content)
    with pytest.raises(SystemExit, match=f"error: model.pt {message}"):
        script.main(["model.pt", "out"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_checkpoint_of_another_model_is_refused(script, tmp_path):
    torch.save({"model_state_dict": {"layer.weight": torch.zeros(3)}}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="not an original Tab Hero model"):
        script.convert(tmp_path / "model.pt")
