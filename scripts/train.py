#!/usr/bin/env python
"""
Train a model on a prepared dataset.

    accelerate launch scripts/train.py scripts/configs/tiny.yaml --dataset FOLDER_OR_HUB_NAME --output_dir runs/tiny
    python scripts/train.py --dataset FOLDER --output_dir runs/trial --max_train_samples 100 --max_steps 50

Arguments are those of the dataclasses in `tabhero_hf/training/arguments.py` and of transformers' TrainingArguments; a
YAML file may come first, and flags go over it. A run that was stopped goes on with `--resume_from_checkpoint true`.
"""

import os
import sys

from transformers.trainer_utils import get_last_checkpoint

from tabhero_hf.training.arguments import parse_arguments
from tabhero_hf.training.run import train


def main():
    try:
        arguments = parse_arguments()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    try:
        trainer = train(*arguments)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        output = arguments[2].output_dir
        last = get_last_checkpoint(output) if os.path.isdir(output) else None
        sys.exit(f"error: {error}" + (f"\n{last} is whole: {_how_to_resume()}" if last else ""))
    if trainer.state.global_step < trainer.state.max_steps and trainer.is_world_process_zero():
        print(f"stopped after step {trainer.state.global_step}: {_how_to_resume()}")
    # A process that leaves while another still talks to it would take that one down.
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    if trainer.args.world_size > 1:
        # Of several processes one sometimes waited for ever when the interpreter took the model and its group apart.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _how_to_resume() -> str:
    return "go on with the same command and --resume_from_checkpoint true"


if __name__ == "__main__":
    main()
