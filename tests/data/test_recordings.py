"""Recordings behind made songs: what is read, and what a training window hears of it."""

import numpy as np
import pytest
import soundfile

from tabhero_hf import TabHeroFeatureExtractor
from tabhero_hf.audio.loading import AudioError
from tabhero_hf.data.collator import Remix
from tabhero_hf.data.recordings import Recordings
from tabhero_hf.data.schema import Parts

RATE = 22050
EXTRACTOR = TabHeroFeatureExtractor()


def tone(hertz: float, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def loudest_band(log_mel: np.ndarray) -> int:
    return int(log_mel.mean(axis=0).argmax())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "album").mkdir()
    soundfile.write(tmp_path / "album" / "low.wav", tone(220, 31), RATE)
    soundfile.write(tmp_path / "high.ogg", tone(3000, 40), RATE)
    soundfile.write(tmp_path / "jingle.wav", tone(1000, 5), RATE)
    (tmp_path / "cover.png").write_bytes(b"no sound")
    return tmp_path


def test_music_in_all_folders_is_read_and_jingles_are_not(folder):
    recordings = Recordings([folder], EXTRACTOR)
    assert len(recordings) == 2
    rng = np.random.default_rng(0)
    drawn = [recordings.draw(100, rng) for _ in range(20)]
    assert {window.shape for window in drawn} == {(100, EXTRACTOR.feature_size)}
    low, high = (loudest_band(EXTRACTOR.log_mel(tone(hertz, 5))) for hertz in (220, 3000))
    assert {loudest_band(window) for window in drawn} == {low, high}


def test_a_window_longer_than_the_recording_hears_it_again(folder):
    recordings = Recordings([folder / "album" / "low.wav"], EXTRACTOR)
    frames = 4 * RATE * 31 // EXTRACTOR.hop_length
    window = recordings.draw(frames, np.random.default_rng(0))
    assert len(window) == frames
    assert (window.argmax(axis=1) == loudest_band(window)).mean() > 0.99


def test_what_holds_no_music_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no recordings of 30 s or more in .*jingle"):
        Recordings([folder / "jingle.wav"], EXTRACTOR)
    broken = folder / "broken.ogg"
    broken.write_bytes(b"OggS" + bytes(100))
    with pytest.raises(AudioError, match="broken.ogg"):
        Recordings([folder], EXTRACTOR)
    with pytest.raises(AudioError, match="nowhere.ogg"):
        Recordings([folder / "nowhere.ogg"], EXTRACTOR)


def test_a_recording_takes_the_place_of_the_backing(folder):
    recordings = Recordings([folder / "high.ogg"], EXTRACTOR)
    parts = Parts(backing=np.full((200, 128), -1.0, np.float32), log_scale=2.0)
    instrument = np.full((200, 128), -8.0, np.float32)
    instrument[:, 10] = 2.0
    same = {"equalizer": lambda features, rng: features, "alone": 0.0, "smeared": 0.0}
    high = loudest_band(EXTRACTOR.log_mel(tone(3000, 5)))
    for recorded in (0.0, 1.0):
        remix = Remix(recordings=recordings, recorded=recorded, **same)
        mix = remix(instrument, parts, np.random.default_rng(0), 0).mean(axis=0)
        # The instrument is heard through both; the recording alone has a band of its own.
        assert mix[10] > np.median(mix) + 0.5
        assert (mix[high] > np.median(mix) + 0.5) == bool(recorded)
