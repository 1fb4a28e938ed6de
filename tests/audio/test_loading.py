import numpy as np
import pytest
import soundfile
import soxr

from tabhero_hf.audio import AudioError, audio_duration, load_audio
from tabhero_hf.charts import Chart, TempoMap, read_song, write_sng, write_song


def tone(seconds, rate, frequency=440.0, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def save(path, samples, rate=22050, **options):
    soundfile.write(path, samples, rate, **options)
    return path


def test_mono_at_the_asked_rate(tmp_path):
    left, right = tone(5, 44100), tone(5, 44100, 1000)
    path = save(tmp_path / "a.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    samples = load_audio(path)
    assert (samples.dtype, samples.shape) == (np.float32, (5 * 22050,))
    np.testing.assert_allclose(samples, soxr.resample((left + right) / 2, 44100, 22050), atol=1e-5)


def test_left_and_right_at_the_asked_rate(tmp_path):
    left, right = tone(5, 44100), tone(4, 44100, 1000)
    right = np.pad(right, (0, len(left) - len(right)))
    path = save(tmp_path / "a.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    samples = load_audio(path, stereo=True)
    assert (samples.dtype, samples.shape) == (np.float32, (2, 5 * 22050))
    for channel, expected in zip(samples, (left, right), strict=True):
        np.testing.assert_allclose(channel, soxr.resample(expected, 44100, 22050), atol=1e-5)
    np.testing.assert_allclose(samples.mean(axis=0), load_audio(path), atol=1e-6)
    # Of one channel, and of more than two, both are the average; stems add up.
    mono = save(tmp_path / "mono.wav", tone(2, 22050), subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(mono, stereo=True), np.tile(load_audio(mono), (2, 1)))
    surround = save(tmp_path / "surround.wav", np.stack([left, right, left], axis=1), 44100, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(surround, stereo=True), np.tile(load_audio(surround), (2, 1)))
    both = load_audio([path, mono], stereo=True)
    np.testing.assert_allclose(both[:, : 2 * 22050], samples[:, : 2 * 22050] + load_audio(mono), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_any_rate_keeps_length_and_pitch(tmp_path, rate):
    samples = load_audio(save(tmp_path / "a.flac", tone(4, rate), rate))
    assert len(samples) == pytest.approx(4 * 22050, abs=1)
    assert np.abs(np.fft.rfft(samples)).argmax() / 4 == pytest.approx(440, abs=0.5)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.flac", "a.wav"])
def test_formats(tmp_path, name):
    samples = load_audio(save(tmp_path / name, tone(2, 44100), 44100))
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)


def test_song_is_the_sum_of_its_stems_of_any_length_and_rate(tmp_path):
    short = save(tmp_path / "song.wav", tone(1, 44100), 44100, subtype="FLOAT")
    long = save(tmp_path / "guitar.wav", tone(2, 22050), 22050, subtype="FLOAT")
    save(tmp_path / "crowd.wav", tone(3, 22050))
    alone, total = load_audio(long), load_audio([short, long])
    assert len(total) == 2 * 22050
    np.testing.assert_allclose(total[2000:20000], 2 * alone[2000:20000], atol=1e-3)
    np.testing.assert_array_equal(total[23000:], alone[23000:])
    np.testing.assert_array_equal(load_audio(tmp_path), total)
    assert audio_duration(tmp_path) == pytest.approx(2)


def test_songs_in_archives_sound_like_their_folder(tmp_path):
    chart = Chart(TempoMap(192))
    stems = [save(tmp_path / "song.ogg", tone(2, 44100), 44100), save(tmp_path / "guitar.mp3", tone(3, 22050, 880))]
    folder = write_song(tmp_path / "Song", chart, stems)
    for name in ("a.sng", "b.zip"):
        path = write_song(tmp_path / name, chart, stems)
        np.testing.assert_array_equal(load_audio(path), load_audio(folder))
        assert audio_duration(path) == audio_duration(folder)
        packed = read_song(path).stems
        np.testing.assert_array_equal(load_audio(packed), load_audio(folder))
        np.testing.assert_array_equal(load_audio(packed[1]), load_audio(stems[1]))


def test_what_is_wrong_in_an_archive_and_where(tmp_path):
    (tmp_path / "broken.sng").write_bytes(b"SNGPKG")
    write_sng(tmp_path / "silent.sng", {}, [("notes.chart", b"[Song]\n{\n}\n")])
    write_sng(tmp_path / "text.sng", {}, [("song.ogg", b"hello")])
    for name, reason in (
        ("broken.sng", "broken.sng: .*bytes"),
        ("silent.sng", "silent.sng: a song without audio"),
        ("text.sng", "text.sng/song.ogg: not audio"),
        ("none.zip", "none.zip: no such song"),
    ):
        for function in (load_audio, audio_duration):
            with pytest.raises(AudioError, match=reason):
                function(tmp_path / name)


def test_the_file_that_the_chart_names_is_the_song(tmp_path):
    (tmp_path / "notes.chart").write_text('[Song]\n{\n  MusicStream = "My Track.wav"\n}\n')
    path = save(tmp_path / "My Track.wav", tone(1, 22050))
    np.testing.assert_array_equal(load_audio(tmp_path), load_audio(path))


def test_many_channels_in_blocks(tmp_path):
    path = save(tmp_path / "a.wav", np.repeat(tone(10, 22050)[:, None], 8, axis=1), subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path), tone(10, 22050), atol=1e-5)


def test_what_is_wrong_and_where(tmp_path):
    (tmp_path / "text.ogg").write_text("hello")
    (tmp_path / "noise.raw").write_bytes(b"\1\2" * 500)
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    save(tmp_path / "empty.wav", np.zeros(0, np.float32))
    samples = tone(1, 22050)
    samples[7] = np.nan
    save(tmp_path / "nan.wav", samples, subtype="FLOAT")
    samples[7] = np.inf
    save(tmp_path / "inf.wav", samples, subtype="FLOAT")
    for name, reason in {
        "missing.wav": "no such file",
        "text.ogg": "not audio",
        "noise.raw": "not audio",
        "nothing.wav": "not audio",
        "folder": "a song without audio",
        "empty.wav": "holds no samples",
        "nan.wav": "not finite",
        "inf.wav": "not finite",
    }.items():
        with pytest.raises(AudioError, match=reason) as error:
            load_audio(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


def test_absurd_length_is_refused_before_decoding(tmp_path):
    path = save(tmp_path / "a.wav", np.zeros(7 * 3600, np.int16), 1)
    for function in (load_audio, audio_duration):
        with pytest.raises(AudioError, match="7.0 hours long, over the limit of 6"):
            function(path)


def test_no_stems_are_an_error():
    with pytest.raises(ValueError, match="no stems"):
        load_audio([])


def test_demo_song(demo_song):
    samples = load_audio(demo_song)
    assert len(samples) / 22050 == pytest.approx(audio_duration(demo_song)) == pytest.approx(50.5, abs=0.1)
    assert 0.3 < np.abs(samples).max() < 1
