"""Prepared windows as a training set: one item for each window and chart, memory-mapped or streamed."""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import Note, TabHeroTokenizer, held_within
from .collator import Remix
from .schema import ChartKey, Parts, chart_notes, mix_mels, window_schema

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
ROW_FIELDS = ("song_id", "genre", "window", "start_frame", "num_frames", "log_scale")
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
    - `learn_frets`: as the argument,
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
        remix: For training: each reading mixes the instrument and its backing, where rows have one, anew. Without it
            they are as loud as in the song.
        stretch: For training, with random starts: windows are played up to this share faster or slower.
        learn_frets: For training: whether the labels' frets are learned, or only all else. From songs so few that a
            model would learn their frets by heart, it can learn when notes are struck.
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
        remix: Remix | None = None,
        stretch: float = 0.0,
        learn_frets: bool = True,
        curriculum_epochs: int = 0,
        seed: int = 0,
    ):
        if (curriculum_epochs or stretch) and not random_start:
            raise ValueError("`curriculum_epochs` and `stretch` need `random_start`")
        if not 0 <= stretch < 1:
            raise ValueError(f"`stretch` is a share of the tempo from 0 to less than 1, not {stretch}")
        self.extractor = extractor or TabHeroFeatureExtractor()
        self.random_start = random_start
        self.remix = remix
        self.stretch = stretch
        self.learn_frets = learn_frets
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
        return self.read(index)

    def read(self, index: int, turn: int = 0) -> dict:
        """An item; each `turn` of an epoch draws anew."""
        key = ChartKey(int(self._difficulties[index]), int(self._instruments[index]))
        row = int(self._rows[index])
        rng = np.random.default_rng((self.seed, int(self._epoch), index % len(self), turn))
        if self.random_start:
            item = self._joined_item(row, key, rng)
        else:
            window, notes = self._read(row, key)
            features = _mixed(*_mels(window, self.extractor), window["log_scale"], key, self.remix, rng)
            item = _item(window, features, _as_notes(notes), key, self.extractor, self._tokenizer)
        return {**item, "learn_frets": self.learn_frets, "seed": int(rng.integers(2**63))}

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
        there = set(table.column_names)  # data sets prepared before there was a backing have no column for it
        window = {name: table[name][0].as_py() if name in there else None for name in ROW_FIELDS}
        window |= {name: table[name][0].as_buffer() if name in there else None for name in ("mel", "backing")}
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

    def _joined_item(self, row: int, key: ChartKey, rng: np.random.Generator) -> dict:
        """A window of the row's song that starts at a random frame."""
        start_frame, frames = self._drawn_window(row, rng)
        speed = self._drawn_speed(row, start_frame, frames, rng)
        # Frames of the song; rounding must not lead beyond its end.
        heard = min(math.ceil((frames - 1) * speed) + 1, int(self._song_frames[row]) - start_frame)
        while self._starts[row] > start_frame:
            row -= 1
        while self._starts[row] + self._frames[row] <= start_frame:
            row += 1
        seconds = self.extractor.frames_to_seconds
        notes: Columns = {}
        mels, backings, filled = [], [], 0
        while filled < heard:
            window, row_notes = self._read(row, key)
            offset = start_frame + filled - window["start_frame"]
            mel, backing = (
                part if part is None else part[offset : offset + heard - filled]
                for part in _mels(window, self.extractor)
            )
            mels.append(mel)
            backings.append(backing)
            filled += len(mel)
            onsets = row_notes["onsets"] + np.float64(seconds(window["start_frame"]) - seconds(start_frame))
            notes = _joined(notes, {**row_notes, "onsets": onsets})
            row += 1
        backing = None if backings[0] is None else np.concatenate(backings)
        features = _mixed(np.concatenate(mels), backing, window["log_scale"], key, self.remix, rng)
        features, notes = _played_at(speed, features, notes, frames)
        low, high = np.searchsorted(notes["onsets"], np.array((0.0, seconds(frames))) - ONSET_ERROR)
        notes = {name: values[low:high] for name, values in notes.items()}
        notes["onsets"] = np.maximum(notes["onsets"], 0.0)
        window["start_frame"] = start_frame
        return _item(window, features, _as_notes(notes), key, self.extractor, self._tokenizer)

    def _drawn_speed(self, row: int, start_frame: int, frames: int, rng: np.random.Generator) -> float:
        """How many times faster a window is played, as far as the song reaches."""
        if not self.stretch:
            return 1.0
        speed = math.exp(rng.uniform(-1, 1) * math.log1p(self.stretch))
        longest = int(self._song_frames[row]) - start_frame - 1
        return min(speed, longest / (frames - 1)) if frames > 1 else 1.0


class MixedWindows(torch.utils.data.Dataset):
    """
    Several [`ChartWindows`] as one, each read so many times in an epoch, and each time drawn anew: a few songs by hand
    beside many made ones.

    Args:
        parts: Windows, and how often they are read; at least one.
    """

    def __init__(self, parts: Sequence[tuple[ChartWindows, int]]):
        self._parts = list(parts)
        self._ends = np.cumsum([len(windows) * turns for windows, turns in parts]).tolist()

    def set_epoch(self, epoch: int):
        """See [`ChartWindows.set_epoch`]."""
        for windows, _ in self._parts:
            windows.set_epoch(epoch)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict:
        part = bisect.bisect_right(self._ends, index)
        windows, _ = self._parts[part]
        turn, index = divmod(index - (self._ends[part - 1] if part else 0), len(windows))
        return windows.read(index, turn)

    @cached_property
    def lengths(self) -> list[int]:
        """See [`ChartWindows.lengths`]."""
        return [length for windows, turns in self._parts for length in windows.lengths * turns]


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
    known = window_schema().names
    columns = [name for name in known if name in (dataset.column_names or known)]
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
    features = _mixed(*_mels(window, extractor), window.get("log_scale"))
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
    end = extractor.frames_to_seconds(len(features))
    notes = [(onset, lanes, bits, held_within(sustain, end - onset)) for onset, lanes, bits, sustain in notes]
    # Without an end: a note in the window's last milliseconds is rounded to the nearest bin, like all others.
    labels = tokenizer.encode_notes(notes)[1:]
    start = extractor.frames_to_seconds(window["start_frame"])
    features = features.astype(np.float32, copy=False)
    values = (features, labels, key.difficulty, key.instrument, window["genre"], window["song_id"], start)
    return dict(zip(ITEM_FIELDS, values, strict=True))


def _mels(window: Mapping, extractor: TabHeroFeatureExtractor) -> tuple[np.ndarray, np.ndarray | None]:
    """Mel and backing of a row, each `(frames, feature_size)`, float16, read-only; `None` without a backing."""
    frames, bands = window["num_frames"], extractor.feature_size
    mels = []
    for name in ("mel", "backing"):
        if window.get(name) is None:
            mels.append(None)
            continue
        size = memoryview(window[name]).nbytes
        if size != 2 * frames * bands:
            raise ValueError(
                f"window {window['window']} of song {window['song_id']} has {size / 2 / frames:g} {name} bands, but "
                f"the feature extractor's `feature_size` is {bands}: use the one that the data set was prepared with"
            )
        mels.append(np.frombuffer(window[name], dtype="<f2").reshape(frames, bands))
    return tuple(mels)


def _mixed(
    mel: np.ndarray,
    backing: np.ndarray | None,
    log_scale: float | None,
    key: ChartKey | None = None,
    remix: Remix | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Features `(frames, feature_size)`, float32, of an instrument and what is played beside it, if known."""
    mel = mel.astype(np.float32)
    if backing is None:
        return mel
    parts = Parts(backing.astype(np.float32), log_scale)
    return (remix(mel, parts, rng, key.instrument) if remix else mix_mels(mel, parts)).astype(np.float32)


def _played_at(speed: float, features: np.ndarray, notes: Columns, frames: int) -> tuple[np.ndarray, Columns]:
    """The first `frames` of features, and their notes, played so many times faster, at the same pitch."""
    if speed == 1:
        return features, notes
    places = np.minimum(np.arange(frames) * speed, len(features) - 1)
    before = places.astype(np.int64)
    after = np.minimum(before + 1, len(features) - 1)
    share = (places - before)[:, None].astype(np.float32)
    features = features[before] * (1 - share) + features[after] * share
    return features, {**notes, "onsets": notes["onsets"] / speed, "sustains": notes["sustains"] / np.float32(speed)}


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
    if not parts:
        return (np.zeros(0, dtype=np.int64),) * 4
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _joined(notes: Columns, following: Columns) -> Columns:
    """The notes of two rows that may overlap, those in the overlap once."""
    if not notes or not len(following["onsets"]):
        return notes or following
    kept = np.searchsorted(notes["onsets"], following["onsets"][0] - ONSET_ERROR)
    return {name: np.concatenate((values[:kept], following[name])) for name, values in notes.items()}


def _as_notes(notes: Columns) -> list[Note]:
    return chart_notes({name: values.tolist() for name, values in notes.items()})
