#!/usr/bin/env python
"""
Put a model folder into the package, from where `bundled_checkpoint()` serves it.

    python scripts/bundle_checkpoint.py runs/tiny/final --name tiny

Weights are stored in half precision, for the file alone: unless told otherwise, the model computes in float32. A saved
folder carries the model's code for those without the package. Within the package that would be a copy, so it is left
out, and the `auto_map` that points to it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, PROCESSOR_NAME

CHECKPOINTS = Path(__file__).parent.parent / "tabhero_hf" / "checkpoints"
MAX_WEIGHT_BYTES = 30_000_000
SETTINGS = (CONFIG_NAME, GENERATION_CONFIG_NAME, PROCESSOR_NAME, "tokenizer_config.json", "vocab.json")


def without_code(value):
    """A JSON value without any `auto_map` in it."""
    if isinstance(value, dict):
        return {key: without_code(item) for key, item in value.items() if key != "auto_map"}
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="model folder with weights, processor and generation settings")
    parser.add_argument("--name", default="tiny", help="name of the bundled checkpoint")
    args = parser.parse_args()
    weights = args.folder / "model.safetensors"
    if not weights.is_file():
        sys.exit(f"error: {weights} does not exist")
    halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
    size = sum(2 * tensor.numel() for tensor in halves.values())
    if size > MAX_WEIGHT_BYTES:
        sys.exit(f"error: {weights} has {size:,} bytes in half precision, over {MAX_WEIGHT_BYTES:,}")

    target = CHECKPOINTS / args.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    save_file(halves, target / weights.name, metadata={"format": "pt"})
    for name in SETTINGS:
        settings = without_code(json.loads((args.folder / name).read_text()))
        if name == CONFIG_NAME:
            settings = {**settings, "dtype": "float32", "use_cache": True}  # the Trainer turns the cache off
        (target / name).write_text(json.dumps(settings, indent=2) + "\n")
    print(target)


if __name__ == "__main__":
    main()
