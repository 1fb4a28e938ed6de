import numpy as np
import pytest
import soundfile

from tabhero_hf.audio import AudioError, load_audio, to_ogg
from tabhero_hf.charts import read_sng, write_sng


def tones(seconds, rate, *frequencies):
    times = np.arange(round(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * frequency * times) for frequency in frequencies], axis=1)


def pitch(samples, rate):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("source", ["a.aiff", "a.au", "a.w64"])
def test_sounds_the_same(tmp_path, source, suffix):
    soundfile.write(tmp_path / source, tones(5, 44100, 440, 1000), 44100)
    path = to_ogg(tmp_path / source, tmp_path / f"song{suffix}")
    samples, rate = soundfile.read(path)
    assert soundfile.info(path).subtype == {".ogg": "VORBIS", ".opus": "OPUS"}[suffix]
    assert len(samples) / rate == pytest.approx(5, abs=0.03)
    assert [pitch(channel, rate) for channel in samples.T] == pytest.approx([440, 1000], abs=1)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)
    # In time: the model's notes are laid over it.
    before, after = load_audio(tmp_path / source), load_audio(path)
    lags = range(-600, 600)
    heard = [np.dot(before[10_000:60_000], after[10_000 + lag : 60_000 + lag]) for lag in lags]
    assert abs(lags[int(np.argmax(heard))]) / 22050 < 0.003


@pytest.mark.parametrize(("rate", "channels"), [(96000, 2), (4000, 1), (44100, 8), (11025, 6)])
def test_any_rate_and_channels(tmp_path, rate, channels):
    soundfile.write(tmp_path / "a.w64", tones(2, rate, *[440] * channels), rate)
    for name in ("song.ogg", "song.opus"):
        samples, written = soundfile.read(to_ogg(tmp_path / "a.w64", tmp_path / name), always_2d=True)
        assert 8000 <= written <= 48000
        assert samples.shape[1] == (channels if channels <= 2 else 1)
        assert pitch(samples[:, 0], written) == pytest.approx(440, abs=2)


def test_packed_audio(tmp_path):
    soundfile.write(tmp_path / "song.wav", tones(2, 44100, 440), 44100)
    write_sng(tmp_path / "a.sng", {}, [("song.wav", tmp_path / "song.wav")])
    samples, rate = soundfile.read(to_ogg(read_sng(tmp_path / "a.sng").files["song.wav"], tmp_path / "song.ogg"))
    assert pitch(samples, rate) == pytest.approx(440, abs=1)


def test_what_cannot_be_used_leaves_the_target_as_it_was(tmp_path):
    (tmp_path / "a.aiff").write_bytes(b"no audio")
    broken = tones(2, 44100, 440)
    broken[-1] = np.nan
    soundfile.write(tmp_path / "b.w64", broken, 44100, subtype="FLOAT")
    (tmp_path / "song.ogg").write_bytes(b"old")
    for name, reason in (("a.aiff", "not audio"), ("b.w64", "not finite"), ("c.au", "no such file")):
        with pytest.raises(AudioError, match=reason):
            to_ogg(tmp_path / name, tmp_path / "song.ogg")
    with pytest.raises(ValueError, match="song.mp3: written are .ogg and .opus"):
        to_ogg(tmp_path / "b.w64", tmp_path / "song.mp3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.aiff", "b.w64", "song.ogg"]
    assert (tmp_path / "song.ogg").read_bytes() == b"old"
