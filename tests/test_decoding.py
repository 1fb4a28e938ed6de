from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import pipeline

from tabhero_hf import (
    TabHeroConfig,
    TabHeroForConditionalGeneration,
    TabHeroToldNotesLogitsProcessor,
    bundled_checkpoint,
    decoding_tabhero,
)
from tabhero_hf.decoding_tabhero import WindowBatch, closed_up, rows_that_fit, to_int8
from tabhero_hf.evaluation.metrics import onset_f1
from tabhero_hf.tokenization_tabhero import LAYOUT

FRAMES = 300
LENGTHS = torch.tensor([300, 170, 300, 3, 90, 1])


def long_winded(seed: int = 0, **fields) -> TabHeroForConditionalGeneration:
    """Random weights that write notes of four tokens every 80 to 300 ms until the window ends."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = TabHeroForConditionalGeneration(TabHeroConfig(**{**sizes, "encoder_layers": 1, **fields})).eval()
    bias = torch.zeros(740)
    bias[LAYOUT.eos_token_id] = -1e4
    bias[LAYOUT.duration.stop - 1] = -1e4  # a longer sustain follows it
    bias[LAYOUT.time.start : LAYOUT.time.start + 8] = bias[LAYOUT.time.start + 31 : LAYOUT.time.stop] = -1e3
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.lm_head.bias = torch.nn.Parameter(bias)
    return model


@pytest.fixture(scope="module")
def model() -> TabHeroForConditionalGeneration:
    return long_winded()


def song(lengths: torch.Tensor = LENGTHS, frames: int = FRAMES) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input_features": torch.randn(len(lengths), frames, 128, generator=generator),
        "attention_mask": (torch.arange(frames) < lengths[:, None]).long(),
    }


CHARTS = {"difficulty_ids": torch.tensor([0, 3, 2]), "instrument_ids": torch.tensor([0, 1, 0])}


def plain(model, inputs, max_new_tokens: int) -> list[list[list[int]]]:
    """What `generate()` writes, chart by chart."""
    windows = len(inputs["input_features"])
    return [
        model.generate(
            **inputs,
            difficulty_ids=difficulty.expand(windows),
            instrument_ids=instrument.expand(windows),
            max_new_tokens=max_new_tokens,
        ).tolist()
        for difficulty, instrument in zip(*CHARTS.values(), strict=True)
    ]


def unpadded(sequences) -> list[list[list[int]]]:
    return [[[token for token in row if token != LAYOUT.pad_token_id] for row in chart] for chart in sequences]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"onset_head": False, "onset_pointer": False, "fret_pointer": False, "time_aligned_cross_attention": False},
        {"num_attention_heads": 4, "num_key_value_heads": 2, "encoder_hidden_size": 16, "encoder_layers": 0},
        {"attn_implementation": "eager"},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        {"encoder_layers": 2, "fret_encoder": True},
    ],
    ids=["default", "as the original", "grouped queries", "eager", "partial rotation", "fret encoder"],
)
def test_the_ids_are_those_of_generate(fields):
    attention = fields.pop("attn_implementation", "sdpa")
    model, inputs = long_winded(**fields), song()
    model.set_attn_implementation(attention)
    expected = unpadded(plain(model, inputs, 120))
    lengths = {len(row) for chart in expected for row in chart}
    assert len(lengths) > 3 and max(lengths) > 60  # rows do end at different steps
    assert unpadded(model.generate_windows(**inputs, **CHARTS, max_new_tokens=120).tolist()) == expected


@pytest.mark.parametrize("batch_size", [1, 2, 4, 7])
def test_the_batch_limit_does_not_change_what_is_written(model, batch_size):
    inputs = song()
    expected = model.generate_windows(**inputs, **CHARTS, max_new_tokens=120)
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=120, batch_size=batch_size)
    assert torch.equal(ids, expected)
    assert not ids.is_inference()  # such could not be changed in place by who gets them


@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_the_heads_hear_does_not_depend_on_the_batch(model, batch_size):
    inputs = song()
    onsets, frets = model.listen(**inputs, **CHARTS)
    assert onsets.shape[:2] == frets.shape[:2] == (3, len(LENGTHS)) and onsets.std() > 1e-4
    torch.testing.assert_close(frets.float().sum(dim=-1), torch.ones(frets.shape[:-1]), rtol=0, atol=1e-2)
    again = model.listen(**inputs, **CHARTS, batch_size=batch_size)
    torch.testing.assert_close(again[0], onsets, rtol=0, atol=1e-5)
    torch.testing.assert_close(again[1], frets, rtol=0, atol=1e-3)


def test_without_a_mask_all_frames_are_audio(model):
    inputs = song(torch.tensor([FRAMES, FRAMES]))
    expected = model.generate_windows(**inputs, **CHARTS, max_new_tokens=60)
    del inputs["attention_mask"]
    assert torch.equal(model.generate_windows(**inputs, **CHARTS, max_new_tokens=60), expected)


@pytest.mark.parametrize("max_new_tokens", [1, 3, 4, 5, 9])
def test_a_length_limit_cuts_between_notes_as_generate_does(model, max_new_tokens):
    inputs = song()
    expected = unpadded(plain(model, inputs, max_new_tokens))
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=max_new_tokens)
    assert unpadded(ids.tolist()) == expected


def test_the_encoder_runs_once_for_each_window_and_what_has_ended_leaves(model, monkeypatch):
    encoded, tables = [], []
    original = WindowBatch._arrange

    def arrange(batch):
        original(batch)
        tables.append((*batch.table, len(batch.window_of_row)))

    monkeypatch.setattr(WindowBatch, "_arrange", arrange)
    hook = model.model.encoder.conv_out.register_forward_hook(lambda *call: encoded.append(len(call[2])))
    model.generate_windows(**song(), **CHARTS, max_new_tokens=120)
    hook.remove()
    assert encoded == [len(LENGTHS)]
    assert tables[0] == (len(LENGTHS), 3, 3 * len(LENGTHS))
    windows, _, rows = zip(*tables, strict=True)
    assert list(rows) == sorted(set(rows), reverse=True) and windows[-1] < len(LENGTHS)


class Work(TorchDispatchMode):
    """Counts the operations, and the elements that they read."""

    def __init__(self):
        super().__init__()
        self.operations, self.elements = Counter(), Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.operations[operation] += 1
        self.elements[operation] += sum(arg.numel() for arg in args if isinstance(arg, torch.Tensor))
        return operation(*args, **(kwargs or {}))


def test_a_step_costs_the_same_wherever_it_is_but_for_reading_what_is_attended_to(model, monkeypatch):
    steps = []
    original = WindowBatch._step

    def counted(batch, tokens_left):
        with Work() as work:
            token = original(batch, tokens_left)
        steps.append((batch.length, len(token), work))
        return token

    monkeypatch.setattr(WindowBatch, "_step", counted)
    model.generate_windows(**song(torch.tensor([FRAMES, FRAMES])), **CHARTS, max_new_tokens=120)
    rows = steps[0][1]
    steps = [(position, work) for position, count, work in steps if count == rows]
    (first, early), (last, late) = steps[1], steps[101]  # the same token of a note
    assert last > first + 40
    assert early.operations == late.operations
    grown = {str(name) for name in early.elements if late.elements[name] > early.elements[name]}
    attended = {name for name in grown if any(part in name for part in ("attention", "slice", "unbind", "copy_"))}
    assert grown == attended


def test_memory_is_bounded_by_the_batch_limit(model, monkeypatch):
    """However long the song, no more rows are decoded at once than the limit allows."""
    sizes = []
    original = WindowBatch.decode

    def decode(batch, max_length):
        sizes.append(len(batch.window_of_row))
        return original(batch, max_length)

    monkeypatch.setattr(WindowBatch, "decode", decode)
    inputs = song(torch.full((40,), 60), frames=60)
    model.generate_windows(**inputs, **CHARTS, max_new_tokens=9, batch_size=9)
    assert max(sizes) == 9 and sum(sizes) == 120


def test_the_batch_limit_follows_the_memory_that_is_free(monkeypatch):
    model = long_winded()
    limits = []
    for available in (0, 50e6, 1e12):
        monkeypatch.setattr(
            decoding_tabhero.psutil,
            "virtual_memory",
            lambda available=available: type("M", (), {"available": available}),
        )
        limits.append(rows_that_fit(model, 4096, 4, 1000))
    assert limits[0] == 1 and 1 < limits[1] < 64 and limits[2] == 64


def test_gaps_are_closed_by_the_last():
    assert closed_up([True, False, True, False, True, True]) == [0, 5, 2, 4]
    assert closed_up([True, True, False]) == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"difficulty_ids": torch.tensor([4]), "instrument_ids": torch.tensor([0])}, "between 0 and 3"),
        ({"difficulty_ids": torch.tensor([1, 2]), "instrument_ids": torch.tensor([0])}, "one each for every chart"),
        ({"difficulty_ids": torch.tensor([1])}, "one each for every chart"),
        (dict.fromkeys(CHARTS, torch.tensor([], dtype=torch.long)), "one each for every chart"),
        ({**CHARTS, "batch_size": 0}, "at least 1"),
    ],
)
def test_charts_that_cannot_be_made_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.generate_windows(**song(), **arguments)


def test_a_model_in_training_stays_in_training(model):
    model.train()
    model.generate_windows(**song(), **CHARTS, max_new_tokens=5)
    assert model.training and model.model.decoder.training
    model.eval()


@pytest.mark.parametrize(
    ("settings", "greedy"),
    [
        ({}, True),
        ({"max_new_tokens": 9}, True),
        ({"num_beams": 1, "do_sample": False}, True),
        ({"num_beams": 2}, False),
        ({"do_sample": True}, False),
        ({"repetition_penalty": 1.2}, False),
        ({"max_length": 30}, False),
    ],
)
def test_what_counts_as_greedy(model, settings, greedy):
    assert model.decodes_greedily(**settings) is greedy


def test_int8_weights_take_a_quarter_and_chart_alike(demo_song):
    """On the song that the demo charts, where the bundled model finds most onsets."""
    charter = pipeline("audio-to-chart", model=bundled_checkpoint(), device="cpu")
    exact = charter(str(demo_song / "song.ogg"), difficulties=["expert"])["notes"]["lead", "expert"]
    to_int8(charter.model)
    assert all(parameter.ndim < 2 for parameter in charter.model.model.decoder.layers.parameters())  # norms alone
    rounded = charter(str(demo_song / "song.ogg"), difficulties=["expert"])["notes"]["lead", "expert"]
    assert onset_f1(exact, rounded) > 0.9
    with pytest.raises(ValueError, match="float32 models on a processor"):
        to_int8(long_winded().to(torch.bfloat16))


LONG = torch.tensor([1200, 700, 5])


def told(model, inputs, seed: int = 0) -> torch.Tensor:
    """Onsets for each chart of each window: some close together, some over five seconds apart, some behind its end."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(CHARTS["difficulty_ids"]), len(LONG), 1400
    onsets = torch.rand(shape, generator=generator) < 0.03
    onsets[0] = False  # only what comes next
    for window, bins in enumerate([[0, 1, 501, 1001, 1100], [499, 500, 1300], [2]]):
        onsets[0, window, bins] = True
    return onsets


def begun(ids: torch.Tensor) -> list[int]:
    """The bins in which the notes of a row of ids begin."""
    return [onset for onset, _ in struck(ids)]


def struck(ids: torch.Tensor) -> list[tuple[int, int]]:
    """The bins in which the notes of a row of ids begin, and their frets."""
    now, notes = 0, []
    for token in ids.tolist():
        now += max(token - LAYOUT.time.start, 0) if token in LAYOUT.time else 0
        notes += [(now, token - LAYOUT.fret.start)] if token in LAYOUT.fret else []
    return notes


def test_notes_begin_when_they_are_told_to(model):
    inputs = song(LONG, 1200)
    onsets, bins = told(model, inputs), model.window_bins(None, inputs)
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=400, onsets=onsets)
    for chart in range(len(ids)):
        for window, end in enumerate(bins.tolist()):
            expected = onsets[chart, window, :end].nonzero()[:, 0].tolist()
            assert begun(ids[chart, window]) == expected
    assert len(begun(ids[1, 0])) > 20


def test_notes_are_on_the_frets_that_they_are_told(model):
    inputs = song(LONG, 1200)
    onsets, bins = told(model, inputs), model.window_bins(None, inputs)
    frets = torch.randint(len(LAYOUT.fret), onsets.shape, generator=torch.Generator().manual_seed(1))
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=400, onsets=onsets, frets=frets)
    for chart in range(len(ids)):
        for window, end in enumerate(bins.tolist()):
            expected = [(bin, int(frets[chart, window, bin])) for bin in onsets[chart, window, :end].nonzero()[:, 0]]
            assert struck(ids[chart, window]) == expected


@pytest.mark.parametrize("tells_frets", [False, True], ids=["onsets", "onsets and frets"])
def test_what_is_told_takes_no_step(model, monkeypatch, tells_frets):
    counts, original = [], WindowBatch._step

    def step(batch, tokens_left):
        tokens = original(batch, tokens_left)
        counts.append(tokens.shape[1])
        return tokens

    monkeypatch.setattr(WindowBatch, "_step", step)
    onsets = torch.zeros(3, 3, 1400, dtype=torch.bool)
    onsets[..., 5::25] = True
    frets = torch.zeros_like(onsets, dtype=torch.long) if tells_frets else None
    asked = {**song(torch.full((3,), 1200), 1200), **CHARTS, "max_new_tokens": 80}
    model.generate_windows(**asked, onsets=onsets, frets=frets)
    steps = [3, 1] if tells_frets else [2, 1, 1]  # of the 4 tokens of a note
    assert counts[:6] == steps * (6 // len(steps)) and sum(counts) > 0.9 * len(counts) * 4 / len(steps)


def test_no_note_is_cut_where_there_are_more_onsets_than_tokens(model):
    inputs = song(LONG, 1200)
    onsets = told(model, inputs)
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=30, onsets=onsets)
    assert begun(ids[1, 0]) == onsets[1, 0].nonzero()[:7, 0].tolist()
    assert ids[1, 0].tolist().count(LAYOUT.eos_token_id) == 1


@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}, {"do_sample": True}], ids=["greedy", "beams", "sampled"])
@pytest.mark.parametrize(
    ("attention", "tells_frets", "fields"),
    [
        ("sdpa", True, {"num_key_value_heads": 1, "fret_encoder": True}),
        ("sdpa", False, {"fret_encoder": True}),
        ("eager", True, {}),
    ],
)
def test_generate_is_told_alike(settings, attention, tells_frets, fields):
    inputs, model = song(LONG, 1200), long_winded(**fields)
    model.set_attn_implementation(attention)
    onsets = told(model, inputs)
    frets = torch.randint(len(LAYOUT.fret), onsets.shape) if tells_frets else None
    asked = {**inputs, **CHARTS, "max_new_tokens": 120, "batch_size": 4}
    ids = model.generate_windows(**asked, onsets=onsets, frets=frets)
    for chart, (difficulty, instrument) in enumerate(zip(*CHARTS.values(), strict=True)):
        written = model.generate(
            **inputs,
            difficulty_ids=difficulty.expand(len(LONG)),
            instrument_ids=instrument.expand(len(LONG)),
            max_new_tokens=120,
            logits_processor=[TabHeroToldNotesLogitsProcessor(onsets[chart], None if frets is None else frets[chart])],
            **settings,
        )
        told_of = struck if tells_frets else begun
        assert [told_of(row)[:20] for row in written] == [told_of(row)[:20] for row in ids[chart]]
        if not settings:
            assert unpadded([ids[chart].tolist()]) == unpadded([written.tolist()])


def test_a_fret_encoder_is_not_asked_where_frets_are_told(monkeypatch):
    model, inputs = long_winded(fret_encoder=True), song(LONG, 1200)
    onsets = told(model, inputs) & (torch.arange(1400) < LONG[:, None])  # there are more bins than frames
    monkeypatch.setattr(model.model.encoder.fret_encoder, "hear", lambda *_: pytest.fail("asked"))
    ids = model.generate_windows(
        **inputs, **CHARTS, max_new_tokens=40, onsets=onsets, frets=torch.zeros_like(onsets, dtype=torch.long)
    )
    assert (ids == LAYOUT.fret.start).any()


def test_generate_is_told_alike_where_a_note_lies_behind_the_end():
    # None of the tokens that say so is legal: what follows the first TIME_500 is the model's own.
    model = long_winded(fret_encoder=True)
    inputs = song(torch.tensor([700]), 700)
    onsets = torch.zeros(3, 1, 1400, dtype=torch.bool)
    onsets[..., [100, 1300]] = True
    frets = torch.zeros_like(onsets, dtype=torch.long)
    ids = model.generate_windows(**inputs, **CHARTS, max_new_tokens=60, onsets=onsets, frets=frets)
    for chart, (difficulty, instrument) in enumerate(zip(*CHARTS.values(), strict=True)):
        written = model.generate(
            **inputs,
            difficulty_ids=difficulty[None],
            instrument_ids=instrument[None],
            max_new_tokens=60,
            logits_processor=[TabHeroToldNotesLogitsProcessor(onsets[chart], frets[chart])],
        )
        assert unpadded([ids[chart].tolist()]) == unpadded([written.tolist()])


def test_onsets_of_another_shape_are_refused(model):
    onsets = told(model, song(LONG, 1200))
    for wrong in (onsets[:2], onsets[:, :2], onsets[..., :100]):
        with pytest.raises(ValueError, match=r"`onsets` must be of shape \(3, 3, 1394\) at least"):
            model.generate_windows(**song(LONG, 1200), **CHARTS, max_new_tokens=8, onsets=wrong)


def test_frets_that_are_none_are_refused(model):
    onsets = told(model, song(LONG, 1200))
    frets = torch.zeros_like(onsets, dtype=torch.long)
    asked = {**song(LONG, 1200), **CHARTS, "max_new_tokens": 8}
    for wrong in ({"frets": frets}, {"frets": frets[:2], "onsets": onsets}):
        with pytest.raises(ValueError, match="`frets` must have the shape of `onsets`"):
            model.generate_windows(**asked, **wrong)
    for number in (-1, len(LAYOUT.fret)):
        with pytest.raises(ValueError, match="`frets` must be 0 to 126"):
            model.generate_windows(**asked, onsets=onsets, frets=frets + number)
        with pytest.raises(ValueError, match="`frets` must be 0 to 126"):
            TabHeroToldNotesLogitsProcessor(onsets[0], frets[0] + number)
