"""A prepared dataset of made songs, and a model small enough to train in seconds."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)
from tabhero_hf.data.schema import ChartKey, SongIdentity, window_rows, window_schema


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Three songs to train on and one to evaluate, in windows of 2 s, with two charts each."""
    folder = tmp_path_factory.mktemp("dataset")
    extractor = TabHeroFeatureExtractor(max_frames=172, overlap_frames=16)
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "train", "train", "validation")):
        mel = rng.normal(size=(800, 128))
        charts = {}
        for difficulty in (0, 3):
            onsets = np.cumsum(rng.uniform(0.1, 1.0, 30)).tolist()
            charts[ChartKey(difficulty, 0)] = [
                (onset, (int(rng.integers(5)),), 0, 0.0) for onset in onsets if onset < 9
            ]
        rows = window_rows(SongIdentity(f"{number:016x}", "mix", "A", f"Song {number}", 0), mel, charts, extractor)
        (folder / "data" / split).mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(rows), window_schema())
        pq.write_table(table, folder / "data" / split / f"{number:016x}-mix.parquet")
    return folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A folder with a model of random weights and its processor, for windows of 2 s."""
    folder = tmp_path_factory.mktemp("model")
    import torch

    torch.manual_seed(0)
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    TabHeroForConditionalGeneration(config).save_pretrained(folder)
    extractor = TabHeroFeatureExtractor(max_frames=172, overlap_frames=16)
    TabHeroProcessor(extractor, TabHeroTokenizer()).save_pretrained(folder)
    return folder
