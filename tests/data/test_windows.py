import itertools
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, Features, load_dataset
from datasets.distributed import split_dataset_by_node
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroTokenizer,
)
from tabhero_hf.audio.loading import audio_duration
from tabhero_hf.charts import Instrument, read_song
from tabhero_hf.data.collator import Remix, SpecAugment, TabHeroCollator, loudness
from tabhero_hf.data.schema import ChartKey, Parts, SongIdentity, mix_mels, window_rows, window_schema
from tabhero_hf.data.windows import ITEM_FIELDS, ChartWindows, MixedWindows, stream_windows

BANDS = 2
EXTRACTOR = TabHeroFeatureExtractor(feature_size=BANDS, max_frames=200, overlap_frames=50)
TOKENIZER = TabHeroTokenizer()
KEYS = [ChartKey(0, 0), ChartKey(3, 0), ChartKey(3, 1)]
REAL_SONGS = ["armygeddon", "chaos_god", "internal_degeneration", "mutilated_mime"]
REAL_SONGS = [f"muldjord/{name}" for name in REAL_SONGS]
REAL_SONGS += [f"sectoid/{name}" for name in ("Escape from chaosland", "Feelings", "Metal madness", "War of freedom")]


def numbered_mel(frames: int) -> np.ndarray:
    """In each frame its number."""
    return np.repeat(np.arange(frames, dtype=np.float16)[:, None], BANDS, axis=1)


def song_rows(song: int, frames: int, charts: dict, extractor=EXTRACTOR, mel=None) -> list[dict]:
    identity = SongIdentity(f"{song:016x}", "mix", "artist", f"song {song}", song % 16)
    return list(window_rows(identity, numbered_mel(frames) if mel is None else mel, charts, extractor))


def made_notes(seed: int, frames: int, count: int) -> list:
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(int(frames * 256 / 22050 / 0.02), count, replace=False))
    return [(0.02 * place + 0.001, (int(rng.integers(5)),), int(rng.integers(8)), 0.5) for place in places.tolist()]


def made_charts(seed: int, frames: int) -> dict:
    return {key: made_notes(10 * seed + i, frames, 20 + 10 * i) for i, key in enumerate(KEYS)}


def made_rows(songs: int = 3, frames: int = 700) -> list[dict]:
    """Songs of five, six, … windows."""
    sizes = [frames + 150 * song for song in range(songs)]
    return [row for song, size in enumerate(sizes) for row in song_rows(song, size, made_charts(song, size))]


def as_dataset(rows: list[dict]) -> Dataset:
    return Dataset.from_list(rows, features=Features.from_arrow_schema(window_schema()))


def write_songs(folder, songs: int) -> str:
    """A dataset on disk as it is prepared: a file for each song."""
    (folder / "data" / "train").mkdir(parents=True)
    for song_id, rows in itertools.groupby(made_rows(songs), lambda row: row["song_id"]):
        table = pa.Table.from_pylist(list(rows), schema=window_schema().with_metadata({"tabhero": "{}"}))
        pq.write_table(table, folder / "data" / "train" / f"{song_id}-mix.parquet")
    return str(folder)


def assert_exact(item: dict, notes: list, extractor=EXTRACTOR):
    """The labels of an item are the chart's notes with onset in its window, which ends what is still held."""
    start = item["window_start"]
    end = start + len(item["input_features"]) * extractor.hop_length / extractor.sampling_rate
    inside = [note for note in notes if start <= note[0] < end]
    assert item["labels"][-1] == TOKENIZER.eos_token_id
    decoded = TOKENIZER.decode_notes(item["labels"], start)
    assert [note[1:3] for note in decoded] == [note[1:3] for note in inside]
    np.testing.assert_allclose([note[0] for note in decoded], [note[0] for note in inside], atol=0.00501)
    for (_, _, _, written), (onset, _, _, sustain) in zip(decoded, inside, strict=True):
        longest = end - onset
        assert min(sustain, max(longest - 0.05, 0)) - 0.02501 <= written <= min(sustain + 0.02501, longest + 1e-6)


def assert_same_items(items, others):
    for item, other in itertools.zip_longest(items, others):
        np.testing.assert_array_equal(item["input_features"], other["input_features"])
        for name in ITEM_FIELDS[1:]:
            assert item[name] == other[name], name


@pytest.mark.parametrize("name", REAL_SONGS)
def test_labels_of_real_songs_are_the_notes_in_the_window(real_songs, name):
    song = read_song(real_songs / name)
    extractor = TabHeroFeatureExtractor(feature_size=BANDS)
    frames = 1 + int(audio_duration(song.stems) * extractor.sampling_rate) // extractor.hop_length
    charts = {ChartKey(int(key[1]), int(key[0])): song.chart.to_seconds(*key) for key in song.chart.tracks}
    mel = np.zeros((frames, BANDS), dtype=np.float16)
    rows = as_dataset(song_rows(0, frames, charts, extractor, mel))
    windows = ChartWindows(rows, extractor)
    assert len(windows) == len(charts) * len(extractor.window_bounds(frames))
    for item in windows:
        assert_exact(item, charts[item["difficulty_ids"], item["instrument_ids"]], extractor)

    windows = ChartWindows(rows, extractor, random_start=True)
    starts = set()
    for epoch in range(3):
        windows.set_epoch(epoch)
        for item in windows:
            assert len(item["input_features"]) == min(4096, frames)
            assert_exact(item, charts[item["difficulty_ids"], item["instrument_ids"]], extractor)
            starts.add(item["window_start"])
    assert len(starts) > 1.5 * len(windows)


@st.composite
def note_lists(draw):
    """Notes at least 10 ms apart; frames lie elsewhere, but for every 441st, which starts where a note may."""
    places = sorted(draw(st.sets(st.integers(0, 1200), max_size=60)))
    lanes = st.sets(st.integers(0, 6), min_size=1).map(lambda lanes: tuple(sorted(lanes)))
    sustains = st.one_of(st.just(0.0), st.floats(0, 12))
    return [(place / 100, draw(lanes), draw(st.integers(0, 7)), draw(sustains)) for place in places]


@settings(max_examples=30, deadline=None)
@given(
    notes=note_lists(),
    frames=st.integers(1, 1100),
    overlap=st.integers(0, 199),
    random_start=st.booleans(),
    curriculum=st.booleans(),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_windows_of_any_song_hold_its_frames_and_notes(notes, frames, overlap, random_start, curriculum, epoch, seed):
    extractor = TabHeroFeatureExtractor(feature_size=BANDS, max_frames=200, overlap_frames=min(overlap, 190))
    rows = as_dataset(song_rows(0, frames, {ChartKey(2, 1): notes}, extractor))
    growing = 4 if random_start and curriculum else 0
    windows = ChartWindows(rows, extractor, random_start=random_start, curriculum_epochs=growing, seed=seed)
    windows.set_epoch(epoch)
    assert len(windows) == len(rows)
    for item, row in zip(windows, rows, strict=True):
        first = round(item["window_start"] * 22050 / 256)
        length = len(item["input_features"])
        np.testing.assert_array_equal(item["input_features"][:, 0], np.arange(first, first + length))
        assert_exact(item, notes, extractor)
        if random_start:
            whole = min(200, frames)
            share = (1 + 7 * epoch / growing) / 8 if epoch < growing else 1
            assert length == math.ceil(whole * share) and 0 <= first <= frames - length
        else:
            assert (first, length) == (row["start_frame"], row["num_frames"])


def test_items():
    rows = made_rows()
    windows = ChartWindows(as_dataset(rows), EXTRACTOR)
    assert len(windows) == len(rows) * len(KEYS)
    item = windows[3 * 6 + 1]  # the second window of the second song, and its second chart
    assert item["input_features"].dtype == np.float32 and item["input_features"].shape == (200, BANDS)
    assert (item["difficulty_ids"], item["instrument_ids"], item["genre"]) == (3, 0, 1)
    assert item["song_id"] == f"{1:016x}" and item["window_start"] == 150 * 256 / 22050
    assert windows[-1]["song_id"] == f"{2:016x}"
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_filters_and_lengths():
    dataset = as_dataset(made_rows())
    windows = ChartWindows(dataset, EXTRACTOR, difficulties=(3,), instruments=[1], min_frames=190)
    assert {(item["difficulty_ids"], item["instrument_ids"]) for item in windows} == {(3, 1)}
    assert min(len(item["input_features"]) for item in windows) == 200
    assert len(windows) == sum(row["num_frames"] >= 190 for row in dataset)
    assert windows.lengths == [len(item["labels"]) for item in windows]
    with pytest.raises(ValueError, match=r"none of the 54 charts in 18 rows is of difficulties \[1\]"):
        ChartWindows(dataset, EXTRACTOR, difficulties=[1])
    with pytest.raises(ValueError, match="in a window of 201 frames or more"):
        ChartWindows(dataset, EXTRACTOR, min_frames=201)


def test_a_selection_of_rows_is_read_like_the_rows_themselves():
    dataset = as_dataset(made_rows())
    whole, some = ChartWindows(dataset, EXTRACTOR), ChartWindows(dataset.select([7, 2]), EXTRACTOR)
    assert_same_items(some, [whole[index] for index in (21, 22, 23, 6, 7, 8)])


def test_weights_draw_instruments_and_difficulties_equally_often():
    windows = ChartWindows(as_dataset(made_rows()), EXTRACTOR)
    weights = windows.balancing_weights()
    drawn = {key: 0.0 for key in KEYS}
    for item, weight in zip(windows, weights.tolist(), strict=True):
        drawn[item["difficulty_ids"], item["instrument_ids"]] += weight
    assert drawn == pytest.approx({KEYS[0]: 0.25, KEYS[1]: 0.25, KEYS[2]: 0.5})
    assert len(list(torch.utils.data.WeightedRandomSampler(weights, 10))) == 10


def drawn(items: list[dict]) -> list:
    return [(item["window_start"], item["seed"]) for item in items]


def test_random_starts_are_the_same_in_any_number_of_processes():
    windows = ChartWindows(as_dataset(made_rows()), EXTRACTOR, random_start=True, seed=4)
    loader = DataLoader(windows, batch_size=5, num_workers=2, collate_fn=list, persistent_workers=True)
    epochs = []
    for epoch in range(2):
        windows.set_epoch(epoch)
        items = [item for batch in loader for item in batch]
        assert drawn(items) == drawn(windows)
        epochs.append(drawn(items))
    assert sum(a != b for a, b in zip(*epochs, strict=True)) == len(windows)
    other = ChartWindows(as_dataset(made_rows()), EXTRACTOR, random_start=True, seed=5)
    assert drawn(other) != drawn(ChartWindows(as_dataset(made_rows()), EXTRACTOR, random_start=True, seed=4))


@pytest.mark.parametrize("curriculum_epochs", [0, 40])
def test_random_starts_reach_all_of_a_song(curriculum_epochs):
    frames = 700
    rows = as_dataset(song_rows(0, frames, {KEYS[0]: []}))
    windows = ChartWindows(rows, EXTRACTOR, random_start=True, curriculum_epochs=curriculum_epochs)
    epochs_heard = np.zeros(frames)
    for epoch in range(40):
        windows.set_epoch(epoch)
        epochs_heard[np.unique([item["input_features"][:, 0] for item in windows]).astype(int)] += 1
    assert epochs_heard.min() >= (3 if curriculum_epochs else 10)


def test_a_curriculum_needs_random_starts():
    with pytest.raises(ValueError, match="need `random_start`"):
        ChartWindows(as_dataset(made_rows()), EXTRACTOR, curriculum_epochs=2)


@pytest.mark.parametrize("left_out", [0, 3, 4, 5])
def test_random_starts_need_whole_songs(left_out):
    dataset = as_dataset(made_rows())
    rows = [row for row in range(len(dataset)) if row != left_out]
    with pytest.raises(ValueError, match="need all windows of a song's audio, one after another, but row"):
        ChartWindows(dataset.select(rows), EXTRACTOR, random_start=True)


def test_other_mel_settings_are_refused(tmp_path):
    folder = write_songs(tmp_path / "songs", 1)
    refusal = "song 0000000000000000 has 2 mel bands, but the feature extractor's `feature_size` is 128"
    with pytest.raises(ValueError, match=refusal):
        ChartWindows(load_dataset(folder, split="train"))[0]
    with pytest.raises(ValueError, match=refusal):
        next(iter(stream_windows(load_dataset(folder, split="train", streaming=True))))


def test_streamed_windows_equal_memory_mapped_ones(tmp_path):
    folder = write_songs(tmp_path / "songs", 3)
    mapped, streamed = (load_dataset(folder, split="train", streaming=streaming) for streaming in (False, True))
    assert_same_items(stream_windows(streamed, EXTRACTOR), ChartWindows(mapped, EXTRACTOR))
    asked = {"difficulties": [3], "instruments": [0], "min_frames": 190}
    assert_same_items(stream_windows(streamed, EXTRACTOR, **asked), ChartWindows(mapped, EXTRACTOR, **asked))


def identified(item: dict) -> tuple:
    return item["song_id"], item["window_start"], item["difficulty_ids"], item["instrument_ids"]


@pytest.mark.parametrize("songs", [4, 3])
def test_two_nodes_with_two_workers_read_every_window_once(tmp_path, songs):
    folder = write_songs(tmp_path / "songs", songs)  # four files can be shared out as they are, three cannot
    read = []
    for rank in range(2):
        rows = load_dataset(folder, split="train", streaming=True)
        node = split_dataset_by_node(stream_windows(rows, EXTRACTOR), rank=rank, world_size=2)
        read.append([identified(item) for item in DataLoader(node, batch_size=None, num_workers=2)])
    windows = ChartWindows(load_dataset(folder, split="train"), EXTRACTOR)
    assert sorted(read[0] + read[1]) == sorted(identified(item) for item in windows)
    assert min(map(len, read)) > len(windows) / 4


def test_a_dataset_on_the_hub_gives_the_same_batches_mapped_and_streamed(hub):
    extractor = TabHeroFeatureExtractor(max_frames=120, overlap_frames=20)
    rng = np.random.default_rng(0)
    rows = []
    for song, frames in enumerate((200, 320)):
        mel = rng.normal(size=(frames, 128)).astype(np.float16)
        rows += song_rows(song, frames, made_charts(song, frames), extractor, mel)
    as_dataset(rows).push_to_hub("org/windows", split="train")

    mapped = ChartWindows(load_dataset("org/windows", split="train"), extractor)
    streamed = stream_windows(load_dataset("org/windows", split="train", streaming=True), extractor)
    assert_same_items(mapped, ChartWindows(as_dataset(rows), extractor))
    batches = [list(DataLoader(w, batch_size=4, collate_fn=TabHeroCollator())) for w in (mapped, streamed)]
    assert len(batches[0]) == len(batches[1]) == -(-len(mapped) // 4)
    for batch, other in zip(*batches, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[name], other[name]) for name in batch)

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = TabHeroForConditionalGeneration(TabHeroConfig(**sizes))
    assert all(torch.isfinite(model(**batch).loss) for batch in batches[1])


def test_augmentation_does_not_depend_on_the_process_or_the_batch():
    windows = ChartWindows(as_dataset(made_rows(1)), EXTRACTOR)
    collator = TabHeroCollator(augment=[SpecAugment(max_bands=1, max_frames=40)])

    def epoch(number: int, batch_size: int, workers: int) -> list[np.ndarray]:
        windows.set_epoch(number)
        heard = []
        for batch in DataLoader(windows, batch_size=batch_size, num_workers=workers, collate_fn=collator):
            mask = batch.get("attention_mask", torch.ones(batch["input_features"].shape[:2]))
            heard += [f[m == 1] for f, m in zip(batch["input_features"], mask, strict=True)]
        return heard

    first = epoch(0, 4, 0)
    assert all(map(torch.equal, first, epoch(0, 3, 2)))
    assert not any(map(torch.equal, first, epoch(1, 4, 0)))


# An instrument and its backing


def rows_in_parts(frames: int = 700) -> tuple[list[dict], np.ndarray, Parts]:
    rng = np.random.default_rng(0)
    mel, backing = rng.normal(size=(2, frames, BANDS)).astype(np.float16)
    parts = Parts(backing, 2.0)
    identity = SongIdentity("0" * 16, "guitar+backing", "", "", 0)
    return list(window_rows(identity, mel, made_charts(0, frames), EXTRACTOR, parts)), mel, parts


@pytest.mark.parametrize("random_start", [False, True])
def test_an_instrument_is_heard_with_its_backing(random_start):
    rows, mel, parts = rows_in_parts()
    mix = mix_mels(mel.astype(np.float32), Parts(parts.backing.astype(np.float32), 2.0))
    for item in ChartWindows(as_dataset(rows), EXTRACTOR, random_start=random_start):
        start = round(item["window_start"] * 22050 / 256)
        np.testing.assert_allclose(item["input_features"], mix[start : start + len(item["input_features"])], atol=1e-5)
    streamed = stream_windows(as_dataset(rows).to_iterable_dataset(), EXTRACTOR)
    assert_same_items(ChartWindows(as_dataset(rows), EXTRACTOR), streamed)


def test_rows_from_before_there_was_a_backing_are_read():
    rows = as_dataset(made_rows(1))
    older = rows.remove_columns(["backing", "log_scale"])
    for random_start in (False, True):
        assert_same_items(
            *(ChartWindows(data, EXTRACTOR, random_start=random_start, remix=Remix()) for data in (rows, older))
        )
    assert_same_items(*(stream_windows(data.to_iterable_dataset(), EXTRACTOR) for data in (rows, older)))


def test_a_remix_is_another_one_each_time_as_loud_as_the_song():
    rows, _, _ = rows_in_parts()
    heard = ChartWindows(as_dataset(rows), EXTRACTOR)
    remixed = ChartWindows(as_dataset(rows), EXTRACTOR, remix=Remix())
    first = [item["input_features"] for item in remixed]
    np.testing.assert_array_equal(first[0], remixed[0]["input_features"])
    remixed.set_epoch(1)
    for before, after, own in zip(first, remixed, heard):
        assert not np.allclose(before, after["input_features"], atol=0.1)
        assert after["labels"] == own["labels"]
        for moment in (np.mean, np.std):
            assert moment(after["input_features"]) == pytest.approx(moment(own["input_features"]), abs=1e-4)


def test_the_instrument_alone_has_nothing_of_its_backing():
    rows, mel, parts = rows_in_parts()
    alone = Remix(alone=1.0, smeared=0.0, equalizer=lambda features, rng: features)
    rng = np.random.default_rng(0)
    one = alone(mel.astype(np.float32), parts, rng, 0)
    other = alone(mel.astype(np.float32), Parts(parts.backing - 20, 2.0), rng, 0)
    np.testing.assert_allclose(np.corrcoef(one.ravel(), mel.ravel())[0, 1], 1, atol=1e-4)
    np.testing.assert_allclose(np.corrcoef(one.ravel(), other.ravel())[0, 1], 1, atol=1e-4)


def test_an_instrument_is_mixed_as_loud_as_guitars_are_however_soft_it_is_in_its_song():
    _, mel, parts = rows_in_parts()
    plain = {"alone": 0.0, "smeared": 0.0, "level_deviation": 0.0, "equalizer": lambda features, rng: features}
    remix, features = Remix(**plain), mel.astype(np.float32)
    softer = features - np.float32(10 * np.log(10) / 10 / parts.log_scale)
    mixes = [remix(part, parts, np.random.default_rng(0), Instrument.KEYS) for part in (features, softer)]
    # As loud as its song is set to be, the same mix.
    np.testing.assert_allclose(*((mix - mix.mean()) / mix.std() for mix in mixes), atol=1e-3)
    assert loudness(softer, parts.log_scale) == pytest.approx(loudness(features, parts.log_scale) - 10, abs=1e-3)


def test_guitars_and_basses_are_smeared_and_keys_are_not():
    _, mel, parts = rows_in_parts()
    smeared = Remix(alone=1.0, smeared=1.0, equalizer=lambda features, rng: features)
    features = mel.astype(np.float32)
    for instrument in Instrument:
        mix = smeared(features, parts, np.random.default_rng(0), instrument)
        alike = np.corrcoef(mix.ravel(), features.ravel())[0, 1] > 0.9999
        assert alike == (instrument == Instrument.KEYS)


def test_a_stretched_window_has_its_notes_where_they_sound():
    """Each frame holds its number in the song, so what is under a note says where in the song it was."""
    charts = made_charts(0, 700)
    windows = ChartWindows(as_dataset(song_rows(0, 700, charts)), EXTRACTOR, random_start=True, stretch=0.3)
    speeds = []
    for item in windows:
        assert len(item["input_features"]) == 200
        onsets = np.array([note[0] for note in TOKENIZER.decode_notes(item["labels"])])
        places = np.interp(onsets * 22050 / 256, np.arange(200), item["input_features"][:, 0]) * 256 / 22050
        charted = np.array([note[0] for note in charts[item["difficulty_ids"], item["instrument_ids"]]])
        speeds.append((item["input_features"][-1, 0] - item["input_features"][0, 0]) / 199)
        if len(onsets):
            assert np.abs(places[:, None] - charted).min(axis=1).max() < 0.01
            among = (charted > places[0] - 0.01) & (charted < places[-1] + 0.01)
            assert among.sum() == len(onsets)
    assert 1 / 1.3 - 0.01 < min(speeds) < 0.9 and 1.05 < max(speeds) < 1.31


def test_songs_read_several_times_an_epoch_are_drawn_anew_each_time():
    many, few = (
        ChartWindows(as_dataset(song_rows(song, 900, made_charts(song, 900))), EXTRACTOR, random_start=True)
        for song in range(2)
    )
    mixed = MixedWindows([(many, 1), (few, 3)])
    assert len(mixed) == len(many) + 3 * len(few) == len(mixed.lengths)
    assert {mixed[index]["song_id"] for index in range(len(many))} == {f"{0:016x}"}
    middle = len(few) // 2
    turns = [mixed[len(many) + turn * len(few) + middle] for turn in range(3)]
    assert {item["song_id"] for item in turns} == {f"{1:016x}"}
    assert len({item["window_start"] for item in turns}) == 3
    mixed.set_epoch(1)
    assert mixed[len(many) + middle]["window_start"] != turns[0]["window_start"]
