#!/usr/bin/env python
"""
What each training option is worth: short runs on synthetic music, alike but for one option, at equal steps.

    python scripts/ablation.py --output_dir runs/ablation       # some 35 minutes on two cores; goes on if stopped

Writes `ablation.json` and `ablation.md`, scored on windows that no run trained on.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from transformers import HfArgumentParser
from transformers.utils import FEATURE_EXTRACTOR_NAME

from tabhero_hf import TabHeroFeatureExtractor, TabHeroTokenizer
from tabhero_hf.data.preparation import write_parquet
from tabhero_hf.data.rendered import RenderedWindows, render_windows
from tabhero_hf.data.schema import ChartKey, SongIdentity, window_rows, window_schema
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
SPLITS = {"train": 0, "validation": 1_000_000_000}
"""The first seed of each split's music."""

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
    dataset = write_dataset(output, {"train": args.songs, "validation": args.held_out_songs})
    results_file = output / "ablation.json"
    results = json.loads(results_file.read_text()) if results_file.exists() else {}
    for name, changes in VARIANTS.items():
        if name not in results:
            results[name] = run(dataset, output / "run", args.max_steps, changes)
            results_file.write_text(json.dumps(results, indent=2) + "\n")
            (output / "ablation.md").write_text(table(results))
    print(table(results))


def write_dataset(output: Path, songs: dict[str, int]) -> Path:
    """Synthetic music as a prepared dataset: windows of four seconds with the charts of four difficulties."""
    dataset, tokenizer = output / "dataset", TabHeroTokenizer()
    extractor = TabHeroFeatureExtractor(max_frames=344, overlap_frames=86)
    for split, first_seed in SPLITS.items():
        render_windows(output / split, first_seed, songs[split], seconds=8.0)
        pieces = RenderedWindows(output / split, difficulties=(0, 1, 2, 3))
        rows = []
        for index in range(0, len(pieces), 4):
            charts = [pieces[index + difficulty] for difficulty in range(4)]
            notes = {
                ChartKey(chart["difficulty_ids"], chart["instrument_ids"]): tokenizer.decode_notes(chart["labels"])
                for chart in charts
            }
            song = SongIdentity(f"{first_seed + index // 4:016x}", "mix", "", "", 0)
            rows += window_rows(song, charts[0]["input_features"], notes, extractor)
        (dataset / "data" / split).mkdir(parents=True, exist_ok=True)
        write_parquet(pa.Table.from_pylist(rows, window_schema()), dataset / "data" / split / "rows.parquet")
    (dataset / FEATURE_EXTRACTOR_NAME).write_text(extractor.to_json_string())
    return dataset


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
