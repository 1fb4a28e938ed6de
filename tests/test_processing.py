import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf import TabHeroFeatureExtractor, TabHeroProcessor, TabHeroTokenizer
from tabhero_hf.processing_tabhero import stitch_windows

PROCESSOR = TabHeroProcessor(TabHeroFeatureExtractor(max_frames=689, overlap_frames=172), TabHeroTokenizer())


def windows_of(seconds: float) -> tuple[list[float], list[int]]:
    """Starts in seconds and frames of a song's windows."""
    extractor = PROCESSOR.feature_extractor
    bounds = extractor.window_bounds(1 + int(seconds * 22050) // 256)
    return [extractor.frames_to_seconds(start) for start, _ in bounds], [end - start for start, end in bounds]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.03, 1.5), min_size=1, max_size=150), st.floats(0, 0.5))
def test_no_note_is_lost_or_doubled_at_a_seam(gaps, first):
    onsets = np.cumsum([first, *gaps])
    notes = [(float(onset), (index % 5,), 0, 0.0) for index, onset in enumerate(onsets)]
    starts, frames = windows_of(onsets[-1] + 1)
    sequences = [
        PROCESSOR.tokenizer.encode_notes(notes, start, start + count * 256 / 22050)
        for start, count in zip(starts, frames, strict=True)
    ]
    song = PROCESSOR.decode_song(sequences, starts, frames)
    assert [note[1] for note in song] == [note[1] for note in notes]
    np.testing.assert_allclose([note[0] for note in song], onsets, atol=0.0105)


def test_a_note_that_one_window_alone_heard_counts_on_its_own_side_only():
    spans = [(0.0, 8.0), (6.0, 14.0)]  # the seam is at 7 s
    before = [(6.5, (0,), 0, 0.0), (7.5, (1,), 0, 0.0)]
    after = [(6.6, (2,), 0, 0.0), (7.4, (3,), 0, 0.0)]
    assert stitch_windows([before, after], spans) == [(6.5, (0,), 0, 0.0), (7.4, (3,), 0, 0.0)]


def test_an_onset_that_fell_to_both_wrong_sides_of_a_seam_counts_once():
    spans = [(0.0, 8.0), (6.0, 14.0)]
    assert len(stitch_windows([[(7.004, (0,), 0, 0.0)], [(6.995, (0,), 0, 0.0)]], spans)) == 1
    assert len(stitch_windows([[(6.995, (0,), 0, 0.0)], [(7.004, (0,), 0, 0.0)]], spans)) == 1


def test_audio_and_notes_become_inputs_and_labels():
    waveform = np.random.default_rng(0).normal(0, 0.1, 10 * 22050).astype(np.float32)
    notes = [(0.5, (0,), 0, 0.0), (9.0, (1, 2), 0, 0.0)]
    inputs = PROCESSOR(audio=waveform, notes=notes, sampling_rate=22050, return_tensors="pt")
    assert inputs["input_features"].shape == (2, 689, 128)
    tokens = [PROCESSOR.tokenizer.convert_ids_to_tokens(row[row >= 0].tolist()) for row in inputs["labels"]]
    assert tokens[0] == ["TIME_50", "FRET_0", "MOD_NONE", "DUR_0", "<EOS>"]
    assert tokens[1][1:] == ["FRET_1_2", "MOD_NONE", "DUR_0", "<EOS>"]
    second = inputs["window_start"][1].item()
    assert int(tokens[1][0].removeprefix("TIME_")) * 0.01 + second == pytest.approx(9.0, abs=0.005)


def test_labels_hold_nothing_beyond_their_window():
    waveform = np.random.default_rng(0).normal(0, 0.1, 11 * 22050).astype(np.float32)
    labels = PROCESSOR(audio=waveform, notes=[(10.0, (1,), 0, 8.0)])["labels"]
    held = PROCESSOR.tokenizer.decode_notes([token for token in labels[-1] if token >= 0])[0]
    assert held[0] + held[3] <= 689 * 256 / 22050 and held[3] == pytest.approx(1.0)


def test_notes_are_those_of_one_song_with_known_windows():
    waveform = np.random.default_rng(0).normal(0, 0.1, 10 * 22050).astype(np.float32)
    notes = [(0.5, (0,), 0, 0.0), (9.0, (1, 2), 0, 0.0)]
    unpadded, padded = (PROCESSOR(audio=waveform, notes=notes, padding=padding) for padding in (False, True))
    assert unpadded["labels"] == padded["labels"]
    with pytest.raises(ValueError, match="one song"):
        PROCESSOR(audio=[waveform, waveform], notes=notes)
    with pytest.raises(ValueError, match="attention_mask"):
        PROCESSOR(audio=waveform, notes=notes, return_attention_mask=False)


def test_text_becomes_labels_beside_audio():
    waveform = np.ones(22050, dtype=np.float32)
    inputs = PROCESSOR(audio=waveform, text="TIME_5 FRET_0 MOD_NONE DUR_0", return_tensors="pt")
    assert "labels" in inputs and "input_ids" not in inputs


def test_nothing_to_process_is_refused():
    with pytest.raises(ValueError, match="`audio`, `text` or both"):
        PROCESSOR()


def test_save_and_load(tmp_path):
    PROCESSOR.save_pretrained(tmp_path)
    loaded = TabHeroProcessor.from_pretrained(tmp_path)
    assert loaded.feature_extractor.max_frames == 689
    assert len(loaded.tokenizer) == 740
