#!/usr/bin/env python
"""
Train a first model on synthetic windows alone, as the bundled checkpoint began.

    python scripts/train_synthetic.py --output_dir runs/tiny

Renders the windows (once), trains, measures on windows that training never saw, and writes a model folder with
processor, generation settings and weights in half precision to `<output_dir>/final`. Can be stopped and run again: it
goes on from the last checkpoint.

Training has two stages. First the encoder learns to listen, with its onset and fret heads alone: without a decoder a
step costs a third. Then the whole model learns to write.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import load_dataset
from torch.utils.data import Dataset
from transformers import HfArgumentParser, Trainer, TrainingArguments, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)
from tabhero_hf.charts import Difficulty
from tabhero_hf.data.collator import BackgroundNoise, RandomEqualizer, SpecAugment, TabHeroCollator
from tabhero_hf.data.rendered import render_dataset
from tabhero_hf.data.windows import ChartWindows, MixedWindows
from tabhero_hf.evaluation.windows import score_windows


@dataclass
class Arguments:
    output_dir: str = dataclasses.field(metadata={"help": "Folder of windows, checkpoints and the final model."})
    windows: int = dataclasses.field(default=8000, metadata={"help": "Windows to train on."})
    held_out_windows: int = dataclasses.field(default=250, metadata={"help": "Windows to measure on."})
    seconds: float = dataclasses.field(default=8.0, metadata={"help": "Length of a window."})
    listening_steps: int = dataclasses.field(default=4900, metadata={"help": "Optimiser steps of the encoder alone."})
    max_steps: int = dataclasses.field(default=2200, metadata={"help": "Optimiser steps of the whole model."})
    batch_size: int = dataclasses.field(default=16, metadata={"help": "Windows in a step."})
    learning_rate: float = dataclasses.field(default=8e-4, metadata={"help": "Highest learning rate of each stage."})
    encoder_layers: int = dataclasses.field(default=4, metadata={"help": "Self-attention layers of the encoder."})
    num_hidden_layers: int = dataclasses.field(default=2, metadata={"help": "Layers of the decoder."})
    fret_corruption: float = dataclasses.field(
        default=0.25, metadata={"help": "Share of frets that the decoder is shown wrongly, so that it listens."}
    )
    init_from: str | None = dataclasses.field(
        default=None, metadata={"help": "Model folder whose weights to start from, instead of random ones."}
    )
    seed: int = dataclasses.field(default=0, metadata={"help": "Seed of weights, order and augmentation."})


class WindowTrainer(Trainer):
    """A Trainer whose batches hold windows of similar numbers of notes, so that little is padding."""

    def _get_train_sampler(self, train_dataset=None):
        return LengthGroupedSampler(self.args.train_batch_size, lengths=self.train_dataset.lengths)


class ListeningTrainer(Trainer):
    """Trains a model's encoder alone, in one process."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        conditions = {name: inputs[name] for name in ("difficulty_ids", "instrument_ids")}
        encoder_outputs = model.model.encode(inputs["input_features"], **conditions)
        loss = model.listening_loss(encoder_outputs, inputs["labels"], num_items_in_batch)
        return (loss, encoder_outputs) if return_outputs else loss


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    set_seed(args.seed)
    output = Path(args.output_dir)
    started = time.time()
    pieces = {"train": args.windows, "validation": args.held_out_windows}
    extractor = TabHeroFeatureExtractor(max_frames=int(args.seconds * 22050 / 256), overlap_frames=172)
    render_dataset(output / "windows", pieces, extractor)
    rows = load_dataset(str(output / "windows"))
    rendered = time.time()

    model = initial_model(args)
    windows = ChartWindows(rows["train"], extractor, seed=args.seed)
    expert = ChartWindows(rows["train"], extractor, difficulties=[Difficulty.EXPERT], seed=args.seed)
    windows = MixedWindows([(windows, 1), (expert, 2)])
    train(ListeningTrainer, model, windows, args, output / "listening", args.listening_steps)
    listened = time.time()
    train(WindowTrainer, model, windows, args, output / "writing", args.max_steps, args.fret_corruption)
    written = time.time()

    held_out = ChartWindows(rows["validation"], extractor, difficulties=[Difficulty.EXPERT])
    final = save_final(model, TabHeroProcessor(extractor, TabHeroTokenizer()), output / "final")
    report = {
        "seconds_rendering": round(rendered - started),
        "seconds_listening": round(listened - rendered),
        "seconds_writing": round(written - listened),
        "arguments": dataclasses.asdict(args),
        "held_out": score_windows(final, held_out),
    }
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def train(
    trainer_class: type[Trainer],
    model: TabHeroForConditionalGeneration,
    windows: Dataset,
    args: Arguments,
    folder: Path,
    steps: int,
    fret_corruption: float = 0.0,
):
    """Trains the model for a stage of `steps`, or what an interrupted run has left of it."""
    trainer = trainer_class(
        model=model,
        args=training_arguments(args, folder, steps),
        train_dataset=windows,
        data_collator=TabHeroCollator(
            augment=[
                BackgroundNoise(probability=0.3),
                RandomEqualizer(),
                SpecAugment(),
            ],
            fret_corruption=fret_corruption,
            seed=args.seed,
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    # One that a stopped run was still writing has no state.
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)
    trainer.train(resume_from_checkpoint=last and str(last))


def initial_model(args: Arguments) -> TabHeroForConditionalGeneration:
    # On CPU the backward pass of fused attention is the slower one.
    attention = None if torch.cuda.is_available() else "eager"
    if args.init_from:
        return TabHeroForConditionalGeneration.from_pretrained(
            args.init_from, dtype=torch.float32, attn_implementation=attention
        )
    config = TabHeroConfig.from_size(
        "tiny",
        encoder_layers=args.encoder_layers,
        num_hidden_layers=args.num_hidden_layers,
        listening_loss_weight=1.0,
    )
    config._attn_implementation = attention
    return TabHeroForConditionalGeneration(config)


def training_arguments(args: Arguments, folder: Path, steps: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        adam_beta2=0.95,
        weight_decay=0.01,
        max_grad_norm=1.0,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.01},
        warmup_steps=100,
        bf16=torch.cuda.is_bf16_supported() if torch.cuda.is_available() else torch.cpu._is_avx512_bf16_supported(),
        use_cpu=not torch.cuda.is_available(),
        logging_steps=50,
        save_steps=200,
        save_total_limit=1,
        remove_unused_columns=False,
        seed=args.seed,
    )


def save_final(
    model: TabHeroForConditionalGeneration, processor: TabHeroProcessor, folder: Path
) -> TabHeroForConditionalGeneration:
    """Writes the model folder with weights in half precision, and returns the model as it loads from there."""
    model.generation_config.max_new_tokens = 512
    model.config.use_cache = True  # the Trainer turns it off
    model.half().save_pretrained(folder)
    # Half precision is for the file alone: unless told otherwise, the model computes in float32.
    model.float().config.dtype = "float32"
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    return TabHeroForConditionalGeneration.from_pretrained(folder).eval()


if __name__ == "__main__":
    main()
