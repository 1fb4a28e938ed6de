#!/usr/bin/env python
"""
Renders short pieces of synthetic music, charted by pitch, to a dataset for scripts/train.py.

    python scripts/render_pieces.py runs/pieces --pieces 5000       # some seven minutes on two cores

Each piece is one window. Goes on where it was stopped.
"""

import sys
from dataclasses import dataclass, field

from transformers import HfArgumentParser

from tabhero_hf import TabHeroFeatureExtractor
from tabhero_hf.data.rendered import render_dataset


@dataclass
class Arguments:
    pieces: int = field(default=5000, metadata={"help": "Pieces to train on."})
    first_seed: int = field(default=0, metadata={"help": "Of the pieces to train on; each has the next one."})
    held_out_pieces: int = field(default=250, metadata={"help": "Pieces to evaluate on."})
    max_frames: int = field(default=689, metadata={"help": "Mel frames of a window, of 256 / 22050 s each."})


def main():
    parser = HfArgumentParser(Arguments, description=__doc__.splitlines()[1])
    parser.add_argument("output", help="Folder of the dataset.")
    args = parser.parse_args()
    extractor = TabHeroFeatureExtractor(max_frames=args.max_frames, overlap_frames=0)
    pieces = {"train": args.pieces, "validation": args.held_out_pieces}
    try:
        render_dataset(args.output, pieces, extractor, first_seed=args.first_seed)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
