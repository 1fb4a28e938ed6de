"""The course of a run as a picture and a table, from what the Trainer wrote of it."""

import json
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME

TABLE_COLUMNS = {
    "eval_loss": "loss",
    "eval_token_accuracy": "token accuracy",
    "eval_time_loss": "time",
    "eval_fret_loss": "fret",
    "eval_modifier_loss": "modifier",
    "eval_duration_loss": "duration",
    "eval_onset_f1_50": "onset F1@50",
    "eval_note_f1": "note F1",
}


def write_training_curve(checkpoint: Path):
    """Writes `training_curve.png` and `training_table.md` into a checkpoint's folder, from its trainer state."""
    history = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["log_history"]
    (checkpoint / "training_table.md").write_text(training_table(history), encoding="utf-8")
    plot_training(history, checkpoint / "training_curve.png")


def training_table(history: list[dict]) -> str:
    """The evaluations of a run, a line each, in Markdown."""
    rows: dict[int, dict] = {}
    for entry in history:
        if any(name.startswith("eval_") for name in entry):
            rows.setdefault(entry["step"], {}).update(entry)
    names = [name for name in TABLE_COLUMNS if any(name in row for row in rows.values())]
    lines = ["| step | " + " | ".join(TABLE_COLUMNS[name] for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for step, row in sorted(rows.items()):
        values = (f"{row[name]:.3f}" if name in row else "" for name in names)
        lines.append(f"| {step} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def plot_training(history: list[dict], path: Path):
    """Training and evaluation loss, learning rate, and free-running F1 over the steps, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (losses, scores) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 7), layout="constrained")
    rates = losses.twinx()
    for axes, name, label, style in (
        (losses, "loss", "training loss", "-"),
        (losses, "eval_loss", "evaluation loss", "o-"),
        (rates, "learning_rate", "learning rate", ":"),
        (scores, "eval_token_accuracy", "token accuracy", "o-"),
        (scores, "eval_onset_f1_50", "onset F1@50, free-running", "o-"),
        (scores, "eval_note_f1", "note F1, free-running", "o-"),
    ):
        points = [(entry["step"], entry[name]) for entry in history if name in entry]
        if points:
            axes.plot(*zip(*points), style, label=label, color="grey" if axes is rates else None)
    losses.set_ylabel("loss a token")
    rates.set_ylabel("learning rate")
    scores.set(xlabel="step", ylim=(0, 1))
    losses.legend()
    if scores.lines:
        scores.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
