"""What the charts of a dataset are like: a table with a row for each chart, and a plot of it."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from ..charts.notes import HOPO_BIT, STAR_POWER_BIT, TAP_BIT, Difficulty, Instrument, SecondsNote
from ..charts.packed import replacing
from .preparation import DATA, METADATA_KEY, PreparationError
from .schema import SPLITS, ChartKey, chart_notes

TABLE, PLOT = "statistics.csv", "statistics.png"


class NoteStatistics(NamedTuple):
    """
    What the notes of a chart are like. Chords count as one note.

    Args:
        notes: How many.
        notes_per_second: From the first to the last one; 0 for a single note.
        gap: Median seconds from one note to the next; 0 for a single note.
        chords, sustains, hopos, taps, star_power: Shares of the notes that are, or have, one.
        fret_entropy: Of the frets struck together, in bits: 0 where they are always the same.
    """

    notes: int
    notes_per_second: float
    gap: float
    chords: float
    sustains: float
    hopos: float
    taps: float
    star_power: float
    fret_entropy: float


class ChartStatistics(NamedTuple):
    """
    A row of the table: which chart, what its notes are like ([`NoteStatistics`]), and what its audio is like
    ([`~tabhero_hf.data.preparation.audio_facts`], where that is known).
    """

    split: str
    song_id: str
    audio: str
    artist: str
    title: str
    difficulty: str
    instrument: str
    notes: NoteStatistics
    tempo: float | None
    spectral_centroid: float | None
    loudness: float | None


def note_statistics(notes: Sequence[SecondsNote]) -> NoteStatistics:
    """
    What notes are like.

    Args:
        notes: `(seconds, lanes, modifier bits, sustain in seconds)`, ascending, at least one.
    """
    onsets, lanes, modifiers, sustains = zip(*notes)
    count, seconds = len(notes), onsets[-1] - onsets[0]
    gaps = [later - earlier for earlier, later in zip(onsets, onsets[1:])]
    shares = [times / count for times in Counter(lanes).values()]

    def ratio(values) -> float:
        return sum(map(bool, values)) / count

    return NoteStatistics(
        notes=count,
        notes_per_second=(count - 1) / seconds if seconds > 0 else 0.0,
        gap=median(gaps) if gaps else 0.0,
        chords=ratio(len(struck) > 1 for struck in lanes),
        sustains=ratio(sustain > 0 for sustain in sustains),
        hopos=ratio(bits & HOPO_BIT for bits in modifiers),
        taps=ratio(bits & TAP_BIT for bits in modifiers),
        star_power=ratio(bits & STAR_POWER_BIT for bits in modifiers),
        fret_entropy=abs(sum(share * math.log2(share) for share in shares)),
    )


def dataset_statistics(folder: str | os.PathLike[str]) -> Iterator[ChartStatistics]:
    """
    The statistics of all charts of a dataset on disk, by split and file.

    Raises:
        PreparationError: The folder is no dataset.
    """
    paths = [(split, path) for split in SPLITS for path in sorted((Path(folder) / DATA / split).glob("*.parquet"))]
    if not paths:
        raise PreparationError(f"{folder}: no dataset, which has Parquet files in {DATA}/{SPLITS[0]}")
    for split, path in paths:
        yield from _file_statistics(split, path)


def write_statistics(folder: str | os.PathLike[str]) -> list[ChartStatistics]:
    """
    Writes `statistics.csv` and `statistics.png` of a dataset into its folder.

    Returns:
        The rows of the table.

    Raises:
        PreparationError: The folder is no dataset.
        OSError: It cannot be written.
    """
    rows = list(dataset_statistics(folder))
    with replacing(Path(folder) / TABLE) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_flat_names())
        writer.writerows([f"{value:.4g}" if isinstance(value, float) else value for value in _flat(r)] for r in rows)
    with replacing(Path(folder) / PLOT) as building:
        _plot(rows, building)
    return rows


def format_statistics(rows: Sequence[ChartStatistics]) -> str:
    """A Markdown table of means by difficulty."""
    columns = NoteStatistics._fields
    lines = [f"| difficulty | charts | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for difficulty in Difficulty:
        charts = [row.notes for row in rows if row.difficulty == difficulty.name.lower()]
        if charts:
            means = " | ".join(f"{fmean(column):.3g}" for column in zip(*charts))
            lines.append(f"| {difficulty.name.lower()} | {len(charts)} | {means} |")
    return "\n".join(lines)


def _file_statistics(split: str, path: Path) -> Iterator[ChartStatistics]:
    import pyarrow.parquet as pq

    columns = ["song_id", "audio", "artist", "title", "start_frame", "num_frames", "charts"]
    try:
        table = pq.read_table(path, columns=columns)
        facts = json.loads(table.schema.metadata[METADATA_KEY])
        seconds = facts["features"]["hop_length"] / facts["features"]["sampling_rate"]
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are ValueErrors
        raise PreparationError(f"{path}: not a file that was prepared ({error})") from error
    rows = table.to_pylist()
    charts: dict[ChartKey, list[SecondsNote]] = {}
    covered = 0
    for row in rows:
        start = row["start_frame"] * seconds
        for chart in row["charts"]:
            # Where windows overlap, both have the notes.
            notes = [note for note in chart_notes(chart) if note[0] >= covered * seconds - start]
            key = ChartKey(chart["difficulty"], chart["instrument"])
            charts.setdefault(key, []).extend((start + onset, *rest) for onset, *rest in notes)
        covered = row["start_frame"] + row["num_frames"]
    for key, notes in charts.items():
        yield ChartStatistics(
            split,
            *(rows[0][name] for name in ("song_id", "audio", "artist", "title")),
            Difficulty(key.difficulty).name.lower(),
            Instrument(key.instrument).name.lower(),
            note_statistics(notes),
            *(facts.get(name) for name in ("tempo", "spectral_centroid", "loudness")),
        )


def _flat(row: ChartStatistics) -> list:
    return [value for field in row for value in (field if isinstance(field, NoteStatistics) else [field])]


def _flat_names() -> list[str]:
    names = [NoteStatistics._fields if name == "notes" else (name,) for name in ChartStatistics._fields]
    return [name for group in names for name in group]


def _plot(rows: Sequence[ChartStatistics], path: Path) -> None:
    """Box plots by difficulty of what notes are like, histograms of what is the same for all charts of an audio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = iter(figure.subplots(3, 4).flat)
    charted = {row.difficulty for row in rows}
    used = [difficulty.name.lower() for difficulty in Difficulty if difficulty.name.lower() in charted]
    titles = {
        "notes": "notes",
        "notes_per_second": "notes per second",
        "gap": "median gap (s)",
        "chords": "chords (share)",
        "sustains": "sustains (share)",
        "hopos": "HOPOs (share)",
        "taps": "taps (share)",
        "star_power": "star power (share)",
        "fret_entropy": "fret entropy (bits)",
    }
    for name, title in titles.items():
        ax = next(axes)
        values = [[getattr(row.notes, name) for row in rows if row.difficulty == difficulty] for difficulty in used]
        ax.boxplot(values, tick_labels=used, showfliers=len(rows) < 1000)
        ax.set_title(title)
        ax.set_ylim(bottom=0)
    audios = {(row.song_id, row.audio): row for row in rows}.values()
    for name, title in {
        "tempo": "tempo (BPM)",
        "spectral_centroid": "spectral centroid (Hz)",
        "loudness": "loudness (dB RMS)",
    }.items():
        ax = next(axes)
        ax.hist([value for row in audios if (value := getattr(row, name)) is not None], bins=30)
        ax.set_title(title)
        ax.set_ylabel("audios")
    figure.savefig(path, format="png", dpi=80, metadata={"Software": None})
