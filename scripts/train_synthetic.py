#!/usr/bin/env python
"""
Train the checkpoint that ships with the package, on synthetic windows alone.

    python scripts/train_synthetic.py --output_dir runs/tiny

Renders the windows (once), trains, measures on windows that training never saw, and writes a model folder with
processor, generation settings and weights in half precision to `<output_dir>/final`. Can be stopped and run again: it
goes on from the last checkpoint.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, HfArgumentParser, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)
from tabhero_hf.data.collator import BackgroundNoise, RandomEqualizer, SpecAugment, TabHeroCollator
from tabhero_hf.data.rendered import RenderedWindows, render_windows
from tabhero_hf.evaluation.windows import score_windows

HELD_OUT_SEED = 1_000_000_000  # training takes its seeds from 0 on


@dataclass
class Arguments:
    output_dir: str = dataclasses.field(metadata={"help": "Folder of windows, checkpoints and the final model."})
    windows: int = dataclasses.field(default=5500, metadata={"help": "Windows to train on."})
    held_out_windows: int = dataclasses.field(default=250, metadata={"help": "Windows to measure on."})
    seconds: float = dataclasses.field(default=8.0, metadata={"help": "Length of a window."})
    max_steps: int = dataclasses.field(default=2000, metadata={"help": "Optimiser steps."})
    batch_size: int = dataclasses.field(default=16, metadata={"help": "Windows in a step."})
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"help": "Highest learning rate."})
    encoder_layers: int = dataclasses.field(default=2, metadata={"help": "Self-attention layers of the encoder."})
    num_hidden_layers: int = dataclasses.field(default=3, metadata={"help": "Layers of the decoder."})
    onset_pointer: bool = dataclasses.field(default=True, metadata={"help": "Point from TIME tokens to onsets."})
    fret_pointer: bool = dataclasses.field(default=True, metadata={"help": "Point from FRET tokens to frets heard."})
    time_aligned: bool = dataclasses.field(default=True, metadata={"help": "Time-aligned cross-attention."})
    listening_loss_weight: float = dataclasses.field(default=1.0, metadata={"help": "Weight of the encoder losses."})
    fret_corruption: float = dataclasses.field(
        default=0.4, metadata={"help": "Share of frets that the decoder is shown wrongly, so that it listens."}
    )
    init_from: str | None = dataclasses.field(
        default=None, metadata={"help": "Model folder whose weights to start from, instead of random ones."}
    )
    seed: int = dataclasses.field(default=0, metadata={"help": "Seed of weights, order and augmentation."})


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    set_seed(args.seed)
    output = Path(args.output_dir)
    started = time.time()
    render_windows(output / "windows", 0, args.windows, args.seconds)
    render_windows(output / "held_out", HELD_OUT_SEED, args.held_out_windows, args.seconds)
    rendered = time.time()

    model = initial_model(args)
    trainer = Trainer(
        model=model,
        args=training_arguments(args),
        train_dataset=RenderedWindows(output / "windows", seed=args.seed),
        data_collator=TabHeroCollator(
            augment=[BackgroundNoise(), RandomEqualizer(), SpecAugment(max_frames=15)],
            fret_corruption=args.fret_corruption,
            seed=args.seed,
        ),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(output / "checkpoints"))
    trained = time.time()

    final = save_final(trainer.model, args, output / "final")
    report = {
        "seconds_rendering": round(rendered - started),
        "seconds_training": round(trained - rendered),
        "arguments": dataclasses.asdict(args),
        "held_out": score_windows(final, RenderedWindows(output / "held_out", difficulty=3)),
    }
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def initial_model(args: Arguments) -> TabHeroForConditionalGeneration:
    if args.init_from:
        return TabHeroForConditionalGeneration.from_pretrained(args.init_from, dtype=torch.float32)
    return TabHeroForConditionalGeneration(
        TabHeroConfig.from_size(
            "tiny",
            encoder_layers=args.encoder_layers,
            num_hidden_layers=args.num_hidden_layers,
            time_aligned_cross_attention=args.time_aligned,
            onset_head=args.onset_pointer or args.listening_loss_weight > 0,
            onset_pointer=args.onset_pointer,
            fret_pointer=args.fret_pointer,
            listening_loss_weight=args.listening_loss_weight,
        )
    )


def training_arguments(args: Arguments) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(Path(args.output_dir) / "checkpoints"),
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        adam_beta2=0.95,
        weight_decay=0.01,
        max_grad_norm=1.0,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.01},
        warmup_steps=100,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        logging_steps=50,
        save_steps=200,
        save_total_limit=1,
        remove_unused_columns=False,
        seed=args.seed,
    )


def save_final(
    model: TabHeroForConditionalGeneration, args: Arguments, folder: Path
) -> TabHeroForConditionalGeneration:
    """Writes the model folder with weights in half precision, and returns the model as it loads from there."""
    tokenizer = TabHeroTokenizer()
    model.generation_config = GenerationConfig(
        max_new_tokens=512,
        decoder_start_token_id=tokenizer.bos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.config.use_cache = True  # the Trainer turns it off
    model.half().save_pretrained(folder)
    # Half precision is for the file alone: unless told otherwise, the model computes in float32.
    model.float().config.dtype = "float32"
    model.config.save_pretrained(folder)
    extractor = TabHeroFeatureExtractor(max_frames=int(args.seconds * 22050 / 256), overlap_frames=172)
    TabHeroProcessor(extractor, tokenizer).save_pretrained(folder)
    return TabHeroForConditionalGeneration.from_pretrained(folder).eval()


if __name__ == "__main__":
    main()
