"""The Trainer: what Tab Hero needs beside what transformers' does."""

import math
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import get_length_grouped_indices, get_parameter_names
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalPrediction

from ..data.collator import TabHeroCollator
from ..tokenization_tabhero import LAYOUT
from .model_card import write_model_card

SLOTS = {"time": LAYOUT.time, "fret": LAYOUT.fret, "modifier": LAYOUT.modifier, "duration": LAYOUT.duration}
CONDITIONS = ("difficulty_ids", "instrument_ids")
UNFINISHED = "_unfinished-checkpoint"  # what begins so is not pushed


class LengthSampler(torch.utils.data.Sampler):
    """
    Indices in an order drawn from seed and epoch alone, so that a resumed run goes on in the same one; with `lengths`,
    each run of `batch_size` indices has similar ones.
    """

    def __init__(self, dataset, batch_size: int, seed: int, lengths: list[int] | None):
        self.dataset, self.batch_size, self.seed, self.lengths = dataset, batch_size, seed, lengths
        self.epoch = 0

    def set_epoch(self, epoch: int):
        """Draws another order from now on, and other windows where the dataset draws them."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch)) % 2**63)
        if self.lengths is None:
            yield from torch.randperm(len(self.dataset), generator=generator).tolist()
        else:
            yield from get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)


class TabHeroTrainer(Trainer):
    """
    A [`~transformers.Trainer`] of [`TabHeroForConditionalGeneration`].

    - Batches hold windows of similar many notes (`length_grouping`), for datasets with `lengths`.
    - Evaluation is without augmentation and tells loss and accuracy of each of a note's four slots.
    - Weight decay leaves norms, biases and embeddings out.
    - A checkpoint gets its name when all of it is written.
    - Beside the last checkpoint, the best ones are kept.
    - A loss that is not finite stops the run.
    - The model's card says what was measured, and what it was trained on: `dataset_name`, a folder or a Hub name.
    """

    def __init__(self, *args, dataset_name: str | None = None, **kwargs):
        super().__init__(*args, compute_metrics=slot_metrics, **kwargs)
        self.dataset_name = dataset_name
        self.label_smoother = None  # `compute_loss` smooths: the Trainer's way drops the encoder's losses

    def _get_train_sampler(self, train_dataset=None):
        args = self.args
        batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        seed = args.seed if args.data_seed is None else args.data_seed
        lengths = getattr(self.train_dataset, "lengths", None) if args.length_grouping else None
        self._sampler = LengthSampler(self.train_dataset, batch_size, seed, lengths)
        return self._sampler

    def _run_epoch(self, *args, epoch: int, **kwargs):
        # Where several processes resume, the sampler is wrapped too deep for the Trainer to reach.
        if self._sampler is not None:
            self._sampler.set_epoch(epoch)
        return super()._run_epoch(*args, epoch=epoch, **kwargs)

    _sampler: LengthSampler | None = None

    def _get_dataloader(self, *args, **kwargs):
        loader = super()._get_dataloader(*args, **kwargs)
        base = getattr(loader, "base_dataloader", loader)  # accelerate's wraps the one that has workers
        base.worker_init_fn = partial(_outlast_signal, begin=base.worker_init_fn)
        # Persistent workers' seed is drawn once, another time by who resumes: not from what dropout is drawn by.
        base.generator = torch.Generator().manual_seed(self.args.seed)
        return loader

    def get_eval_dataloader(self, eval_dataset=None):
        training_collator, self.data_collator = self.data_collator, TabHeroCollator()  # without augmentation
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        names = get_parameter_names(model, [nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.Embedding])
        return [name for name in names if not name.endswith("bias")]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        args = self.args
        if model.training and args.condition_dropout and torch.rand(()).item() < args.condition_dropout:
            inputs = {name: value for name, value in inputs.items() if name not in CONDITIONS}
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training and args.label_smoothing_factor:
            smooth = _smoothing_loss(outputs.logits, inputs["labels"], num_items_in_batch)
            if args.average_tokens_across_devices and num_items_in_batch is not None:
                smooth = smooth * self.accelerator.num_processes
            loss = loss + args.label_smoothing_factor * smooth
        if not torch.isfinite(loss).all():  # of each device, where one process has several
            raise FloatingPointError(
                f"the loss is {loss.tolist()} after step {self.state.global_step}: go on from the last checkpoint "
                "with a lower learning rate, or without bf16"
            )
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Loss, `(batch, length, 2)` with loss and correctness of each token, and labels: no logits are gathered."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        loss = outputs.loss.detach().mean()
        if prediction_loss_only:
            return loss, None, None
        labels, logits = inputs["labels"], outputs.logits.float()
        losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        return loss, torch.stack([losses, (logits.argmax(-1) == labels).float()], dim=-1), labels

    def _save_checkpoint(self, model, trial):
        # Written under another name and then moved: a folder called checkpoint-N is whole, whenever the run is killed.
        runs = Path(self._get_output_dir(trial=trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        best = f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        self._unfinished = runs / UNFINISHED
        try:
            if self.args.should_save:
                shutil.rmtree(self._unfinished, ignore_errors=True)
            with _write_errors():
                super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if best == name or (runs / best).is_dir():  # where steps are saved less often than evaluated, not all are
                self.state.best_model_checkpoint = str(runs / best)
            if self.args.should_save:
                self.state.save_to_json(str(self._unfinished / name / TRAINER_STATE_NAME))
                shutil.rmtree(runs / name, ignore_errors=True)
                (self._unfinished / name).rename(runs / name)
                self._remove_worst_checkpoints(runs)
        finally:
            if self.args.should_save:
                shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished = None
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(runs / name))

    _unfinished: Path | None = None

    def _push_from_checkpoint(self, checkpoint_folder: str):
        if self._unfinished is None:  # uploads go on in the background: of folders that keep their names
            super()._push_from_checkpoint(checkpoint_folder)

    def _remove_worst_checkpoints(self, runs: Path):
        """Leaves `save_total_limit` checkpoints: the last one, then the best, then the latest."""
        limit, metric = self.args.save_total_limit, self.args.metric_for_best_model
        if not limit or limit < 0:
            return
        steps = {int(path.name.rsplit("-", 1)[1]): path for path in runs.glob(f"{PREFIX_CHECKPOINT_DIR}-*[0-9]")}
        del steps[self.state.global_step]
        ranked = sorted(steps, reverse=True)
        if metric:
            name = f"eval_{metric.removeprefix('eval_')}"
            sign = -1 if self.args.greater_is_better else 1
            losses = {entry["step"]: sign * entry[name] for entry in self.state.log_history if name in entry}
            ranked = sorted(steps, key=lambda step: (losses.get(step, math.inf), -step))
            limit = max(limit, 1 + (self.state.best_global_step in steps))
        if len(ranked) >= limit:
            self._finish_current_push()  # of one of them, perhaps
        for step in ranked[limit - 1 :]:
            shutil.rmtree(steps[step])

    def create_model_card(self, *args, **kwargs):
        if self.is_world_process_zero():
            write_model_card(self.args.output_dir, model_id=self.args.hub_model_id, dataset=self.dataset_name)

    def _get_output_dir(self, trial):
        return str(self._unfinished) if self._unfinished else super()._get_output_dir(trial)


@contextmanager
def _write_errors() -> Iterator[None]:
    """What safetensors and torch raise where a file cannot be written, as the `OSError` that it is."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error
    except RuntimeError as error:
        if not re.search("PytorchStreamWriter|unexpected pos", str(error)):
            raise
        raise OSError(str(error)) from error


def _outlast_signal(worker: int, begin: Callable[[int], None] | None):
    """Begins a worker process that is there until the Trainer ends: schedulers send SIGTERM to all of a job."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if begin is not None:
        begin(worker)


def _smoothing_loss(logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch) -> torch.Tensor:
    """What uniform targets cost more than the labels, for each target token."""
    valid = labels != -100
    log_probabilities = F.log_softmax(logits.float()[valid], dim=-1)
    right = log_probabilities.gather(1, labels[valid][:, None]).sum()
    count = valid.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    return (right - log_probabilities.mean(dim=-1).sum()) / count


def slot_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Loss and accuracy over all tokens and over those of each slot of a note, from `prediction_step`'s output."""
    labels, (losses, correct) = prediction.label_ids, np.moveaxis(prediction.predictions, -1, 0)
    metrics = {}
    for name, tokens in {"token": range(LAYOUT.duration.stop), **SLOTS}.items():
        among = (labels >= tokens.start) & (labels < tokens.stop)
        if among.any():
            metrics[f"{name}_loss"] = float(losses[among].mean())
            metrics[f"{name}_accuracy"] = float(correct[among].mean())
    return metrics
