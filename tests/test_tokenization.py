import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tabhero_hf import TabHeroTokenizer

TOKENIZER = TabHeroTokenizer()
EXPERT_NOTES = [(0.5, (0,), 0, 0.0), (1.0, (0, 2), 1, 1.25), (20.0, (6,), 4, 12.0)]

lanes = st.sets(st.integers(0, 6), min_size=1).map(lambda chosen: tuple(sorted(chosen)))
# Gaps of dense passages, of ordinary ones, and of minutes; all over the 20 ms under which two notes may share a bin.
gaps = st.floats(0.02, 0.06) | st.floats(0.06, 2.0) | st.floats(2.0, 400.0)
sustains = st.just(0.0) | st.floats(0, 10.0) | st.floats(10.0, 400.0)


@st.composite
def songs(draw):
    onset, notes = draw(st.floats(0, 30)), []
    for gap in draw(st.lists(gaps, max_size=60)):
        notes.append((onset, draw(lanes), draw(st.integers(0, 7)), draw(sustains)))
        onset += gap
    return notes


def test_vocabulary_is_the_published_one():
    assert len(TOKENIZER) == TOKENIZER.vocab_size == 740
    for token, token_id in {
        "<PAD>": 0, "<BOS>": 1, "<EOS>": 2, "TIME_0": 3, "TIME_500": 503, "FRET_0": 504, "FRET_6": 510,
        "FRET_0_1": 511, "FRET_0_1_2_3_4_5_6": 630, "MOD_NONE": 631, "MOD_H": 632, "MOD_T": 633, "MOD_HT": 634,
        "MOD_S": 635, "MOD_HTS": 638, "DUR_0": 639, "DUR_100": 739,
    }.items():  # fmt: skip
        assert TOKENIZER.convert_tokens_to_ids(token) == token_id
        assert TOKENIZER.convert_ids_to_tokens(token_id) == token


def test_a_note_is_four_tokens():
    ids = TOKENIZER.encode_notes([(0.5, (0, 2), 1, 0.6)])
    assert TOKENIZER.convert_ids_to_tokens(ids) == ["<BOS>", "TIME_50", "FRET_0_2", "MOD_H", "DUR_12", "<EOS>"]


def test_long_rests_and_sustains_are_exact():
    ids = TOKENIZER.encode_notes([(10.0, (1,), 0, 5.0), (27.34, (1,), 0, 12.5)])
    assert TOKENIZER.batch_decode([ids]) == [
        "<BOS> TIME_500 TIME_500 FRET_1 MOD_NONE DUR_100 "
        "TIME_500 TIME_500 TIME_500 TIME_234 FRET_1 MOD_NONE DUR_100 DUR_100 DUR_50 <EOS>"
    ]
    assert [note[0] for note in TOKENIZER.decode_notes(ids)] == pytest.approx([10.0, 27.34])
    assert [note[3] for note in TOKENIZER.decode_notes(ids)] == pytest.approx([5.0, 12.5])


@settings(max_examples=200, deadline=None)
@given(songs())
@example([(i * 60 / 137 / 4, (i % 5,), 0, 0.0) for i in range(2192)])  # 240 s of sixteenths at 137 BPM
@example([])
def test_every_onset_comes_back_within_5_ms(notes):
    decoded = TOKENIZER.decode_notes(TOKENIZER.encode_notes(notes))
    assert len(decoded) == len(notes)
    for (onset, lanes, modifiers, sustain), back in zip(notes, decoded, strict=True):
        assert abs(back[0] - onset) <= 0.005 + 1e-6
        assert back[1:3] == (lanes, modifiers)
        assert abs(back[3] - sustain) <= 0.025 + 1e-6


@settings(max_examples=50, deadline=None)
@given(songs())
def test_ids_and_notes_are_a_bijection(notes):
    ids = TOKENIZER.encode_notes(notes)
    assert TOKENIZER.encode_notes(TOKENIZER.decode_notes(ids)) == ids


def test_notes_in_one_bin_become_one_chord():
    ids = TOKENIZER.encode_notes([(1.0, (0,), 1, 0.0), (1.002, (3,), 4, 0.5)])
    assert TOKENIZER.decode_notes(ids) == [(1.0, (0, 3), 5, 0.5)]


def test_a_window_holds_the_notes_within_it_counted_from_its_start():
    ids = TOKENIZER.encode_notes(EXPERT_NOTES, start=0.9, end=20.0)
    assert TOKENIZER.decode_notes(ids) == [(pytest.approx(0.1), (0, 2), 1, 1.25)]
    assert TOKENIZER.decode_notes(ids, start=0.9) == [(pytest.approx(1.0), (0, 2), 1, 1.25)]


def test_a_note_just_before_a_windows_end_stays_within_it():
    (note,) = TOKENIZER.decode_notes(TOKENIZER.encode_notes([(7.999, (0,), 0, 0.0)], end=8.0))
    assert note[0] < 8.0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 740, 2], "token 1: id 740, which is outside the vocabulary, where TIME is due"),
        ([1, -5, 2], "token 1: id -5"),
        ([1, 504, 631, 639, 2], "token 1: FRET_0 where TIME is due"),
        ([1, 10, 631, 639, 2], "token 2: MOD_NONE where FRET is due"),
        ([1, 10, 11, 504, 631, 639, 2], "token 2: TIME_8 where FRET is due"),
        ([1, 10, 504, 631, 2], "token 4: <EOS> where DUR is due"),
        ([1, 10, 504], "token 3: the sequence ends within a note, where MOD is due"),
        ([1, 10, 504, 631, 639, 3, 504, 631, 639, 2], "token 5: TIME_0 is only legal for the first note"),
        ([1, 2, 10], "token 2: TIME_7 after the end"),
    ],
)
def test_ids_out_of_grammar_are_refused_with_their_place(ids, message):
    with pytest.raises(ValueError, match=message):
        TOKENIZER.decode_notes(ids)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ((-0.1, (0,), 0, 0.0), "onset -0.1"),
        ((math.nan, (0,), 0, 0.0), "onset nan"),
        ((math.inf, (0,), 0, 0.0), "onset inf"),
        ((0.0, (0,), 0, -1.0), "sustain -1.0"),
        ((1e9, (0,), 0, 0.0), "onset 1000000000.0 is not a time from 0 to 86400 s"),
        ((0.0, (0,), 0, 1e9), "sustain 1000000000.0"),
        ((0.0, (), 0, 0.0), r"lanes \(\)"),
        ((0.0, (7,), 0, 0.0), r"lanes \(7,\)"),
        ((0.0, (0,), 8, 0.0), "modifiers 8"),
    ],
)
def test_notes_that_cannot_be_are_refused_with_their_place(note, message):
    with pytest.raises(ValueError, match=f"note 3: {message}"):
        TOKENIZER.encode_notes([*EXPERT_NOTES, note])


def test_decoding_ids_out_of_range_as_text_is_refused():
    with pytest.raises(ValueError, match="token id 740 is outside the vocabulary"):
        TOKENIZER.decode([1, 740])


def test_save_and_load(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = TabHeroTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == TOKENIZER.get_vocab()
    assert loaded.encode_notes(EXPERT_NOTES) == TOKENIZER.encode_notes(EXPERT_NOTES)


def test_a_foreign_vocabulary_is_refused(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"hello": 0}))
    with pytest.raises(ValueError, match="is not the note vocabulary"):
        TabHeroTokenizer(tmp_path / "vocab.json")


def test_text_and_padding():
    batch = TOKENIZER(["TIME_5 FRET_0 MOD_NONE DUR_0", ""], padding=True, return_tensors="np")
    assert batch["input_ids"].tolist() == [[1, 8, 504, 631, 639, 2], [1, 2, 0, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert TOKENIZER.batch_decode(batch["input_ids"], skip_special_tokens=True) == ["TIME_5 FRET_0 MOD_NONE DUR_0", ""]


def test_batch_decode_notes_takes_each_windows_start():
    ids = TOKENIZER.encode_notes([(0.5, (0,), 0, 0.0)])
    assert [notes[0][0] for notes in TOKENIZER.batch_decode_notes([ids, ids], [0.0, 10.0])] == [0.5, 10.5]
