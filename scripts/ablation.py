#!/usr/bin/env python
"""
What each training option is worth: short runs on synthetic music, alike but for one option, at equal steps.

    python scripts/ablation.py --output_dir runs/ablation       # some 35 minutes on two cores; goes on if stopped

Writes `ablation.json` and `ablation.md`, scored on windows that no run trained on.
"""

import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from tabhero_hf import TabHeroFeatureExtractor
from tabhero_hf.data.rendered import render_dataset
from tabhero_hf.training.arguments import parse_arguments
from tabhero_hf.training.run import train

VARIANTS = {
    "defaults": {},
    "defaults, another seed": {"seed": 1},
    "8 key and value heads, of 8": {"num_key_value_heads": 8},
    "4 of them": {"num_key_value_heads": 4},
    "1 of them": {"num_key_value_heads": 1},
    "no onset pointer": {"onset_pointer": False},
    "no fret pointer": {"fret_pointer": False},
    "no listening loss": {"listening_loss_weight": 0},
    "lane loss": {"lane_loss_weight": 0.5},
    "no fret corruption": {"fret_corruption": 0},
    "no SpecAugment": {"spec_augment": False},
    "gain": {"gain": True},
    "windows not shifted": {"random_start": False},
    "curriculum": {"curriculum_epochs": 2},
}
COLUMNS = {
    "eval_token_loss": "token loss",
    "eval_time_accuracy": "time",
    "eval_fret_accuracy": "fret",
    "eval_onset_f1_50": "onset F1@50",
    "eval_note_f1": "note F1",
}


@dataclass
class Arguments:
    output_dir: str = field(metadata={"help": "Folder of windows and results."})
    songs: int = field(default=750, metadata={"help": "Pieces of music to train on, of eight seconds each."})
    held_out_songs: int = field(default=64, metadata={"help": "Pieces to score on."})
    max_steps: int = field(default=350, metadata={"help": "Optimiser steps of each run."})


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    output = Path(args.output_dir)
    dataset = output / "dataset"
    extractor = TabHeroFeatureExtractor(max_frames=344, overlap_frames=86)  # windows of four seconds
    render_dataset(dataset, {"train": args.songs, "validation": args.held_out_songs}, extractor, seconds=8.0)
    results_file = output / "ablation.json"
    results = {}
    if results_file.exists():
        settings, results = json.loads(results_file.read_text()).values()
        if settings != asdict(args):
            sys.exit(f"error: {results_file} is of other settings: {settings}")
    for name, changes in VARIANTS.items():
        if name not in results:
            results[name] = run(dataset, output / "run", args.max_steps, changes)
            results_file.write_text(json.dumps({"settings": asdict(args), "results": results}, indent=2) + "\n")
            (output / "ablation.md").write_text(table(results))
    print(table(results))


def run(dataset: Path, folder: Path, max_steps: int, changes: dict) -> dict[str, float]:
    """The last evaluation of a training run with defaults but for `changes`."""
    shutil.rmtree(folder, ignore_errors=True)
    settings = {
        "dataset": dataset,
        "output_dir": folder,
        "size": "tiny",
        "max_steps": max_steps,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "eval_steps": max_steps,
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "max_eval_samples": 512,
        "generation_samples": 64,
        "min_frames": 172,
        "report_to": "none",
        **changes,
    }
    trainer = train(*parse_arguments([f"--{name}={value}" for name, value in settings.items()]))
    evaluation = {}
    for entry in trainer.state.log_history:
        evaluation.update({name: entry[name] for name in COLUMNS if name in entry})
    seconds = trainer.state.log_history[-1]["train_runtime"]
    return {**evaluation, "seconds": seconds}


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown, a row a run."""
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, result in results.items():
        lines.append(f"| {name} | " + " | ".join(f"{result[column]:.3f}" for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
