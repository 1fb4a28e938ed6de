"""Scores of many songs as one report: means with bootstrap intervals, as Markdown, JSON and a plot."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)

LABELS = {
    "onset_f1_25": "onset F1 @ 25 ms",
    "onset_f1_50": "onset F1 @ 50 ms",
    "onset_f1_100": "onset F1 @ 100 ms",
    "note_f1": "note F1",
    "lane_accuracy": "lanes",
    "lane_accuracy_chance": "lanes, chance",
    "contour": "contour",
    "contour_chance": "contour, chance",
    "kind_f1": "kind F1",
    "sustain_f1": "sustain F1",
    "star_power_f1": "star power F1",
    "density_ratio": "density",
    "on_grid": "on grid",
    "rule_breaks": "rule breaks / 100",
}
"""Columns of the tables: the scores of [`score_chart`] by their names."""

KEYS = ("system", "instrument", "difficulty", "song")
PLOTTED = ("onset_f1_50", "note_f1")
COMPARED = ("onset_f1_50", "note_f1", "lane_accuracy", "contour")


def summarize(rows: Sequence[dict], seed: int = 0) -> list[dict]:
    """
    Means over songs.

    Args:
        rows: For each song, `system` (what wrote the chart), `instrument` and `difficulty` a dictionary of these,
            `song`, and scores.
        seed: Of the bootstrap.

    Returns:
        For each system, instrument and difficulty, in the order of the rows, a dictionary of these, the number of
        `songs`, and for each score `{"mean", "low", "high"}`: low and high are the 95 % percentile interval of the
        mean of songs drawn with replacement. All systems are given the same draws. Of one song it is a point.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["instrument"], row["difficulty"], row["system"]), []).append(row)
    summary = []
    for (instrument, difficulty, system), songs in groups.items():
        draws = np.random.default_rng(seed).integers(len(songs), size=(RESAMPLES, len(songs)))
        scores = {
            name: _interval(np.array([song[name] for song in songs]), draws) for name in songs[0] if name not in KEYS
        }
        key = {"system": system, "instrument": instrument, "difficulty": difficulty, "songs": len(songs)}
        summary.append({**key, **scores})
    return summary


def leads(rows: Sequence[dict], seed: int = 0) -> list[dict]:
    """
    How far the first system of each track is ahead of the others, song by song.

    Songs differ more than systems do, so that the intervals of two means overlap where the one is ahead on each song.

    Args:
        rows, seed: As for [`summarize`].

    Returns:
        What [`summarize`] does, of the differences: those on songs that both systems charted.
    """
    first: dict[tuple, tuple[str, dict[str, dict]]] = {}
    differences = []
    for row in rows:
        system, songs = first.setdefault((row["instrument"], row["difficulty"]), (row["system"], {}))
        if row["system"] == system:
            songs[row["song"]] = row
        elif row["song"] in songs:
            ahead = songs[row["song"]]
            differences.append({name: row[name] if name in KEYS else ahead[name] - row[name] for name in row})
    return summarize(differences, seed)


def _interval(values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(values[draws].mean(axis=1), INTERVAL)
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def write_report(folder: str | Path, rows: Sequence[dict], facts: dict | None = None, seed: int = 0) -> list[dict]:
    """
    Writes `report.md`, `report.json` and `report.png`.

    Args:
        folder: Where to; made if it is not there.
        rows, seed: As for [`summarize`].
        facts: What else the report should state, such as the settings.

    Returns:
        The summary.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarize(rows, seed)
    ahead = leads(rows, seed)
    content = {"facts": facts or {}, "summary": summary, "leads": ahead, "songs": list(rows)}
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(rows, summary, ahead, facts or {}), encoding="utf-8")
    plot(folder / "report.png", rows, summary)
    return summary


def markdown(rows: Sequence[dict], summary: Sequence[dict], ahead: Sequence[dict], facts: dict) -> str:
    """Tables: a row for each system, of the means and their intervals; of those of the first one's lead; and for each
    song, of the first system."""
    lines = ["# Evaluation", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    for instrument, difficulty in _tracks(summary):
        table, apart = (
            [row for row in means if (row["instrument"], row["difficulty"]) == (instrument, difficulty)]
            for means in (summary, ahead)
        )
        names = [name for name in LABELS if name in table[0]]
        several = table[0]["songs"] > 1
        states = "mean and 95 % interval over" if several else "scores of"
        lines += [f"## {instrument}, {difficulty}: {states} {table[0]['songs']} song{'s' if several else ''}", ""]
        header = ["", *(LABELS[name] for name in names)]
        lines += _table(header, [[row["system"], *(_cell(row[name], several) for name in names)] for row in table])
        if several:
            system = table[0]["system"]
            if apart:
                compared = [name for name in COMPARED if name in names]
                lines += [f"Less the score of each other system, song by song, {system}:", ""]
                lines += _table(
                    ["", *(LABELS[name] for name in compared)],
                    [[row["system"], *(_cell(row[name], True) for name in compared)] for row in apart],
                )
            key = (system, instrument, difficulty)
            songs = [row for row in rows if tuple(row[name] for name in KEYS[:3]) == key]
            lines += [f"Each song, {system}:", ""]
            lines += _table(header, [[row["song"], *(f"{row[name]:.2f}" for name in names)] for row in songs])
    return "\n".join(lines)


def plot(path: str | Path, rows: Sequence[dict], summary: Sequence[dict]) -> None:
    """Onset and note F1 within 50 ms of each system, with intervals and a dot for each song; a line for a track."""
    from matplotlib.figure import Figure

    tracks = _tracks(summary)
    systems = list(dict.fromkeys(row["system"] for row in summary))
    height = 1 + 0.35 * len(systems)
    figure = Figure(figsize=(4.5 * len(PLOTTED) + 2, height * len(tracks)), layout="constrained")
    panels = figure.subplots(len(tracks), len(PLOTTED), squeeze=False, sharex=True, sharey=True)
    for (instrument, difficulty), line in zip(tracks, panels, strict=True):
        track = (instrument, difficulty)
        for name, axes in zip(PLOTTED, line, strict=True):
            for row in summary:
                if (row["instrument"], row["difficulty"]) != track:
                    continue
                place, score = systems.index(row["system"]), row[name]
                axes.barh(place, score["mean"], color="tab:blue" if place == 0 else "lightgrey")
                axes.hlines(place, score["low"], score["high"], color="black", linewidth=1.5)
            dots = [row for row in rows if (row["instrument"], row["difficulty"]) == track]
            places = [systems.index(row["system"]) for row in dots]
            axes.plot([row[name] for row in dots], places, "o", color="black", markersize=2.5, alpha=0.5)
            axes.set(title=f"{instrument}, {difficulty}: {LABELS[name]}", xlim=(0, 1))
            axes.set_yticks(range(len(systems)), systems)
    panels[0, 0].invert_yaxis()
    figure.savefig(path, dpi=120)


def _tracks(summary: Sequence[dict]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["instrument"], row["difficulty"]) for row in summary))


def _cell(score: dict[str, float], with_interval: bool) -> str:
    mean = f"{score['mean']:.2f}"
    return f"{mean} ({score['low']:.2f}–{score['high']:.2f})" if with_interval else mean


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)] + [""]
