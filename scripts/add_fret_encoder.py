#!/usr/bin/env python
"""
Give a model a fret encoder that begins as the encoder of another one.

    python scripts/add_fret_encoder.py runs/tiny/final runs/earlier/final runs/tiny_with_fret_encoder

The gate through which it is read begins at 1; all other weights stay as they are. A fret encoder that the model had is
replaced. See `make fret-encoder`, which trains one.
"""

import argparse
import sys
from pathlib import Path

import torch

from tabhero_hf import TabHeroForConditionalGeneration, TabHeroProcessor
from tabhero_hf.data.schema import FEATURE_FIELDS
from tabhero_hf.modeling_tabhero import TabHeroFretEncoder
from tabhero_hf.training.run import first_difference

SAME = (
    "fret_pointer",
    "encoder_layers",
    "encoder_hidden_size",
    "intermediate_size",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "rope_parameters",
    "max_position_embeddings",
    "downsample_factor",
    "num_fret_tokens",
    "num_difficulties",
    "num_instruments",
)
"""Of both models' configurations: with others an encoder would not do in one what it did in the other."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the model, with its processor")
    parser.add_argument("other", type=Path, help="folder of the model whose encoder it gets, with its processor")
    parser.add_argument("output_dir", type=Path, help="where to save it")
    args = parser.parse_args()
    try:
        model, other = (
            TabHeroForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
            for folder in (args.model, args.other)
        )
        processor, hears = (TabHeroProcessor.from_pretrained(folder) for folder in (args.model, args.other))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if not model.config.fret_pointer:
        sys.exit(f"error: {args.model} has no fret pointer to read it")
    for names, of_other, of_model in (
        (SAME, other.config, model.config),
        (FEATURE_FIELDS, hears.feature_extractor, processor.feature_extractor),
    ):
        if difference := first_difference(names, of_other, of_model):
            name, has, needs = difference
            sys.exit(f"error: {args.other} has {name} {has}, but {args.model} has {needs}")
    encoder, heard = TabHeroFretEncoder(model.config), other.model.encoder.state_dict()
    encoder.load_state_dict({name: heard[name] for name in encoder.state_dict()})
    model.config.fret_encoder = True
    model.model.encoder.fret_encoder = encoder
    torch.nn.init.zeros_(model.fret_pointer.gate.weight)
    model.save_pretrained(args.output_dir)
    processor.save_pretrained(args.output_dir)
    print(args.output_dir)


if __name__ == "__main__":
    main()
