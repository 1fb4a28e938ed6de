"""What a training run is told: by flags, or by a YAML file with the same names."""

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from ..configuration_tabhero import TabHeroConfig


@dataclass
class ModelArguments:
    """Which model is trained."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Model folder or Hub name whose weights to start from; random ones when unset."},
    )
    size: str = field(default="tiny", metadata={"help": "Size of a new model: tiny, small, base or large."})
    encoder_layers: int = field(default=2, metadata={"help": "Self-attention layers of a new model's encoder."})
    num_key_value_heads: int | None = field(
        default=None, metadata={"help": "Key and value heads of a new model's decoder; those of its size when unset."}
    )
    onset_pointer: bool = field(default=True, metadata={"help": "Whether TIME tokens point to onsets heard."})
    fret_pointer: bool = field(default=True, metadata={"help": "Whether FRET tokens point to frets heard."})
    fret_encoder: bool = field(
        default=False, metadata={"help": "Whether the fret pointer of a new model reads an encoder of its own."}
    )
    listening_loss_weight: float = field(
        default=1.0, metadata={"help": "Weight of the losses of the encoder's own onsets and frets."}
    )
    lane_loss_weight: float = field(
        default=0.0, metadata={"help": "Weight of the loss of single lanes, struck or not."}
    )
    trainable: list[str] | None = field(
        default=None,
        metadata={"help": "What learns, by how the names of its weights begin, as model.decoder. All when unset."},
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "sdpa, eager or flex_attention."})

    def new_config(self, **fields) -> TabHeroConfig:
        """The configuration of a new model, with more `fields`."""
        if self.num_key_value_heads is not None:
            fields["num_key_value_heads"] = self.num_key_value_heads
        return TabHeroConfig.from_size(
            self.size,
            encoder_layers=self.encoder_layers,
            onset_pointer=self.onset_pointer,
            fret_pointer=self.fret_pointer,
            fret_encoder=self.fret_encoder,
            **fields,
        )


@dataclass
class DataArguments:
    """What it is trained on."""

    dataset: str | None = field(
        default=None, metadata={"help": "Folder that scripts/prepare_dataset.py wrote, or dataset on the Hub."}
    )
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a Hub dataset."})
    second_dataset: str | None = field(
        default=None, metadata={"help": "Another one whose training split is trained on beside it."}
    )
    second_dataset_turns: int = field(default=1, metadata={"help": "How often an epoch reads that one."})
    second_dataset_frets: bool = field(
        default=True, metadata={"help": "Whether that one's frets are learned, or only when and how notes are struck."}
    )
    train_split_name: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split_name: str = field(default="validation", metadata={"help": "Split to evaluate on."})
    difficulties: list[int] | None = field(default=None, metadata={"help": "0 easy to 3 expert. All when unset."})
    instruments: list[int] | None = field(
        default=None, metadata={"help": "0 lead, 1 bass, 2 rhythm, 3 keys. All when unset."}
    )
    random_start: bool = field(default=True, metadata={"help": "Start training windows anywhere in the song."})
    remix: bool = field(
        default=True,
        metadata={"help": "Mix instrument and backing anew each time, for datasets prepared with --audio parts."},
    )
    recordings: list[str] | None = field(
        default=None,
        metadata={
            "help": "Audio files, or folders of them, that half of the mixes have as backing in place of their own, "
            "for datasets prepared with --audio parts; not for the second dataset."
        },
    )
    stretch: float = field(
        default=0.0, metadata={"help": "Play training windows up to this share faster or slower, at the same pitch."}
    )
    curriculum_epochs: int = field(
        default=0, metadata={"help": "Windows grow from an eighth of their length to all of it over so many epochs."}
    )
    min_frames: int = field(default=86, metadata={"help": "Shorter windows, at a song's end, are left out."})
    spec_augment: bool = field(default=True, metadata={"help": "Mask bands and stretches of time."})
    equalizer: bool = field(default=True, metadata={"help": "Add a random smooth curve over the bands."})
    gain: bool = field(default=False, metadata={"help": "Make windows louder or quieter at random."})
    noise_probability: float = field(default=0.3, metadata={"help": "How often noise is added to a window."})
    fret_corruption: float = field(
        default=0.4, metadata={"help": "Share of frets that the decoder is shown wrongly, so that it listens."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only so many windows, for a trial."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Evaluate on only so many windows."})
    generation_samples: int = field(
        default=8, metadata={"help": "Validation windows that are charted freely for the generation metrics."}
    )
    generation_every: int = field(
        default=1, metadata={"help": "Chart them at every so many-th evaluation; 0 for never."}
    )


@dataclass
class TabHeroTrainingArguments(TrainingArguments):
    """
    [`~transformers.TrainingArguments`] with the defaults of Tab Hero: AdamW with β₂ 0.95 and weight decay 0.01, linear
    warm-up, then cosine to 1 %, gradients clipped at 1.0, bf16 where the hardware has it, best and last checkpoints.
    """

    output_dir: str | None = field(default="runs/tabhero", metadata={"help": "Folder of checkpoints and final model."})
    learning_rate: float = 5e-4
    adam_beta2: float = 0.95
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    lr_scheduler_type: str = "cosine_with_min_lr"
    lr_scheduler_kwargs: dict | str | None = field(default_factory=lambda: {"min_lr_rate": 0.01})
    warmup_steps: float = 0.05
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 16
    num_train_epochs: float = 10.0
    logging_steps: float = 20
    eval_strategy: str = "steps"
    eval_steps: float | None = 500
    save_strategy: str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = field(
        default=3, metadata={"help": "Checkpoints that are kept: the last, and beside it the best ones."}
    )
    load_best_model_at_end: bool = True
    metric_for_best_model: str | None = "loss"
    greater_is_better: bool | None = False
    remove_unused_columns: bool = False
    length_grouping: bool = field(default=True, metadata={"help": "Batches of windows with similar many notes."})
    condition_dropout: float = field(
        default=0.0, metadata={"help": "How often a batch is trained without difficulty and instrument."}
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many evaluations without a better loss."}
    )


def bf16_by_hardware() -> bool:
    """Whether this machine multiplies in bfloat16 faster than in float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mps.is_available() or torch.cpu._is_avx512_bf16_supported()


def parse_arguments(
    argv: list[str] | None = None,
) -> tuple[ModelArguments, DataArguments, TabHeroTrainingArguments]:
    """
    Arguments from the command line: `[config.yaml] [--name value …]`. Flags go over the file's values.

    Raises:
        ValueError: a name in the file that is no argument, or a value that does not fit.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    kinds = (ModelArguments, DataArguments, TabHeroTrainingArguments)
    if argv and argv[0].endswith((".yaml", ".yml")):
        argv = [*_flags(Path(argv[0]), kinds), *argv[1:]]
    if not any(argument.split("=")[0] in ("--bf16", "--fp16") for argument in argv):
        argv += ["--bf16", str(bf16_by_hardware())]
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()) and not any(
        argument.split("=")[0] == "--use_cpu" for argument in argv
    ):
        argv += ["--use_cpu", "True"]
    return HfArgumentParser(kinds).parse_args_into_dataclasses(argv)


def _text(value) -> str:
    """A value as it is written on the command line."""
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _flags(file: Path, kinds: tuple[type, ...]) -> list[str]:
    """The values of a YAML file as flags."""
    values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    known = {field.name: field for kind in kinds for field in dataclasses.fields(kind)}
    if not isinstance(values, dict) or not known.keys() >= values.keys():
        unknown = ", ".join(sorted(map(str, set(values) - known.keys()))) if isinstance(values, dict) else "no mapping"
        raise ValueError(f"{file}: no such arguments: {unknown}")
    flags = []
    for name, value in values.items():
        if value is None:
            if known[name].default is not None:  # no flag could say so
                raise ValueError(f"{file}: {name} has to have a value")
            continue
        flags += [f"--{name}", *(map(str, value) if isinstance(value, list) else [_text(value)])]
    return flags
