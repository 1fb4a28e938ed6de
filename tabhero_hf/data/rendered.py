"""Synthetic windows rendered once to disk, and read as a training set."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import TabHeroTokenizer
from .synthetic import make_window

SHARD_WINDOWS = 250


def render_windows(folder: str | Path, first_seed: int, count: int, seconds: float, workers: int | None = None):
    """
    Renders the synthetic windows of `count` seeds to `folder`, as shards of features (`.npy`, float16, `(windows,
    frames, bands)`) and labels (`.json`). Shards that are there already are kept, so a stopped run can go on.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (folder, seed, min(SHARD_WINDOWS, first_seed + count - seed), seconds)
        for seed in range(first_seed, first_seed + count, SHARD_WINDOWS)
        if not _label_path(folder, seed).exists()
    ]
    if not tasks:
        return
    # A forked worker would inherit the locks of torch's threads.
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in tqdm(pool.map(_render_shard, tasks), total=len(tasks), desc="rendering windows", unit="shard"):
            pass


def _label_path(folder: Path, first_seed: int) -> Path:
    return folder / f"windows-{first_seed:09d}.json"


def _render_shard(task: tuple[Path, int, int, float]):
    folder, first_seed, count, seconds = task
    extractor, tokenizer = TabHeroFeatureExtractor(), TabHeroTokenizer()
    features, labels = [], []
    for seed in range(first_seed, first_seed + count):
        window = make_window(seed, seconds)
        features.append(extractor.log_mel(window.waveform).astype(np.float16))
        end = extractor.frames_to_seconds(len(features[-1]))
        tokens = [tokenizer.encode_notes(window.notes[difficulty], 0.0, end)[1:] for difficulty in range(4)]
        labels.append({"instrument": window.instrument, "tokens": tokens})
    path = _label_path(folder, first_seed)
    np.save(path.with_suffix(".npy"), np.stack(features))
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(labels))
    unfinished.rename(path)  # the labels come last: they mark the shard as complete


class RenderedWindows(torch.utils.data.Dataset):
    """
    The windows that [`render_windows`] wrote to a folder, for [`TabHeroCollator`]: one item for each window and
    difficulty.

    Args:
        folder: Folder of the shards.
        difficulties: 0 easy to 3 expert; one that is named twice is read twice as often.
    """

    def __init__(self, folder: str | Path, difficulties: tuple[int, ...] = (0, 1, 2, 3, 3, 3)):
        self.difficulties = difficulties
        self._windows = []
        for path in sorted(Path(folder).glob("windows-*.json")):
            features = np.load(path.with_suffix(".npy"), mmap_mode="r")
            self._windows += list(zip(features, json.loads(path.read_text()), strict=True))
        if not self._windows:
            raise ValueError(f"{folder} holds no rendered windows")

    def __len__(self) -> int:
        return len(self._windows) * len(self.difficulties)

    def __getitem__(self, index: int) -> dict:
        window, choice = divmod(index, len(self.difficulties))
        features, labels = self._windows[window]
        difficulty = self.difficulties[choice]
        return {
            "input_features": features,
            "labels": labels["tokens"][difficulty],
            "difficulty_ids": difficulty,
            "instrument_ids": labels["instrument"],
        }

    @property
    def lengths(self) -> list[int]:
        """Target tokens of each item."""
        return [len(labels["tokens"][d]) for _, labels in self._windows for d in self.difficulties]
