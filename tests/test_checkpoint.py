"""What the bundled checkpoint can do, on music it never heard."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset
from transformers import pipeline

from tabhero_hf import TabHeroForConditionalGeneration, bundled_checkpoint
from tabhero_hf.audio.note_spectra import hear_notes
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.data.composition import compose_song
from tabhero_hf.data.made_songs import render_score, render_training_song
from tabhero_hf.data.rendered import render_dataset
from tabhero_hf.data.windows import ChartWindows
from tabhero_hf.evaluation.metrics import note_f1, onset_f1
from tabhero_hf.evaluation.windows import score_windows

UNSEEN_SEED = 2_000_000_000  # training comes nowhere near


@pytest.fixture(scope="module")
def charter():
    return pipeline("audio-to-chart", model=bundled_checkpoint(), device="cpu")


def score(charter, seeds: range, audio: str) -> np.ndarray:
    """Mean onset and note F1 on the featured instrument of made songs, from its stem or the mix."""
    scores = []
    for seed in seeds:
        song = render_training_song(seed, 60.0)
        waveform = song.part if audio == "stem" else song.part + song.backing
        notes = charter(waveform, difficulties=["expert"], instruments=[song.featured.name])["notes"]
        human, chart = song.notes[Difficulty.EXPERT, song.featured], notes[song.featured.name.lower(), "expert"]
        scores.append((onset_f1(human, chart), note_f1(human, chart)))
    return np.mean(scores, axis=0)


@pytest.mark.parametrize(("audio", "least"), [("stem", 0.9), ("mix", 0.75)])
def test_it_names_the_pitches_of_a_made_song(charter, audio, least):
    score = compose_song(UNSEEN_SEED + 3, 30.0)
    stems = render_score(score).stems
    waveform = stems["lead"] if audio == "stem" else sum(stems.values())
    notes = [note for placed in score.parts["lead"] for note in placed.notes]
    onsets = score.tempo_map.seconds([note.time for note in notes])
    (spectra,) = hear_notes(waveform, 22050, [onsets])
    head = charter.model.pitch_head
    told = charter.model.tell_pitches(torch.from_numpy(spectra.in_octaves(*head.BINS)), Instrument.LEAD)
    named = told.argmax(dim=1).numpy() + head.LOWEST_PITCH
    assert (named == [note.root for note in notes]).mean() > least


def test_it_is_small_and_computes_in_float32():
    folder = Path(bundled_checkpoint())
    assert (folder / "model.safetensors").stat().st_size <= 30_000_000
    assert TabHeroForConditionalGeneration.from_pretrained(folder).dtype == torch.float32
    assert not list(folder.glob("*.py")) and "auto_map" not in json.loads((folder / "config.json").read_text())


def test_it_charts_made_songs_that_it_never_heard(charter):
    onsets, notes = score(charter, range(UNSEEN_SEED, UNSEEN_SEED + 3), "stem")
    assert onsets >= 0.70 and notes >= 0.30


@pytest.mark.slow
@pytest.mark.parametrize(("audio", "onset_bound", "note_bound"), [("stem", 0.96, 0.68), ("mix", 0.85, 0.51)])
def test_it_reaches_what_its_card_states_on_many_made_songs(charter, audio, onset_bound, note_bound):
    onsets, notes = score(charter, range(UNSEEN_SEED, UNSEEN_SEED + 20), audio)
    print(f"{audio}: onset F1 {onsets:.3f}, note F1 {notes:.3f}")
    assert onsets >= onset_bound and notes >= note_bound


@pytest.mark.slow
def test_its_decoder_alone_charts_synthetic_pieces_that_it_never_heard(charter, tmp_path):
    extractor = charter.feature_extractor
    render_dataset(tmp_path, {"validation": 250}, extractor)
    pieces = ChartWindows(load_dataset(str(tmp_path))["validation"], extractor, difficulties=[Difficulty.EXPERT])
    scores = score_windows(charter.model, pieces)
    print(scores)
    assert scores["onset_f1_50"] >= 0.90 and scores["note_f1"] >= 0.80


def test_it_listens_to_a_real_song(charter, demo_song):
    human = read_song(demo_song).chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    chart = charter(demo_song, difficulties=["expert"])["notes"]["lead", "expert"]
    other = charter(demo_song.parent / "other_song.ogg", difficulties=["expert"])["notes"]["lead", "expert"]
    assert onset_f1(human, chart) >= 0.75
    assert onset_f1(human, chart) - onset_f1(human, other) >= 0.15


def test_harder_charts_have_more_notes(charter, demo_song):
    tracks = charter(demo_song)["chart"].tracks
    counts = [len(tracks[Instrument.LEAD, difficulty].notes) for difficulty in Difficulty]
    assert counts == sorted(set(counts))
