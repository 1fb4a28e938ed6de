"""A model's card, from what was measured: nothing in it is typed in by hand."""

import json
import re
from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers.trainer import TRAINER_STATE_NAME

from ..configuration_tabhero import TabHeroConfig
from ..modeling_tabhero import TabHeroForConditionalGeneration
from .arguments import parse_arguments
from .curve import training_table

TEMPLATE = Path(__file__).with_name("model_card_template.md")
CARD = "README.md"
RESULTS = re.compile(r"(^## Results\n\n).*(\n\n## Training$)", re.MULTILINE | re.DOTALL)
RECIPE = """Nobody has trained this model yet, and its settings, `{recipe}`, are a first guess. To train it on songs
with human charts:

```console
$ python scripts/prepare_dataset.py "my songs" my_dataset
$ accelerate launch scripts/train.py {recipe} --dataset my_dataset
$ python scripts/evaluate.py --model {folder} --songs "other songs" --model_card true
```

The last two write a card like this one, of what was measured. `docs/training.md` says what all settings are.

| | |
|---|---|
| Batches | {batch} windows on each device, gradients of {accumulated} added up |
| Highest learning rate | {rate:g} |
| Epochs | {epochs:g} |
"""
METRICS = {"onset_f1_50": "Onset F1 within 50 ms", "note_f1": "Note F1 within 50 ms"}


def write_model_card(
    folder: Path, *, model_id: str | None = None, dataset: str | None = None, license: str | None = None
) -> ModelCard:
    """
    Writes `README.md` into a model's folder.

    Args:
        folder: Where a run of `scripts/train.py` left model and `trainer_state.json`.
        model_id: Its name on the Hub; the folder's when unset.
        dataset: What it was trained on: a folder, or a name on the Hub.
        license: Of the weights: an identifier of the Hub, such as `mit`.
    """
    folder = Path(folder)
    on_hub = dataset is not None and not Path(dataset).exists()
    state = json.loads((folder / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    card = _card(
        model_id or str(folder),
        TabHeroConfig.from_pretrained(folder),
        _training(state, dataset if on_hub or dataset is None else Path(dataset).name),
        license=license,
        datasets=[dataset] if on_hub else None,
    )
    card.save(folder / CARD)
    return card


def recipe_card(recipe: str) -> ModelCard:
    """
    The card of a new model that nobody has trained yet: its configuration, and how to train it.

    Args:
        recipe: A YAML file of arguments of `scripts/train.py`.
    """
    model_args, _, args = parse_arguments([recipe])
    training = RECIPE.format(
        recipe=recipe,
        folder=args.output_dir,
        batch=args.per_device_train_batch_size,
        accumulated=args.gradient_accumulation_steps,
        rate=args.learning_rate,
        epochs=args.num_train_epochs,
    )
    return _card(args.output_dir, model_args.new_config(), training.strip(), license="mit")


def _card(model_id: str, config: TabHeroConfig, training: str, **metadata) -> ModelCard:
    name = Path(model_id).name
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["tabhero", "clone-hero", "music", "audio-to-chart"],
        model_name=name,
        **metadata,
    )
    return ModelCard.from_template(
        data, template_path=str(TEMPLATE), name=name, model_id=model_id, facts=_facts(config), training=training
    )


def add_results(folder: Path, report: Path) -> ModelCard:
    """
    Puts the results of an evaluation into a model's card, in place of earlier ones.

    Args:
        folder: Of the model, with the card that [`write_model_card`] wrote.
        report: `report.json` of `scripts/evaluate.py`; beside it lies `report.md`.

    Raises:
        ValueError: the folder has no card, or one without a section for results.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise ValueError(f"{folder} has no {CARD} to put results into")
    card = ModelCard.load(path)
    tables = report.with_suffix(".md").read_text(encoding="utf-8").removeprefix("# Evaluation").strip()
    tables = re.sub(r"^## ", "### ", tables, flags=re.MULTILINE)
    text, found = RESULTS.subn(lambda match: f"{match[1]}{tables}{match[2]}", card.text)
    if not found:
        raise ValueError(f"{path} has no sections 'Results' and 'Training', one after the other")
    card.text = text
    card.data.eval_results = _eval_results(report)
    card.save(path)
    return card


def _facts(config: TabHeroConfig) -> dict[str, str]:
    with torch.device("meta"):
        parameters = TabHeroForConditionalGeneration(config).num_parameters()
    heads = f"{config.num_attention_heads} heads"
    if config.num_key_value_heads < config.num_attention_heads:
        heads += f", {config.num_key_value_heads} of keys and values"
    return {
        "Parameters": f"{parameters / 1e6:.1f} million",
        "Encoder": f"width {config.encoder_hidden_size}, {config.downsample_factor} mel frames to a position, "
        f"{config.encoder_layers} self-attention layers"
        + ("; a second encoder of this kind for the fret pointer" if config.fret_encoder else ""),
        "Decoder": f"width {config.hidden_size}, {config.num_hidden_layers} layers, {heads}",
        "Pointers": ", ".join(
            name for name, on in (("onset", config.onset_pointer), ("fret", config.fret_pointer)) if on
        )
        or "none",
    }


def _training(state: dict, dataset: str | None) -> str:
    steps = f"{state['global_step']} steps, {state['epoch']:.3g} epochs"
    text = f"{steps}, on {dataset}." if dataset else f"{steps}."
    table = training_table(state["log_history"])
    if table.count("\n") <= 2:
        return text
    return f"{text} Evaluations on its validation windows, losses a token:\n\n{table}"


def _eval_results(report: Path) -> list[EvalResult]:
    """The results of `model` as the Hub shows them beside a card."""
    results = []
    content = json.loads(report.read_text(encoding="utf-8"))
    names = content["facts"]["songs"]
    for group in content["summary"]:
        if group["system"] != "model":
            continue
        for name, label in METRICS.items():
            results.append(
                EvalResult(
                    task_type="audio-to-chart",
                    dataset_type="songs",
                    dataset_name=f"{group['difficulty']} {group['instrument']} of songs: {names}",
                    metric_type=name,
                    metric_name=label,
                    metric_value=round(group[name]["mean"], 3),
                )
            )
    return results
