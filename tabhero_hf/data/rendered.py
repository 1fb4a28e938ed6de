"""Synthetic music rendered once to disk, as a prepared dataset."""

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from tqdm.auto import tqdm
from transformers.utils import FEATURE_EXTRACTOR_NAME

from ..charts.packed import write_bytes
from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from .preparation import digest, write_parquet
from .schema import ChartKey, SongIdentity, window_rows, window_schema
from .synthetic import make_window

FIRST_HELD_OUT_SEED = 1_000_000_000
"""Of the pieces to evaluate on: training comes nowhere near."""

SHARD_PIECES = 250


def render_dataset(
    folder: str | Path,
    pieces: Mapping[str, int],
    extractor: TabHeroFeatureExtractor,
    seconds: float | None = None,
    workers: int | None = None,
    first_seed: int = 0,
):
    """
    Renders synthetic pieces, each a song of its own with the charts of four difficulties, to a dataset that
    `datasets.load_dataset` reads and [`ChartWindows`] takes. A stopped run goes on; what is there of other pieces, or
    with other settings, is removed.

    Args:
        folder: of the dataset.
        pieces: how many each split has, `train` or `validation`.
        extractor: Makes the mels and gives the bounds of the windows.
        seconds: Length of a piece; that of a window when unset.
        workers: Processes; as many as there are processors when unset. One is this one.
        first_seed: Of the pieces to train on, each of which has the next one. Another dataset goes on where one ends.

    Raises:
        ValueError: training pieces would have seeds of those to evaluate on, or negative ones.
    """
    last_seed = first_seed + pieces.get("train", 0) - 1
    if first_seed < 0 or last_seed >= FIRST_HELD_OUT_SEED:
        raise ValueError(
            f"training pieces have seeds from 0 to {FIRST_HELD_OUT_SEED - 1}, not from {first_seed} to {last_seed}"
        )
    folder, tasks = Path(folder), []
    if seconds is None:
        seconds = extractor.frames_to_seconds(extractor.max_frames - 1)  # which gives a frame at its end, too
    for split, count in pieces.items():
        first = {"train": first_seed, "validation": FIRST_HELD_OUT_SEED}[split]
        for seed in range(first, first + count, SHARD_PIECES):
            shard = seed, min(SHARD_PIECES, first + count - seed), seconds, extractor
            made_by = digest(repr(shard[:-1]), extractor.to_json_string())
            tasks.append((folder / "data" / split / f"pieces-{seed:010d}-{made_by}.parquet", *shard))
    wanted = {path for path, *_ in tasks}
    for path in (folder / "data").glob("*/pieces-*.parquet"):
        if path not in wanted:
            path.unlink()
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / FEATURE_EXTRACTOR_NAME, extractor.to_json_string().encode())
    tasks = [task for task in tasks if not task[0].exists()]
    if not tasks:
        return
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    with ExitStack() as stack:
        shards = map(_render_shard, tasks)
        if workers > 1:
            # A forked worker would inherit the locks of torch's threads.
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            shards = pool.map(_render_shard, tasks)
        for _ in tqdm(shards, total=len(tasks), desc="rendering pieces", unit="shard"):
            pass


def _render_shard(task: tuple[Path, int, int, float, TabHeroFeatureExtractor]):
    import pyarrow as pa

    path, first_seed, count, seconds, extractor = task
    rows = []
    for seed in range(first_seed, first_seed + count):
        piece = make_window(seed, seconds)
        charts = {ChartKey(difficulty, piece.instrument): notes for difficulty, notes in piece.notes.items()}
        song = SongIdentity(f"{seed:016x}", "mix", "", "", 0)
        rows += window_rows(song, extractor.log_mel(piece.waveform), charts, extractor)
    write_parquet(pa.Table.from_pylist(rows, window_schema()), path)
