"""A training run from its arguments: model, data, Trainer, and what is left when it ends."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetsError
from torch.utils.data import Subset
from transformers import set_seed
from transformers.trainer_utils import get_last_checkpoint

from ..configuration_tabhero import TabHeroConfig
from ..data.collator import BackgroundNoise, RandomEqualizer, RandomGain, Remix, SpecAugment, TabHeroCollator
from ..data.publishing import published_extractor
from ..data.recordings import Recordings
from ..data.schema import FEATURE_FIELDS
from ..data.windows import ChartWindows, MixedWindows
from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..generation_tabhero import MAX_NEW_TOKENS
from ..modeling_tabhero import TabHeroForConditionalGeneration
from ..processing_tabhero import TabHeroProcessor
from ..tokenization_tabhero import TabHeroTokenizer
from .arguments import DataArguments, ModelArguments, TabHeroTrainingArguments
from .callbacks import GenerationMetrics, Patience, StopSignal, TrainingCurve
from .trainer import TabHeroTrainer

SIZE_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_key_value_heads",
    "encoder_layers",
    "onset_pointer",
    "fret_pointer",
    "fret_encoder",
    "pitch_head",
    "fingering_head",
)
"""Of a model's configuration: with others a checkpoint's weights do not fit."""


def train(model_args: ModelArguments, data_args: DataArguments, args: TabHeroTrainingArguments) -> TabHeroTrainer:
    """
    Trains a model and writes it, with its processor, to `args.output_dir`.

    A run that finds checkpoints of its own there goes on from the last one only with `--resume_from_checkpoint`.

    Raises:
        ValueError: a dataset that is not there, has an empty split or other features than the model, checkpoints of
            another run in the folder, or arguments that contradict each other. The message says what to do.
    """
    set_seed(args.seed)
    checkpoint = _checkpoint_to_resume(args)
    splits = load_splits(data_args, evaluated=args.eval_strategy != "no")
    rows = splits[data_args.train_split_name]
    processor = _processor(model_args, data_args)
    model = _model(model_args, processor, checkpoint)
    _check_fit(model.config, processor)
    drawn = {
        "random_start": data_args.random_start,
        "remix": _remix(data_args, rows, processor),
        "stretch": data_args.stretch,
        "curriculum_epochs": data_args.curriculum_epochs,
        "seed": args.seed,
    }
    train_windows = _windows(rows, processor, data_args, **drawn)
    if data_args.second_dataset:
        second = replace(data_args, dataset=data_args.second_dataset, dataset_revision=None)
        _check_features(second, processor)
        rows = load_splits(second, evaluated=False)[data_args.train_split_name]
        drawn["learn_frets"] = data_args.second_dataset_frets
        drawn["remix"] = _remix(replace(data_args, recordings=None), rows, processor)
        others = _windows(rows, processor, data_args, **drawn)
        train_windows = MixedWindows([(train_windows, 1), (others, data_args.second_dataset_turns)])
    eval_windows = None
    if args.eval_strategy != "no":
        eval_windows = _windows(splits[data_args.eval_split_name], processor, data_args)
    callbacks = [StopSignal(), TrainingCurve()]
    if args.early_stopping_patience:
        callbacks.append(Patience(args.early_stopping_patience))
    generation = None
    if eval_windows is not None and data_args.generation_every:
        generation = GenerationMetrics(eval_windows, data_args.generation_samples, data_args.generation_every)
        callbacks.append(generation)
    trainer = TabHeroTrainer(
        model=model,
        args=args,
        train_dataset=_first(train_windows, data_args.max_train_samples),
        eval_dataset=eval_windows if eval_windows is None else _first(eval_windows, data_args.max_eval_samples),
        data_collator=TabHeroCollator(
            augment=_augmentations(data_args), fret_corruption=data_args.fret_corruption, seed=args.seed
        ),
        processing_class=processor,
        callbacks=callbacks,
        dataset_name=data_args.dataset,
    )
    if generation is not None:
        generation.trainer = trainer
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_state()
    trainer.save_model()  # with `args.push_to_hub` writes the card and pushes too
    if not args.push_to_hub:
        trainer.create_model_card()
    return trainer


def load_splits(data_args: DataArguments, evaluated: bool) -> DatasetDict:
    """A prepared dataset with its split to train on, and the one to evaluate on if the model is `evaluated`.

    Raises:
        ValueError: it cannot be loaded, or one of them is missing or empty.
    """
    if data_args.dataset is None:
        raise ValueError("say which dataset to train on: --dataset FOLDER or --dataset ORG/NAME")
    try:
        splits = load_dataset(data_args.dataset, revision=data_args.dataset_revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise ValueError(f"the dataset {data_args.dataset!r} cannot be loaded: {error}") from error
    for name in [data_args.train_split_name] + [data_args.eval_split_name] * evaluated:
        if name not in splits or not len(splits[name]):
            raise ValueError(f"the dataset {data_args.dataset!r} has no {name} split, or an empty one")
    return splits


def _windows(rows: Dataset, processor: TabHeroProcessor, data_args: DataArguments, **options) -> ChartWindows:
    return ChartWindows(
        rows,
        processor.feature_extractor,
        difficulties=data_args.difficulties,
        instruments=data_args.instruments,
        min_frames=data_args.min_frames,
        **options,
    )


def _first(windows: ChartWindows, count: int | None):
    return windows if count is None or count >= len(windows) else WindowSubset(windows, range(count))


class WindowSubset(Subset):
    """Some of the windows, with what samplers ask of all."""

    @property
    def lengths(self) -> list[int]:
        return [self.dataset.lengths[index] for index in self.indices]

    def set_epoch(self, epoch: int):
        self.dataset.set_epoch(epoch)


def _has_backing(rows: Dataset) -> bool:
    """Whether any song has its instrument and its backing apart."""
    return "backing" in rows.column_names and rows.data.column("backing").null_count < len(rows.data)


def _remix(data_args: DataArguments, rows: Dataset, processor: TabHeroProcessor) -> Remix | None:
    if not data_args.remix:
        if data_args.recordings:
            raise ValueError("recordings are mixed with instruments: --recordings needs --remix True")
        return None
    paths = data_args.recordings
    if paths and not _has_backing(rows):
        raise ValueError(
            f"{data_args.dataset!r} has no backing that recordings could stand in for: prepare it with --audio parts"
        )
    return Remix(recordings=Recordings(paths, processor.feature_extractor) if paths else None)


def _augmentations(data_args: DataArguments) -> list:
    augmentations = []
    if data_args.noise_probability:
        augmentations.append(BackgroundNoise(probability=data_args.noise_probability))
    if data_args.equalizer:
        augmentations.append(RandomEqualizer())
    if data_args.gain:
        augmentations.append(RandomGain())
    if data_args.spec_augment:
        augmentations.append(SpecAugment())
    return augmentations


def _processor(model_args: ModelArguments, data_args: DataArguments) -> TabHeroProcessor:
    """The model's own processor, or for a new model one with the features of the dataset."""
    if not model_args.model_name_or_path:
        prepared = published_extractor(data_args.dataset, data_args.dataset_revision)
        return TabHeroProcessor(prepared or TabHeroFeatureExtractor(), TabHeroTokenizer())
    processor = TabHeroProcessor.from_pretrained(model_args.model_name_or_path)
    _check_features(data_args, processor)
    return processor


def _check_features(data_args: DataArguments, processor: TabHeroProcessor):
    prepared = published_extractor(data_args.dataset, data_args.dataset_revision)
    if prepared and (difference := first_difference(FEATURE_FIELDS, prepared, processor.feature_extractor)):
        name, has, needs = difference
        raise ValueError(
            f"the dataset {data_args.dataset!r} was prepared with {name} {has}, but the model hears {needs}: prepare "
            "the songs again, or start another model"
        )


def _model(
    model_args: ModelArguments, processor: TabHeroProcessor, checkpoint: str | None
) -> TabHeroForConditionalGeneration:
    """The model to train further, or a new one for what the processor makes."""
    options = {"attn_implementation": model_args.attn_implementation} if model_args.attn_implementation else {}
    if model_args.model_name_or_path:
        model = TabHeroForConditionalGeneration.from_pretrained(
            model_args.model_name_or_path, dtype=torch.float32, **options
        )
        if model_args.fret_encoder and not model.config.fret_encoder:
            name = model_args.model_name_or_path
            raise ValueError(f"{name} has no fret encoder: `scripts/add_fret_encoder.py` gives it one")
    else:
        config = model_args.new_config(
            num_mel_bins=processor.feature_extractor.feature_size,
            sampling_rate=processor.feature_extractor.sampling_rate,
            hop_length=processor.feature_extractor.hop_length,
        )
        model = TabHeroForConditionalGeneration._from_config(config, **options)
    model.config.listening_loss_weight = model_args.listening_loss_weight
    model.config.lane_loss_weight = model_args.lane_loss_weight
    if model_args.trainable is not None:
        _train_only(model, model_args.trainable)
    for head in (model.pitch_head, model.fingering_head):
        if head is not None:
            head.requires_grad_(False)  # they learn from made songs' notes, by scripts of their own
    if model.config.fret_encoder and not model_args.listening_loss_weight:
        model.model.encoder.fret_head.requires_grad_(False)  # the fret encoder is read in its place
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f"nothing of {model_args.trainable} is trained here")
    model.generation_config.max_new_tokens = model.generation_config.max_new_tokens or MAX_NEW_TOKENS
    if checkpoint:
        saved = TabHeroConfig.from_pretrained(checkpoint)
        if difference := first_difference(SIZE_FIELDS, saved, model.config):
            name, has, needs = difference
            raise ValueError(f"{checkpoint} has {name} {has}, but this run's model has {needs}")
    return model


def _train_only(model: TabHeroForConditionalGeneration, beginnings: list[str]):
    """Freezes all weights but those whose names begin so.

    Raises:
        ValueError: none begins with one of them.
    """
    names = [name for name, _ in model.named_parameters()]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            parts = ", ".join(dict.fromkeys(".".join(name.split(".")[:3]) for name in names))
            raise ValueError(f"the model has no weights whose names begin with {beginning!r}; there are {parts}")
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith(tuple(beginnings)))


def first_difference(names: Iterable[str], one: object, other: object) -> tuple[str, object, object] | None:
    """The first of these attributes in which two objects differ, and its values."""
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in names)
    return next((pair for pair in pairs if pair[1] != pair[2]), None)


def _check_fit(config: TabHeroConfig, processor: TabHeroProcessor):
    for what, has, needs in (
        ("mel bands", config.num_mel_bins, processor.feature_extractor.feature_size),
        ("token ids", config.vocab_size, len(processor.tokenizer)),
        ("audio samples a second", config.sampling_rate, processor.feature_extractor.sampling_rate),
        ("samples a mel frame", config.hop_length, processor.feature_extractor.hop_length),
    ):
        if has != needs:
            raise ValueError(f"the model is for {has} {what}, but its processor makes {needs}")


def _checkpoint_to_resume(args: TabHeroTrainingArguments) -> str | None:
    """The checkpoint that `--resume_from_checkpoint` means: a folder, or with `true` the last one of this run."""
    last = get_last_checkpoint(args.output_dir) if os.path.isdir(args.output_dir) else None
    wanted = args.resume_from_checkpoint
    if wanted in (None, "", "false", "False"):
        if last is not None:
            raise ValueError(
                f"{args.output_dir} holds checkpoints of a run: go on with --resume_from_checkpoint true, or choose "
                "another --output_dir"
            )
        return None
    if wanted in ("true", "True", True):
        if last is None:
            raise ValueError(f"{args.output_dir} holds no checkpoint to resume from")
        wanted = last
    if not (Path(wanted) / "trainer_state.json").is_file():
        raise ValueError(f"{wanted} is no checkpoint: it has no trainer_state.json")
    return str(wanted)
