import librosa
import numpy as np
import pytest
import torch

from tabhero_hf import TabHeroFeatureExtractor, feature_extraction_tabhero

EXTRACTOR = TabHeroFeatureExtractor()


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * 22050)).astype(np.float32)


def test_features_are_librosas():
    waveform = noise(3.0)
    mel = librosa.feature.melspectrogram(
        y=waveform / np.abs(waveform).max(), sr=22050, n_fft=2048, hop_length=256, win_length=2048, window="hann",
        center=True, pad_mode="reflect", power=2.0, n_mels=128, fmin=0, fmax=11025, htk=True, norm=None,
    )  # fmt: skip
    expected = np.log(np.maximum(mel.T, 1e-5))
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(EXTRACTOR.log_mel(waveform), expected, atol=2e-4)


def test_long_songs_are_transformed_in_blocks_without_seams(monkeypatch):
    waveform = noise(30.0)
    mel = EXTRACTOR.mel(waveform)
    assert len(mel) == 1 + len(waveform) // 256 > feature_extraction_tabhero._FFT_BLOCK_FRAMES
    monkeypatch.setattr(feature_extraction_tabhero, "_FFT_BLOCK_FRAMES", 10**6)
    np.testing.assert_allclose(mel, EXTRACTOR.mel(waveform), rtol=1e-5)


def test_a_song_is_cut_into_overlapping_windows():
    extractor = TabHeroFeatureExtractor(max_frames=400, overlap_frames=100)
    waveform = noise(9.0)
    batch = extractor(waveform, sampling_rate=22050, return_tensors="np")
    log_mel = extractor.log_mel(waveform)  # 776 frames: 0-400, 300-700, 600-776
    assert batch["input_features"].shape == (3, 400, 128)
    assert batch["attention_mask"].sum(axis=1).tolist() == [400, 400, 176]
    np.testing.assert_allclose(batch["window_start"], [0, 300 * 256 / 22050, 600 * 256 / 22050], rtol=1e-6)
    for window, start in enumerate((0, 300, 600)):
        end = min(start + 400, len(log_mel))
        np.testing.assert_array_equal(batch["input_features"][window, : end - start], log_mel[start:end])
    assert not batch["input_features"][2, 176:].any()


@pytest.mark.parametrize("frames", [1, 399, 400, 401, 700, 701, 1000, 12345])
def test_windows_cover_every_frame_and_overlap(frames):
    bounds = TabHeroFeatureExtractor(max_frames=400, overlap_frames=100).window_bounds(frames)
    assert bounds[0][0] == 0 and bounds[-1][1] == frames
    for (_, end), (start, _) in zip(bounds, bounds[1:]):
        assert end - start == 100


def test_several_songs_in_one_call():
    extractor = TabHeroFeatureExtractor(max_frames=100, overlap_frames=10)
    batch = extractor([noise(2.0), noise(0.5)], return_tensors="pt")
    assert batch["audio_index"].tolist() == [0, 0, 1]
    assert batch["attention_mask"].sum(dim=1).tolist() == [100, 83, 44]


def test_loudness_does_not_matter():
    waveform = noise(1.0)
    np.testing.assert_allclose(EXTRACTOR.log_mel(waveform), EXTRACTOR.log_mel(waveform * 7.5), atol=1e-4)


def test_features_are_normalised_over_the_song():
    log_mel = EXTRACTOR.log_mel(noise(5.0) * np.linspace(0.01, 1, 5 * 22050))
    assert log_mel.mean() == pytest.approx(0, abs=1e-4)
    assert log_mel.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 255, 1024])
def test_the_shortest_audio_has_features(samples):
    features = EXTRACTOR(np.ones(samples, dtype=np.float32), return_tensors="np")
    assert np.isfinite(features["input_features"]).all()
    assert features["input_features"].shape[1] == 1 + samples // 256


def test_silence_gives_zeros():
    assert not EXTRACTOR.log_mel(np.zeros(22050)).any()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, dtype=np.float32), "audio is empty"),
        (np.array([0.0, np.nan, 0.1]), "not finite"),
        (np.array([0.0, np.inf]), "not finite"),
        (np.zeros((100, 8, 2)), "must be mono"),
        (np.zeros((100, 2)), "must be mono, but .* 2 channels"),
        (torch.zeros(100, 2), "must be mono, but .* 2 channels"),
        ([[0.0, 0.0]] * 100, "must be mono"),
    ],
)
def test_audio_that_cannot_be_used_is_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        EXTRACTOR(audio)


def test_another_sampling_rate_is_refused():
    with pytest.raises(ValueError, match="44100 Hz.*22050 Hz"):
        EXTRACTOR(noise(0.1), sampling_rate=44100)


def test_windows_that_do_not_advance_are_refused():
    with pytest.raises(ValueError, match="overlap_frames"):
        TabHeroFeatureExtractor(max_frames=100, overlap_frames=100)


def test_save_and_load(tmp_path):
    TabHeroFeatureExtractor(max_frames=400, overlap_frames=100).save_pretrained(tmp_path)
    loaded = TabHeroFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.max_frames, loaded.overlap_frames) == (400, 100)
    np.testing.assert_array_equal(loaded.log_mel(noise(1.0)), EXTRACTOR.log_mel(noise(1.0)))
