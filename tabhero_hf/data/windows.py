"""Prepared windows as a training set: one item for each window and chart, memory-mapped or streamed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import Note, TabHeroTokenizer
from .schema import ChartKey, chart_notes, window_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, IterableDataset

ONSET_ERROR = 1e-5
"""Seconds: more than float32 puts an onset off in a window of minutes, and less than lies between two notes."""

ITEM_FIELDS = (
    "input_features",
    "labels",
    "difficulty_ids",
    "instrument_ids",
    "genre",
    "song_id",
    "window_start",
)
NOTE_COLUMNS = ("onsets", "lanes", "modifiers", "sustains")
Columns = dict[str, np.ndarray]
"""Of a chart: notes, ascending, as `NOTE_COLUMNS`."""


class ChartWindows(torch.utils.data.Dataset):
    """
    Rows of [`~tabhero_hf.data.schema.window_schema`] as windows for [`TabHeroCollator`], one for each row and chart.

    An item holds

    - `input_features`: `(frames, feature_size)`, float32,
    - `labels`: token ids of the notes with onset in the window, without `<BOS>` and with `<EOS>`; times count from the
      window's start, and every onset is within 5 ms of the chart's,
    - `difficulty_ids`, `instrument_ids`, `genre`: integers,
    - `song_id`: whose window it is,
    - `window_start`: seconds in the song at which it starts,
    - `seed`: of what is drawn for this reading, augmentation for one, by the data set's `seed`, the epoch (see
      [`~ChartWindows.set_epoch`]) and the index alone, whichever process reads it.

    Items are made from the memory-mapped rows when they are read; memory holds a few numbers for each. The data set
    can be pickled and read in any number of processes.

    Args:
        dataset: Rows, as `datasets.load_dataset` gives them.
        extractor: The feature extractor that made the mels. Default settings when unset.
        difficulties: 0 easy to 3 expert. All when unset.
        instruments: 0 lead, 1 bass, 2 rhythm, 3 keys. All when unset.
        min_frames: Rows with fewer frames, of which a song may have one at its end, are left out.
        random_start: For training: each reading starts the window somewhere else, up to half the way to its neighbours
            and within the song, and joins it from two rows. It is as long as the song's first. Drawn as `seed` is.
        curriculum_epochs: For training, with random starts: windows grow from an eighth of their length in the first
            epoch to all of it after so many.
        seed: Of all that is drawn.

    Raises:
        ValueError: no chart is left; or, for random starts, windows of a song are missing or out of order. When an
            item is read: its mel is not of the extractor's `feature_size`.
    """

    def __init__(
        self,
        dataset: Dataset,
        extractor: TabHeroFeatureExtractor | None = None,
        *,
        difficulties: Collection[int] | None = None,
        instruments: Collection[int] | None = None,
        min_frames: int = 1,
        random_start: bool = False,
        curriculum_epochs: int = 0,
        seed: int = 0,
    ):
        if curriculum_epochs and not random_start:
            raise ValueError("`curriculum_epochs` needs `random_start`")
        self.extractor = extractor or TabHeroFeatureExtractor()
        self.random_start = random_start
        self.curriculum_epochs = curriculum_epochs
        self.seed = seed
        self._tokenizer = TabHeroTokenizer()
        self._dataset = dataset.with_format("arrow")
        # In shared memory: worker processes that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

        frames = dataset.select_columns(["start_frame", "num_frames", "song_frames"]).with_format("numpy")[:]
        self._starts, self._frames, self._song_frames = frames.values()
        if random_start:
            self._first_rows = self._checked_songs(dataset)

        row, difficulty, instrument, notes = _chart_index(dataset)
        kept = self._frames[row] >= min_frames
        if difficulties is not None:
            kept &= np.isin(difficulty, list(difficulties))
        if instruments is not None:
            kept &= np.isin(instrument, list(instruments))
        if not kept.any():
            raise ValueError(
                f"none of the {len(row)} charts in {len(dataset)} rows is of difficulties {difficulties or 'any'} and "
                f"instruments {instruments or 'any'} in a window of {min_frames} frames or more"
            )
        self._rows, self._note_counts = row[kept], notes[kept]
        self._difficulties, self._instruments = difficulty[kept], instrument[kept]

    def set_epoch(self, epoch: int):
        """Draws anew from now on, in worker processes too. accelerate's data loaders call it in a single process."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        key = ChartKey(int(self._difficulties[index]), int(self._instruments[index]))
        row = int(self._rows[index])
        rng = np.random.default_rng((self.seed, int(self._epoch), index % len(self)))
        if self.random_start:
            item = self._joined_item(row, key, *self._drawn_window(row, rng))
        else:
            window, notes = self._read(row, key)
            features = _mel(window, self.extractor)
            item = _item(window, features, _as_notes(notes), key, self.extractor, self._tokenizer)
        return {**item, "seed": int(rng.integers(2**63))}

    @cached_property
    def lengths(self) -> list[int]:
        """
        Tokens in the labels of each item, for samplers that batch items of similar lengths. They are counted, not
        encoded: four for each note and one for the end, though a rest or sustain over 5 s takes more.
        """
        return (4 * self._note_counts + 1).tolist()

    def balancing_weights(self) -> torch.Tensor:
        """
        Weights of the items `(items,)`, float64, for `torch.utils.data.WeightedRandomSampler`: each instrument is
        drawn as often as any other, and among its items each of its difficulties. They add up to 1.
        """
        weights = np.zeros(len(self))
        instruments = np.unique(self._instruments)
        for instrument in instruments:
            played = self._instruments == instrument
            difficulties = np.unique(self._difficulties[played])
            for difficulty in difficulties:
                items = played & (self._difficulties == difficulty)
                weights[items] = 1 / (len(instruments) * len(difficulties) * items.sum())
        return torch.from_numpy(weights)

    def _checked_songs(self, dataset: Dataset) -> np.ndarray:
        """For each row, that of its song's first window."""
        starts, ends = self._starts, self._starts + self._frames
        audio = dataset.select_columns(["song_id", "audio"])[:]
        audios = list(zip(audio["song_id"], audio["audio"], strict=True))
        first = starts == 0
        for row in range(len(dataset)):
            follows = row > 0 and audios[row] == audios[row - 1] and starts[row - 1] < starts[row] <= ends[row - 1]
            is_last = row == len(dataset) - 1 or first[row + 1]
            if not (first[row] or follows) or (is_last and ends[row] < self._song_frames[row]):
                raise ValueError(
                    f"random starts need all windows of a song's audio, one after another, but row {row} holds frames "
                    f"{starts[row]} to {ends[row]} of {self._song_frames[row]} of song {audios[row][0]}"
                )
        return np.maximum.accumulate(np.where(first, np.arange(len(dataset)), 0))

    def _read(self, row: int, key: ChartKey) -> tuple[dict, Columns]:
        """The row without its charts, and the columns of one of them."""
        table: pa.Table = self._dataset[row]
        window = {name: table[name][0].as_py() for name in ("song_id", "genre", "window", "start_frame", "num_frames")}
        window["mel"] = table["mel"][0].as_buffer()
        charts = table["charts"][0].values
        keys = zip(charts.field("difficulty").to_pylist(), charts.field("instrument").to_pylist(), strict=True)
        place = list(keys).index(key)
        return window, {name: charts.field(name)[place].values.to_numpy() for name in NOTE_COLUMNS}

    def _drawn_window(self, row: int, rng: np.random.Generator) -> tuple[int, int]:
        """The frame at which a random window starts, and its number of frames."""
        first = self._first_rows[row]
        frames = int(self._frames[first])
        last_start = int(self._song_frames[row]) - frames
        start = 0
        if last_start:  # else all of the song is one window
            reach = int(self._starts[first + 1]) // 2
            start = int(self._starts[row]) + int(rng.integers(-reach, reach, endpoint=True))
            start = min(max(start, 0), last_start)
        if self._epoch < self.curriculum_epochs:
            short = math.ceil(frames * (1 + 7 * int(self._epoch) / self.curriculum_epochs) / 8)
            start += min(max(int(rng.integers(frames)) - short // 2, 0), frames - short)  # edges as often as the rest
            frames = short
        return start, frames

    def _joined_item(self, row: int, key: ChartKey, start_frame: int, frames: int) -> dict:
        """The window of the row's song that starts at a frame."""
        seconds = self.extractor.frames_to_seconds
        features = np.empty((frames, self.extractor.feature_size), dtype=np.float32)
        while self._starts[row] > start_frame:
            row -= 1
        while self._starts[row] + self._frames[row] <= start_frame:
            row += 1
        notes: Columns = {}
        filled = 0
        while filled < len(features):
            window, row_notes = self._read(row, key)
            offset = start_frame + filled - window["start_frame"]
            part = _mel(window, self.extractor)[offset : offset + len(features) - filled]
            features[filled : filled + len(part)] = part
            filled += len(part)
            onsets = row_notes["onsets"] + np.float64(seconds(window["start_frame"]) - seconds(start_frame))
            notes = _joined(notes, {**row_notes, "onsets": onsets})
            row += 1
        low, high = np.searchsorted(notes["onsets"], np.array((0.0, seconds(filled))) - ONSET_ERROR)
        notes = {name: values[low:high] for name, values in notes.items()}
        notes["onsets"] = np.maximum(notes["onsets"], 0.0)
        window["start_frame"] = start_frame
        return _item(window, features, _as_notes(notes), key, self.extractor, self._tokenizer)


def stream_windows(
    dataset: IterableDataset,
    extractor: TabHeroFeatureExtractor | None = None,
    *,
    difficulties: Collection[int] | None = None,
    instruments: Collection[int] | None = None,
    min_frames: int = 1,
) -> IterableDataset:
    """
    Streamed rows as the items of [`ChartWindows`], in the same order, without random starts and `seed`.

    A `DataLoader` shares the files out among its workers, and `datasets.distributed.split_dataset_by_node`, before or
    after this, among processes. To shuffle, shuffle the rows: a row in a buffer is its float16 mel, an item four times
    as much for each of its charts.

    Args:
        dataset: Rows, as `datasets.load_dataset(..., streaming=True)` gives them.
        extractor, difficulties, instruments, min_frames: As for [`ChartWindows`].

    Raises:
        ValueError: when an item is read, as for [`ChartWindows`].
    """
    columns = window_schema().names
    flatten = partial(
        _flattened,
        extractor=extractor or TabHeroFeatureExtractor(),
        tokenizer=TabHeroTokenizer(),
        difficulties=difficulties,
        instruments=instruments,
        min_frames=min_frames,
    )
    # One row at a time: the items of a row share its features.
    return dataset.select_columns(columns).map(flatten, batched=True, batch_size=1, remove_columns=columns)


def _flattened(
    rows: Mapping[str, list],
    extractor: TabHeroFeatureExtractor,
    tokenizer: TabHeroTokenizer,
    difficulties: Collection[int] | None,
    instruments: Collection[int] | None,
    min_frames: int,
) -> dict[str, list]:
    """The items of the only row in a batch."""
    window = {name: values[0] for name, values in rows.items()}
    features = _mel(window, extractor).astype(np.float32)
    items = []
    for chart in window["charts"] if window["num_frames"] >= min_frames else []:
        key = ChartKey(chart["difficulty"], chart["instrument"])
        if (difficulties is None or key.difficulty in difficulties) and (
            instruments is None or key.instrument in instruments
        ):
            items.append(_item(window, features, chart_notes(chart), key, extractor, tokenizer))
    return {name: [item[name] for item in items] for name in ITEM_FIELDS}


def _item(
    window: Mapping,
    features: np.ndarray,
    notes: list[Note],
    key: ChartKey,
    extractor: TabHeroFeatureExtractor,
    tokenizer: TabHeroTokenizer,
) -> dict:
    """An item of [`ChartWindows`]: a window's features and notes, onsets in seconds from its start."""
    # Without an end: a note in the window's last milliseconds is rounded to the nearest bin, like all others.
    labels = tokenizer.encode_notes(notes)[1:]
    start = extractor.frames_to_seconds(window["start_frame"])
    features = features.astype(np.float32, copy=False)
    values = (features, labels, key.difficulty, key.instrument, window["genre"], window["song_id"], start)
    return dict(zip(ITEM_FIELDS, values, strict=True))


def _mel(window: Mapping, extractor: TabHeroFeatureExtractor) -> np.ndarray:
    """The mel of a row `(frames, feature_size)`, float16, read-only."""
    frames, bands = window["num_frames"], extractor.feature_size
    size = memoryview(window["mel"]).nbytes
    if size != 2 * frames * bands:
        raise ValueError(
            f"window {window['window']} of song {window['song_id']} has {size / 2 / frames:g} mel bands, but the "
            f"feature extractor's `feature_size` is {bands}: use the one that the data set was prepared with"
        )
    return np.frombuffer(window["mel"], dtype="<f2").reshape(frames, bands)


def _chart_index(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, difficulty, instrument and number of notes of every chart of every row, from the columns' offsets."""
    import pyarrow.compute as pc

    first_row, parts = 0, []
    for table in dataset.select_columns(["charts"]).with_format("arrow").iter(batch_size=1000):
        for charts in table["charts"].chunks:
            counts = pc.list_value_length(charts).to_numpy(zero_copy_only=False)
            flat = charts.flatten()
            parts.append(
                (
                    np.repeat(np.arange(first_row, first_row + len(charts)), counts),
                    flat.field("difficulty").to_numpy(),
                    flat.field("instrument").to_numpy(),
                    pc.list_value_length(flat.field("onsets")).to_numpy(zero_copy_only=False),
                )
            )
            first_row += len(charts)
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _joined(notes: Columns, following: Columns) -> Columns:
    """The notes of two rows that may overlap, those in the overlap once."""
    if not notes or not len(following["onsets"]):
        return notes or following
    kept = np.searchsorted(notes["onsets"], following["onsets"][0] - ONSET_ERROR)
    return {name: np.concatenate((values[:kept], following[name])) for name, values in notes.items()}


def _as_notes(notes: Columns) -> list[Note]:
    return chart_notes({name: values.tolist() for name, values in notes.items()})
