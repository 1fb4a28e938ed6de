"""What is seen of a run while it goes, and how it ends early."""

import signal
from pathlib import Path

import torch
from torch.utils.data import Subset
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from .curve import write_training_curve

logger = logging.get_logger(__name__)


class TrainingCurve(TrainerCallback):
    """Puts `training_curve.png` and `training_table.md` beside each checkpoint's weights, from the run's history."""

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            write_training_curve(Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")


class StopSignal(TrainerCallback):
    """On SIGTERM saves a checkpoint after the step and stops, so that the run can be resumed from there."""

    def __init__(self):
        self.received = False

    def on_train_begin(self, args, state, control, **kwargs):
        self._previous = signal.signal(signal.SIGTERM, self._receive)

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self._previous)

    def _receive(self, *_):
        self.received = True

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:  # all stop after the same step, though the signal may reach them in two
            received = torch.tensor(int(self.received), device=args.device)
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
            self.received = bool(received)
        if self.received:
            control.should_save = control.should_training_stop = True


class Patience(EarlyStoppingCallback):
    """Stops a run that gets no better, and counts on where it was resumed."""

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        saved = state.stateful_callbacks.get(type(self).__name__)
        if saved:
            self.early_stopping_patience_counter = saved["attributes"]["early_stopping_patience_counter"]


class GenerationMetrics(TrainerCallback):
    """
    Charts a few validation windows freely at every so many-th evaluation, and logs onset and note F1 as `eval_…`.

    Token losses do not tell how a chart comes out that goes on from its own tokens.
    """

    def __init__(self, windows, samples: int, every: int):
        # Windows from all over the set, the same each time.
        indices = torch.linspace(0, len(windows) - 1, min(samples, len(windows))).long().unique().tolist()
        self.windows, self.every = Subset(windows, indices), every
        self.trainer = None

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        from ..evaluation.windows import score_windows

        evaluations = sum("eval_loss" in entry for entry in state.log_history)  # those before it was resumed, too
        if evaluations % self.every or not state.is_world_process_zero:
            return
        if self.trainer.is_fsdp_enabled:
            if evaluations == self.every:
                logger.warning("no windows are charted freely: one process holds only a part of the model")
            return
        was_training = model.training
        scores = score_windows(model.eval(), self.windows)
        model.train(was_training)
        names = ("onset_f1_50", "note_f1", "density")
        self.trainer.log({f"eval_{name}": scores[name] for name in names})
