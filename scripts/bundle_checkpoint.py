#!/usr/bin/env python
"""
Put a model folder into the package, from where `bundled_checkpoint()` serves it.

    python scripts/bundle_checkpoint.py runs/tiny/final --name tiny

A saved folder carries the model's code for those without the package. Within the package that would be a copy, so it
is left out, and the `auto_map` that points to it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

CHECKPOINTS = Path(__file__).parent.parent / "tabhero_hf" / "checkpoints"
MAX_WEIGHT_BYTES = 16_000_000


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
    if weights.stat().st_size > MAX_WEIGHT_BYTES:
        sys.exit(f"error: {weights} has {weights.stat().st_size:,} bytes, over {MAX_WEIGHT_BYTES:,}")

    target = CHECKPOINTS / args.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(weights, target)
    for path in sorted(args.folder.glob("*.json")):
        settings = without_code(json.loads(path.read_text()))
        (target / path.name).write_text(json.dumps(settings, indent=2) + "\n")
    print(target)


if __name__ == "__main__":
    main()
