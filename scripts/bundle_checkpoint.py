#!/usr/bin/env python
"""
Put a model folder into the package, from where `bundled_checkpoint()` serves it.

    python scripts/bundle_checkpoint.py runs/tiny/final --name tiny

Of several folders, the weights are averaged: the last checkpoints of a run hear more together than the last one alone
(Izmailov et al. 2018, arXiv:1803.05407). All else is the first one's. With `--earlier`, what a run started from is
blended in: what a stage forgets, the one before may still know (Wortsman et al. 2022, arXiv:2109.01903).

With `--fret_encoder_scale`, the logits of the fret encoder count for more or less than they learned to: a decoder that
learns from right frets trusts those before too much when it has written them itself.

Weights are stored in half precision, for the file alone: unless told otherwise, the model computes in float32. A saved
folder carries the model's code for those without the package. Within the package that would be a copy, so it is left
out, and the `auto_map` that points to it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, PROCESSOR_NAME, SAFE_WEIGHTS_NAME

CHECKPOINTS = Path(__file__).parent.parent / "tabhero_hf" / "checkpoints"
MAX_WEIGHT_BYTES = 30_000_000
FRET_ENCODER_OUTPUT = "model.encoder.fret_encoder.fret_head.out."
SETTINGS = (CONFIG_NAME, GENERATION_CONFIG_NAME, PROCESSOR_NAME, "tokenizer_config.json", "vocab.json")


def without_code(value):
    """A JSON value without any `auto_map` in it."""
    if isinstance(value, dict):
        return {key: without_code(item) for key, item in value.items() if key != "auto_map"}
    return value


def mean_weights(folders: list[tuple[Path, float]]) -> dict[str, torch.Tensor]:
    """The sum of folders' weights, each times its share, in half precision, summed in float32.

    Raises:
        ValueError: a folder has none, or tensors of other names or shapes than the first one's.
    """
    total: dict[str, torch.Tensor] = {}
    for folder, share in folders:
        file = folder / SAFE_WEIGHTS_NAME
        if not file.is_file():
            raise ValueError(f"{file} does not exist")
        weights = {name: share * tensor.float() for name, tensor in load_file(file).items()}
        shapes = {name: tensor.shape for name, tensor in weights.items()}
        if total and shapes != {name: tensor.shape for name, tensor in total.items()}:
            raise ValueError(f"{file} has other weights than {folders[0][0]}")
        total = {name: tensor + total.get(name, 0) for name, tensor in weights.items()}
    return {name: tensor.half() for name, tensor in total.items()}


def scale_fret_encoder(weights: dict[str, torch.Tensor], factor: float):
    """Multiplies the logits of the fret encoder, in place.

    Raises:
        ValueError: there is no fret encoder.
    """
    names = [name for name in weights if name.startswith(FRET_ENCODER_OUTPUT)]
    if not names:
        raise ValueError("--fret_encoder_scale: the model has no fret encoder")
    for name in names:
        weights[name] = weights[name] * factor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", type=Path, nargs="+", help="model folders; the first with processor and generation settings"
    )
    parser.add_argument("--earlier", type=Path, help="what the run started from, to blend in")
    parser.add_argument("--earlier_share", type=float, default=0.5, help="its share of the weights")
    parser.add_argument("--fret_encoder_scale", type=float, help="what the fret encoder's logits are multiplied by")
    parser.add_argument("--name", default="tiny", help="name of the bundled checkpoint")
    args = parser.parse_args()
    if not 0 < args.earlier_share < 1:
        parser.error(f"--earlier_share must be between 0 and 1, not {args.earlier_share}")
    try:
        earlier = [(args.earlier, args.earlier_share)] if args.earlier else []
        share = (1 - sum(part for _, part in earlier)) / len(args.folders)
        weights = mean_weights([*((folder, share) for folder in args.folders), *earlier])
        if args.fret_encoder_scale is not None:
            scale_fret_encoder(weights, args.fret_encoder_scale)
        files = {name: without_code(json.loads((args.folders[0] / name).read_text())) for name in SETTINGS}
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    size = sum(2 * tensor.numel() for tensor in weights.values())
    if size > MAX_WEIGHT_BYTES:
        sys.exit(f"error: {args.folders[0]} has {size:,} bytes in half precision, over {MAX_WEIGHT_BYTES:,}")

    target = CHECKPOINTS / args.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    save_file(weights, target / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})
    files[CONFIG_NAME] |= {"dtype": "float32", "use_cache": True}  # the Trainer turns the cache off
    for name, settings in files.items():
        (target / name).write_text(json.dumps(settings, indent=2) + "\n")
    print(target)


if __name__ == "__main__":
    main()
