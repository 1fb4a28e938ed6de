import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tabhero_hf.data.collator import BackgroundNoise, RandomEqualizer, RandomGain, SpecAugment, TabHeroCollator, smear


def window(frames: int, labels: list[int], difficulty: int = 3) -> dict:
    features = np.random.default_rng(frames).normal(size=(frames, 128)).astype(np.float32)
    return {"input_features": features, "labels": labels, "difficulty_ids": difficulty, "instrument_ids": 1}


def test_windows_are_padded_and_masked():
    short, long = window(50, [8, 504, 631, 639, 2], 0), window(80, [2])
    batch = TabHeroCollator()([short, long])
    np.testing.assert_array_equal(batch["input_features"][0, :50], short["input_features"])
    assert not batch["input_features"][0, 50:].any()
    assert batch["attention_mask"].sum(dim=1).tolist() == [50, 80]
    assert batch["labels"].tolist() == [[8, 504, 631, 639, 2], [2, -100, -100, -100, -100]]
    assert batch["difficulty_ids"].tolist() == [0, 3] and batch["instrument_ids"].tolist() == [1, 1]


def test_windows_of_one_length_need_no_mask():
    assert "attention_mask" not in TabHeroCollator()([window(50, [2], 0), window(50, [2])])


def test_spec_augment_masks_no_more_than_it_says():
    features = np.ones((500, 128), dtype=np.float32)
    rng = np.random.default_rng(0)
    masked = [SpecAugment()(features, rng) for _ in range(200)]
    bands = [int((~m.any(axis=0)).sum()) for m in masked]
    frames = [int((~m.any(axis=1)).sum()) for m in masked]
    assert max(bands) <= 20 and max(frames) <= 30 and np.mean(bands) > 5 and np.mean(frames) > 8
    assert features.all()


def test_an_equalizer_moves_all_frames_alike():
    features = np.random.default_rng(0).normal(size=(100, 128))
    change = RandomEqualizer()(features, np.random.default_rng(1)) - features
    assert np.abs(change - change[0]).max() < 1e-6 and change[0].std() > 0.05


def test_a_gain_moves_all_features_alike_and_others_differently():
    features, rng = np.zeros((10, 128), dtype=np.float32), np.random.default_rng(0)
    louder = [RandomGain()(features, rng) for _ in range(50)]
    assert all(np.ptp(window) == 0 and window.dtype == np.float32 for window in louder)
    assert 0.3 < np.std([window[0, 0] for window in louder]) < 0.5


def test_noise_buries_what_is_quiet_and_leaves_what_is_loud():
    features = np.full((400, 128), -1.0, dtype=np.float32)
    features[:, 60] = 4.0
    noisy = BackgroundNoise(probability=1, lowest=0.0, highest=0.0)(features, np.random.default_rng(0))
    assert noisy[:, 60].std() < 0.05 < noisy[:, 20].std()
    assert noisy.mean() == pytest.approx(0, abs=1e-3) and noisy.std() == pytest.approx(1, abs=1e-3)


def test_augmentation_is_drawn_afresh_and_repeats_with_its_seed():
    windows = [window(100, [2])]
    first, second = (TabHeroCollator(augment=[SpecAugment()], seed=5) for _ in range(2))
    a, b, c = first(windows), second(windows), first(windows)
    np.testing.assert_array_equal(a["input_features"], b["input_features"])
    assert (a["input_features"] != c["input_features"]).any()


def test_corrupted_frets_reach_the_decoder_and_not_the_labels():
    notes = [8, 504, 631, 639, 9, 505, 631, 639, 10, 511, 631, 639]
    windows = [window(20, [*notes * 50, 2]), window(20, [*notes, 2])]
    batch = TabHeroCollator(fret_corruption=0.5)(windows)
    labels, inputs = batch["labels"], batch["decoder_input_ids"]
    assert labels[0].tolist() == windows[0]["labels"]
    shifted = [1, *windows[0]["labels"][:-1]]
    changed = [(a, b) for a, b in zip(shifted, inputs[0].tolist(), strict=True) if a != b]
    assert {a for a, _ in changed} | {b for _, b in changed} == {504, 505, 511}
    assert 30 < len(changed) < 70  # of 150 frets half are drawn anew, a third of them as they were
    assert inputs[1].tolist()[14:] == [0] * (len(shifted) - 14)
    assert "decoder_input_ids" not in TabHeroCollator()(windows)


def test_frets_that_are_not_learned_are_seen_all_the_same():
    labels = [8, 504, 631, 639, 9, 511, 631, 639, 2]
    windows = [window(20, labels) | {"learn_frets": False}, window(20, labels)]
    batch = TabHeroCollator()(windows)
    assert batch["labels"].tolist() == [[8, -100, 631, 639, 9, -100, 631, 639, 2], labels]
    assert batch["decoder_input_ids"].tolist() == [[1, *labels[:-1]]] * 2


class Ones(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"input_features": np.ones((300, 128)), "labels": [2], "difficulty_ids": 3, "instrument_ids": 0}


def test_each_worker_augments_in_its_own_way_in_each_epoch():
    loader = DataLoader(Ones(), batch_size=2, num_workers=2, collate_fn=TabHeroCollator(augment=[SpecAugment()]))
    masks = [window.numpy().tobytes() for _ in range(2) for batch in loader for window in batch["input_features"]]
    assert len(set(masks)) == 16


def test_a_smeared_sound_dies_away_and_begins_where_it_did():
    features = np.full((100, 4), -4.0, dtype=np.float32)
    features[30:32] = 1.0
    smeared = smear(features, 2.0, 10.0, 1.0)
    np.testing.assert_allclose(smeared[:30], -4.0, atol=1e-4)
    assert (smeared[30:32] > -1.0).all() and (smeared[31] < 1.0).all()
    fall = np.diff(smeared[32:50], axis=0)
    np.testing.assert_allclose(fall, -1 / 10 / 2.0, atol=5e-3)  # 1 / e of the power in 10 frames, in logarithms / 2
    np.testing.assert_allclose(smear(features, 2.0, 10.0, 0.0), features, atol=1e-5)
