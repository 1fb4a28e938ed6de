import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from transformers import GenerationConfig, pipeline

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
    bundled_checkpoint,
)
from tabhero_hf.audio import AudioError, load_audio, track_beats
from tabhero_hf.charting import chart_song
from tabhero_hf.charts import ChartError, Difficulty, Instrument, read_song
from tabhero_hf.data.preparation import audio_of
from tabhero_hf.evaluation.metrics import onset_f1, score_chart
from tabhero_hf.pipeline import perturb


@pytest.fixture(scope="module")
def charter():
    """The pipeline with a small random model, and windows of two seconds."""
    torch.manual_seed(0)
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    model = TabHeroForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 41
    processor = TabHeroProcessor(TabHeroFeatureExtractor(max_frames=172, overlap_frames=40), TabHeroTokenizer())
    return pipeline("audio-to-chart", model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def bundled():
    return pipeline("audio-to-chart", model=bundled_checkpoint(), device="cpu")


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * 22050)).astype(np.float32)


def test_every_difficulty_and_instrument_asked_for_is_charted(charter):
    result = charter(noise(5), difficulties=["easy", 3], instruments=["lead", "keys"])
    asked = {("lead", "easy"), ("lead", "expert"), ("keys", "easy"), ("keys", "expert")}
    assert result["notes"].keys() == asked
    assert {(i.name.lower(), d.name.lower()) for i, d in result["chart"].tracks} == asked


def test_one_batch_equals_window_by_window(charter):
    together = charter(noise(5), difficulties=["expert", "hard"])
    alone = charter(noise(5), difficulties=["expert", "hard"], window_batch_size=1)
    assert together["notes"] == alone["notes"]


def test_progress_is_told_after_every_batch(charter):
    told = []
    song = {"difficulties": ["expert", "hard"], "window_batch_size": 4}
    charter(noise(5), **song, monitor_progress=lambda done, total: told.append((done, total)))
    total = told[0][1]
    assert total > 4 and told == [(min(done, total), total) for done in range(4, total + 4, 4)]


@pytest.mark.parametrize("samples", [1, 100, 22050])
def test_silence_gives_an_empty_chart(bundled, samples):
    result = bundled(np.zeros(samples, dtype=np.float32), difficulties=["expert"])
    assert result["notes"] == {("lead", "expert"): []}
    assert result["chart"].tracks[Instrument.LEAD, Difficulty.EXPERT].notes == ()


def test_one_sample_gives_an_empty_chart(bundled):
    assert bundled(np.ones(1, dtype=np.float32), difficulties=["expert"])["notes"]["lead", "expert"] == []


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, dtype=np.float32), "audio is empty"),
        (np.full(22050, np.nan, dtype=np.float32), "not finite"),
        (np.zeros((22050, 8), dtype=np.float32), r"of shape \(samples,\) or \(2, samples\), got shape \(22050, 8\)"),
        (np.zeros((2, 0), dtype=np.float32), "audio is empty"),
    ],
)
def test_waveforms_that_cannot_be_used_are_refused(charter, audio, message):
    with pytest.raises(ValueError, match=message):
        charter({"array": audio, "sampling_rate": 22050})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"difficulties": ["brutal"]}, "'brutal'.*easy, medium, hard, expert"),
        ({"instruments": ["kazoo"]}, "'kazoo'.*lead, bass, rhythm, keys"),
        ({"difficulties": []}, "no difficulty asked for"),
        ({"window_batch_size": 0}, "at least 1"),
    ],
)
def test_parameters_that_do_not_exist_are_refused(charter, parameters, message):
    with pytest.raises(ValueError, match=message):
        charter(noise(1), **parameters)


@pytest.mark.parametrize("generate_kwargs", [{}, {"do_sample": True, "temperature": 0.5}], ids=["greedy", "sampled"])
def test_notes_are_heard_on_the_beat(bundled, real_songs, generate_kwargs):
    audio = load_audio(real_songs / "muldjord" / "mutilated_mime", 22050)[15 * 22050 : 39 * 22050]
    settings = {"difficulties": ["expert"], "generate_kwargs": generate_kwargs}
    beats = track_beats(audio, 22050)
    sixteenths = beats.tempo_map.seconds(np.arange(0, 10**5, beats.tempo_map.resolution // 4)) + beats.offset

    def heard(**on_beat) -> tuple[int, float]:
        """How many notes, and their mean distance from the grid in seconds."""
        torch.manual_seed(0)
        onsets = np.array([note[0] for note in bundled(audio, **settings, **on_beat)["notes"]["lead", "expert"]])
        return len(onsets), np.abs(onsets[:, None] - sixteenths).min(axis=1).mean()

    (count, distance), (plain_count, plain_distance) = heard(), heard(on_beat=False)
    assert count > 0.8 * plain_count > 40
    assert distance < 0.8 * plain_distance


def test_guitars_at_the_sides_of_a_mix_are_heard_there(bundled, real_songs):
    def clip(name: str, start: int) -> tuple[np.ndarray, list]:
        song, end = read_song(real_songs / "muldjord" / name), start + 24
        audio = load_audio(audio_of(song, Instrument.LEAD, "mix")[1], 22050, stereo=True)
        human = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
        human = [(onset - start, *rest) for onset, *rest in human if start <= onset < end]
        return audio[:, start * 22050 : end * 22050], human

    def heard(song) -> list:
        return bundled(song, difficulties=["expert"])["notes"]["lead", "expert"]

    # Of one song it is the pitches that are heard better there, of the other the onsets.
    def in_stereo_and_mono(audio: np.ndarray, human: list) -> list[dict]:
        return [score_chart(human, heard(each)) for each in (audio, audio.mean(axis=0))]

    scores = [in_stereo_and_mono(*clip("chaos_god", start)) for start in (36, 96)]
    for name, more in (("note_f1", 0.1), ("contour", 0.05)):
        stereo, mono = np.mean([[score[name] for score in pair] for pair in scores], axis=0)
        assert stereo > mono + more and stereo > 0.55
    audio, human = clip("armygeddon", 96)
    stereo, mono = in_stereo_and_mono(audio, human)
    assert stereo["onset_f1_50"] > mono["onset_f1_50"] + 0.04 and stereo["note_f1"] > 0.55
    # A bass stands in the middle; two channels that are the same have no sides; and a song comes at any rate.
    basses = [bundled(song, difficulties=["expert"], instruments=["bass"]) for song in (audio, audio.mean(axis=0))]
    assert basses[0]["notes"] == basses[1]["notes"] and len(basses[0]["notes"]["bass", "expert"]) > 10
    assert heard(np.tile(audio[0], (2, 1))) == heard(audio[0])
    at_another_rate = {"array": np.repeat(audio, 2, axis=1), "sampling_rate": 44100}
    assert score_chart(human, heard(at_another_rate))["onset_f1_50"] > mono["onset_f1_50"]


@pytest.mark.parametrize("level", [0.0, 0.003])
def test_where_the_sides_fall_silent_the_middle_is_heard(bundled, demo_song, level):
    left, right = load_audio(demo_song, 22050, stereo=True)[:, : 24 * 22050]
    middle, sides = (left + right) / 2, (left - right) / 2
    sides[12 * 22050 :] *= level
    charts = bundled(np.stack([middle + sides, middle - sides]), difficulties=["expert"], instruments=["lead", "bass"])
    mono = bundled(middle, difficulties=["expert"], instruments=["lead", "bass"])
    late = {
        name: [sum(note[0] > 13 for note in notes) for notes in (charts["notes"][name], mono["notes"][name])]
        for name in mono["notes"]
    }
    stereo, alone = late["lead", "expert"]
    assert alone > 20 and abs(stereo - alone) <= 0.1 * alone
    assert charts["notes"]["bass", "expert"] == mono["notes"]["bass", "expert"] != []


def test_one_channel_that_is_not_finite_is_refused(charter):
    audio = np.stack([noise(2), noise(2)])
    audio[1, 100] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        charter(audio)


def test_frets_follow_what_the_notes_sound_like_and_draws_are_of_their_own(bundled, real_songs):
    song = read_song(real_songs / "muldjord" / "mutilated_mime")
    audio = load_audio(audio_of(song, Instrument.LEAD, "stem")[1], 22050)[15 * 22050 : 45 * 22050]
    human = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    human = [(onset - 15, *rest) for onset, *rest in human if 15 <= onset < 45]

    def heard(**generate_kwargs) -> list:
        return bundled(audio, difficulties=["expert"], generate_kwargs=generate_kwargs)["notes"]["lead", "expert"]

    greedy, beams = heard(), heard(num_beams=2)
    assert [note[:2] for note in greedy] == [note[:2] for note in beams]
    scores = score_chart(human, greedy)
    assert scores["contour"] > 0.6 and scores["contour"] > scores["contour_chance"] + 0.2
    torch.manual_seed(0)
    draws = one, other = heard(do_sample=True), heard(do_sample=True)
    assert [note[0] for note in one] == [note[0] for note in other] == [note[0] for note in greedy]
    assert np.mean([a[1] != b[1] for a, b in zip(one, other, strict=True)]) > 0.1
    # Each of them is a chart of this song.
    assert min(score_chart(human, draw)["contour"] for draw in draws) > scores["contour_chance"] + 0.15
    cold = heard(do_sample=True, temperature=0.01)
    assert [note[:2] for note in cold] == [note[:2] for note in greedy]


def test_frets_are_drawn_as_likely_as_they_are():
    likely = np.array([0.6, 0.3, 0.1, 0.0])
    torch.manual_seed(0)
    for temperature in (0.5, 1.0, 2.0):
        drawn = perturb(np.tile(likely, (20_000, 1)), temperature)
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        expected = likely ** (1 / temperature)
        shares = np.bincount(drawn.argmax(axis=1), minlength=4) / len(drawn)
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)


def test_what_is_heard_of_an_easier_chart_is_in_the_harder_one_and_stays(bundled, demo_song):
    charted = bundled(load_audio(demo_song, 22050)[: 22050 * 24])
    ticks = {
        level: {note.tick for note in charted["chart"].tracks[Instrument.LEAD, level].notes} for level in Difficulty
    }
    heard = {level: len(charted["notes"]["lead", level.name.lower()]) for level in Difficulty}
    assert ticks[Difficulty.EASY] < ticks[Difficulty.MEDIUM] < ticks[Difficulty.HARD] < ticks[Difficulty.EXPERT]
    # What is finished is what was heard: it was heard where the harder chart has notes.
    assert all(abs(len(ticks[level]) - heard[level]) <= 2 for level in Difficulty)


def test_difficulties_that_are_charted_together_have_their_notes_on_the_same_lanes(bundled, demo_song):
    """The human's Hard has 76 in 100 notes of this song on the frets of Expert, where the whole song is charted."""
    audio = load_audio(demo_song, 22050)[: 22050 * 24]
    together = bundled(audio)["notes"]
    alone = {level: bundled(audio, difficulties=[level])["notes"]["lead", level] for level in ("easy", "medium")}

    def alike(notes, others):
        lanes = {time: lanes for time, lanes, *_ in others}
        return np.mean([chord == lanes[time] for time, chord, *_ in notes if time in lanes])

    medium, hard = together["lead", "medium"], together["lead", "hard"]
    assert alike(medium, hard) >= alike(alone["medium"], hard) + 0.05
    assert alike(together["lead", "easy"], medium) >= alike(alone["easy"], alone["medium"]) + 0.1
    assert alike(medium, hard) >= 0.8


@pytest.mark.parametrize("settings", [{"do_sample": True}, {"num_beams": 3}], ids=["sampled", "beams"])
def test_the_best_of_several_candidates_is_kept(bundled, demo_song, settings, monkeypatch):
    audio = load_audio(demo_song, 22050)[: 22050 * 12]
    scored = []

    def chart(count: int) -> list:
        torch.manual_seed(0)
        kwargs = {**settings, "num_return_sequences": count}
        return bundled(audio, difficulties=["expert"], generate_kwargs=kwargs)["notes"]["lead", "expert"]

    one, three = chart(1), chart(3)
    assert abs(len(three) - len(one)) < 0.5 * len(one)
    torch.manual_seed(0)
    config = GenerationConfig(**settings, num_return_sequences=3)
    told_so = bundled(audio, difficulties=["expert"], generate_kwargs={"generation_config": config})
    assert told_so["notes"]["lead", "expert"] == three
    score = bundled.model.compute_transition_scores
    monkeypatch.setattr(
        bundled.model, "compute_transition_scores", lambda *a, **k: scored.append(score(*a, **k)) or scored[-1]
    )
    assert chart(3) == three
    assert scored and sum(map(len, scored)) % 3 == 0


def test_candidates_that_break_rules_lose(bundled, monkeypatch):
    from types import SimpleNamespace

    tokenizer = bundled.processor.tokenizer
    clean, crowded = ([(0.5, lanes, 0, 0.0), (1.0, (0,), 0, 0.0)] for lanes in ((0,), (0, 1, 2)))
    sequences = torch.tensor([tokenizer.encode_notes(notes) for notes in (crowded, clean)])
    monkeypatch.setattr(bundled.model, "compute_transition_scores", lambda ids, *_, **__: -0.1 * (ids[:, 1:] >= 0))
    written = SimpleNamespace(sequences=sequences, scores=None)
    easy, expert = (torch.tensor([int(level)]) for level in (Difficulty.EASY, Difficulty.EXPERT))
    assert bundled._best(written, easy, 2).tolist() == [sequences[1].tolist()]
    assert bundled._best(written, expert, 2).tolist() == [sequences[0].tolist()]


def test_measures_are_as_sure_as_the_music_is_plain(bundled, demo_song):
    audio = load_audio(demo_song, 22050)
    result = bundled(audio, difficulties=["easy", "expert"], instruments=["lead", "bass"])
    assert result["measure_confidence"].keys() == {"lead", "bass"}
    confidence = result["measure_confidence"]["lead"]
    assert confidence[0, 0] <= 0.01 and confidence[-1, 1] >= len(audio) / 22050
    assert (confidence[1:, 0] == confidence[:-1, 1]).all()
    of_notes = confidence[np.isfinite(confidence[:, 2]), 2]
    noisy = bundled(
        audio + np.random.default_rng(0).normal(0, 0.2, len(audio)).astype(np.float32), difficulties=["expert"]
    )
    of_noise = noisy["measure_confidence"]["lead"][:, 2]
    assert np.nanmean(of_noise) < np.mean(of_notes) - 0.1


def test_songs_are_charted_one_by_one(charter):
    songs = [noise(5), noise(6)]
    together = charter(songs, difficulties=["expert"], batch_size=1)
    assert [song["notes"] for song in together] == [charter(song, difficulties=["expert"])["notes"] for song in songs]
    with pytest.raises(ValueError, match="window_batch_size"):
        charter(songs, difficulties=["expert"], batch_size=2)


def test_misspelt_parameters_are_refused(charter):
    with pytest.raises(TypeError, match="unknown parameters of audio-to-chart: dificulties"):
        charter(noise(1), dificulties=["easy"])


def test_another_sampling_rate_is_resampled(charter):
    waveform = np.repeat(noise(3), 2)
    result = charter({"array": waveform, "sampling_rate": 44100}, difficulties=["expert"])
    assert all(onset < 3.02 for onset, *_ in result["notes"]["lead", "expert"])


def test_eight_channels_and_stems_are_mixed(charter, tmp_path):
    soundfile.write(tmp_path / "eight.wav", np.tile(noise(3)[:, None], (1, 8)), 22050, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", noise(3), 22050, subtype="FLOAT")
    eight = charter(str(tmp_path / "eight.wav"), difficulties=["expert"])
    one = charter({"stems": [tmp_path / "one.wav", tmp_path / "one.wav"]}, difficulties=["expert"])
    assert eight["notes"] == one["notes"]


def test_a_file_that_is_not_audio_is_refused_and_nothing_is_written(charter, tmp_path):
    (tmp_path / "song.ogg").write_bytes(b"this is no audio")
    with pytest.raises(AudioError, match="song.ogg"):
        chart_song(tmp_path / "song.ogg", tmp_path / "out", charter=charter)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_not_overwritten(charter, demo_song, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ChartError, match="not overwritten"):
        chart_song(demo_song, tmp_path, charter=charter)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_song_becomes_a_folder_that_reads_back(charter, demo_song, tmp_path):
    charted = chart_song(
        demo_song, tmp_path / "out", ["easy", "expert"], ["lead", "bass"], charter=charter,
        metadata={"name": "Feelings", "artist": "Sectoid"},
    )  # fmt: skip
    song = read_song(charted.folder)
    assert charted.duration == pytest.approx(50.5, abs=0.1)
    assert {path.name for path in charted.folder.iterdir()} == {"album.png", "notes.chart", "song.ini", "song.ogg"}
    assert (charted.folder / "song.ogg").read_bytes() == (demo_song / "song.ogg").read_bytes()
    assert song.metadata["name"] == "Feelings" and song.metadata["diff_keys"] == "-1"
    written = {key for key, notes in charted.notes.items() if notes}
    assert {(i.name.lower(), d.name.lower()) for i, d in song.chart.tracks} == written
    for instrument, difficulty in song.chart.tracks:
        notes = charted.notes[instrument.name.lower(), difficulty.name.lower()]
        assert onset_f1(notes, song.chart.to_seconds(instrument, difficulty), 0.002) == 1


def test_the_command_charts_a_song(demo_song, tmp_path):
    soundfile.write(tmp_path / "clip.wav", noise(3), 22050)
    command = [sys.executable, "-m", "tabhero_hf.cli", "chart", tmp_path / "clip.wav", "-o", tmp_path / "out"]
    done = subprocess.run([*command, "-d", "expert"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lead expert" in done.stdout and (tmp_path / "out" / "notes.chart").is_file()
    failed = subprocess.run([*command, "-d", "brutal"], capture_output=True, text=True)
    assert failed.returncode == 1 and "known are easy, medium, hard, expert" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_importing_the_package_does_not_import_torch():
    code = "import sys, tabhero_hf, tabhero_hf.cli; print({'torch', 'transformers', 'librosa'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    "imports",
    [
        "import tabhero_hf; from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor",
        "from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor; import tabhero_hf",
        "from tabhero_hf.modeling_tabhero import TabHeroModel; "
        "from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor",
        "from tabhero_hf.pipeline import AudioToChartPipeline; "
        "from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor",
    ],
)
def test_auto_classes_know_tab_hero_in_any_order_of_imports(imports):
    code = f"""{imports}
from tabhero_hf import bundled_checkpoint
print(type(AutoModelForSpeechSeq2Seq.from_pretrained(bundled_checkpoint())).__module__)
print(type(AutoProcessor.from_pretrained(bundled_checkpoint())).__module__)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["tabhero_hf.modeling_tabhero", "tabhero_hf.processing_tabhero"], done.stderr


def test_an_unknown_bundled_checkpoint_names_the_known():
    with pytest.raises(ValueError, match="'gigantic'.*there is: tiny"):
        bundled_checkpoint("gigantic")
