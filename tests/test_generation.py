import pytest
import torch
from transformers import CompileConfig, GenerationConfig

from tabhero_hf import (
    TabHeroConfig,
    TabHeroEndLogitsProcessor,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroGrammarLogitsProcessor,
    TabHeroProcessor,
    TabHeroTokenizer,
)

CONDITIONS = ("difficulty_ids", "instrument_ids")
TOKENIZER = TabHeroTokenizer()
FRAMES_PER_SECOND = 22050 / 256


@pytest.fixture(scope="module")
def model() -> TabHeroForConditionalGeneration:
    """Random weights: nothing but the grammar keeps this model's output in order."""
    torch.manual_seed(0)
    config = TabHeroConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    model = TabHeroForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def windows(count: int, frames: int = 120, seed: int = 0) -> dict[str, torch.Tensor]:
    """Windows of all lengths up to `frames`, for random difficulties and instruments."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, frames + 1, (count,), generator=generator)
    return {
        "input_features": torch.randn(count, frames, 128, generator=generator),
        "attention_mask": (torch.arange(frames) < lengths[:, None]).long(),
        "difficulty_ids": torch.randint(0, 4, (count,), generator=generator),
        "instrument_ids": torch.randint(0, 4, (count,), generator=generator),
    }


@pytest.mark.parametrize(
    "strategy",
    [
        {},
        {"num_beams": 4},
        {"do_sample": True, "temperature": 5.0, "top_k": 0},
        {"do_sample": True, "temperature": 5.0, "num_beams": 2},
    ],
    ids=["greedy", "beam", "sampling", "beam sampling"],
)
def test_a_thousand_windows_are_a_thousand_grammatical_sequences(model, strategy):
    torch.manual_seed(1)
    charted = 0
    for seed, max_new_tokens in enumerate((1, 4, 5, 30, 41)):
        inputs = windows(200, seed=seed)
        sequences = model.generate(**inputs, max_new_tokens=max_new_tokens, **strategy)
        ends = inputs["attention_mask"].sum(dim=1) / FRAMES_PER_SECOND
        for ids, end in zip(sequences.tolist(), ends.tolist(), strict=True):
            assert TOKENIZER.eos_token_id in ids
            for onset, _, _, sustain in TOKENIZER.decode_notes(ids):  # raises where the grammar is left
                assert onset < end
                assert onset + sustain < end + 0.01
            charted += 1
    assert charted == 1000


def legal_after(*tokens: str, seconds: float | None = None, max_length: int | None = None) -> set[str]:
    ids = torch.tensor([TOKENIZER.convert_tokens_to_ids(list(tokens))])
    bins = None if seconds is None else torch.tensor([round(seconds * 100)])
    legal = TabHeroGrammarLogitsProcessor(bins, max_length).legal_tokens(ids, 740)[0]
    return set(TOKENIZER.convert_ids_to_tokens(legal.nonzero()[:, 0].tolist()))


def groups(tokens: set[str]) -> set[str]:
    return {token.split("_")[0] for token in tokens}


NOTE = ("<BOS>", "TIME_50", "FRET_0", "MOD_NONE")


def test_what_may_follow_each_token():
    assert groups(legal_after("<BOS>")) == {"TIME", "<EOS>"} and "TIME_0" in legal_after("<BOS>")
    assert groups(legal_after("<BOS>", "TIME_50")) == {"FRET"}
    assert groups(legal_after("<BOS>", "TIME_500")) == {"FRET", "TIME"}
    assert groups(legal_after("<BOS>", "TIME_50", "FRET_0")) == {"MOD"}
    assert groups(legal_after(*NOTE)) == {"DUR"}
    assert groups(legal_after(*NOTE, "DUR_3")) == {"TIME", "<EOS>"} and "TIME_0" not in legal_after(*NOTE, "DUR_3")
    assert groups(legal_after(*NOTE, "DUR_100")) == {"TIME", "DUR", "<EOS>"}
    assert "DUR_0" not in legal_after(*NOTE, "DUR_100") and "TIME_0" not in legal_after("<BOS>", "TIME_500")
    assert legal_after(*NOTE, "DUR_0", "<EOS>") == {"<PAD>"}
    assert legal_after(*NOTE, "DUR_0", "<EOS>", "<PAD>") == {"<PAD>"}


def test_onsets_and_sustains_end_with_the_window():
    times = legal_after("<BOS>", seconds=0.3)
    assert "TIME_29" in times and "TIME_30" not in times
    later = legal_after(*NOTE, "DUR_0", seconds=0.6)
    assert "TIME_9" in later and "TIME_10" not in later
    assert legal_after(*NOTE, "DUR_0", seconds=0.51) == {"<EOS>"}
    sustains = legal_after(*NOTE, seconds=1.0)
    assert "DUR_10" in sustains and "DUR_11" not in sustains
    assert legal_after(*NOTE, "DUR_100", seconds=5.6) == {
        "<EOS>", "DUR_1", "DUR_2", *(f"TIME_{step}" for step in range(1, 501)),
    }  # fmt: skip


def test_a_windows_end_does_not_depend_on_how_precise_its_features_are(model):
    ends = [model.window_bins(torch.zeros(1, 3001, 128, dtype=dtype), {}) for dtype in (torch.float32, torch.bfloat16)]
    assert ends[0] == ends[1] == 3485


def test_all_that_the_processor_returns_may_be_passed_on(model):
    processor = TabHeroProcessor(TabHeroFeatureExtractor(max_frames=120, overlap_frames=20), TOKENIZER)
    waveform = torch.randn(40_000, generator=torch.Generator().manual_seed(0)).numpy()
    inputs = processor(audio=waveform, sampling_rate=22050, return_tensors="pt")
    asked = {name: torch.zeros(len(inputs["input_features"]), dtype=torch.long) for name in CONDITIONS}
    named = {name: inputs[name] for name in ("input_features", "attention_mask")}
    sequences = [model.generate(**audio, **asked, max_new_tokens=20) for audio in (inputs, named)]
    assert sequences[0].tolist() == sequences[1].tolist()
    with pytest.raises(ValueError, match="window_end"):
        model.generate(**named, **asked, window_end=0)


def test_a_note_that_would_not_fit_is_not_begun():
    assert groups(legal_after("<BOS>", max_length=6)) == {"TIME", "<EOS>"}
    assert legal_after("<BOS>", max_length=5) == {"<EOS>"}
    assert groups(legal_after("<BOS>", "TIME_500", max_length=6)) == {"FRET"}
    assert legal_after(*NOTE, "DUR_100", max_length=6) == {"<EOS>"}


def test_other_processors_cannot_leave_the_grammar(model):
    inputs = windows(8)
    everything_but_pad = list(range(1, 740))
    sequences = model.generate(**inputs, max_new_tokens=30, suppress_tokens=everything_but_pad)
    assert len([TOKENIZER.decode_notes(ids) for ids in sequences]) == 8


@pytest.mark.parametrize(("likely", "ends"), [(0.2, False), (0.08, True)])
def test_a_window_ends_only_if_that_is_likelier_than_a_note_at_any_time(likely, ends):
    scores = torch.full((1, 740), -torch.inf)
    times = TOKENIZER.convert_tokens_to_ids(["TIME_20", "TIME_21", "TIME_22"])
    scores[0, times] = torch.tensor(likely).log()
    scores[0, TOKENIZER.eos_token_id] = torch.tensor(1 - 3 * likely).log()  # the likeliest token, in both
    ids = torch.tensor([[TOKENIZER.bos_token_id]])
    chosen = int(TabHeroEndLogitsProcessor()(ids, scores).argmax())
    assert scores.argmax() == TOKENIZER.eos_token_id and (chosen == TOKENIZER.eos_token_id) == ends


@pytest.mark.parametrize(("strategy", "decides"), [({}, True), ({"num_beams": 2}, True), ({"do_sample": True}, False)])
def test_what_is_drawn_is_drawn_as_likely_as_it_is(model, strategy, decides, monkeypatch):
    asked = []
    end = TabHeroEndLogitsProcessor.__call__
    monkeypatch.setattr(TabHeroEndLogitsProcessor, "__call__", lambda *args: asked.append(1) or end(*args))
    model.generate(**windows(2), max_new_tokens=5, **strategy)
    assert bool(asked) == decides


def test_a_least_length_goes_before_whole_notes():
    ids = torch.tensor([TOKENIZER.convert_tokens_to_ids(["<BOS>"])])
    legal = TabHeroGrammarLogitsProcessor(max_length=4, min_length=4).legal_tokens(ids, 740)[0]
    assert legal[TOKENIZER.convert_tokens_to_ids("TIME_5")]


def test_one_batch_of_windows_equals_window_by_window(model):
    inputs = windows(12)
    together = model.generate(**inputs, max_new_tokens=60)
    for row in range(12):
        frames = int(inputs["attention_mask"][row].sum())
        alone = {name: value[row : row + 1] for name, value in inputs.items()}
        alone["input_features"] = alone["input_features"][:, :frames]
        alone["attention_mask"] = alone["attention_mask"][:, :frames]
        ids = model.generate(**alone, max_new_tokens=60)[0]
        assert together[row, : len(ids)].tolist() == ids.tolist()
        assert not together[row, len(ids) :].any()


@pytest.mark.parametrize("strategy", [{}, {"num_beams": 3}], ids=["greedy", "beam"])
@pytest.mark.parametrize("cache", [{"use_cache": False}, {"cache_implementation": "static"}], ids=["none", "static"])
def test_caches_do_not_change_what_is_written(model, strategy, cache):
    inputs = windows(4)
    expected = model.generate(**inputs, max_new_tokens=25, **strategy)
    # Compiling the step is another test's matter; here it would only take time.
    config = GenerationConfig(**{**model.generation_config.to_dict(), "disable_compile": True})
    ids = model.generate(**inputs, generation_config=config, max_new_tokens=25, **strategy, **cache)
    assert ids.tolist() == expected.tolist()


@pytest.mark.slow
def test_steps_that_transformers_compiles_write_the_same(model):
    inputs = windows(4)
    expected = model.generate(**inputs, max_new_tokens=25)
    compiled = CompileConfig(mode="default", fullgraph=True)
    compiled._compile_all_devices = True  # else on accelerators alone
    ids = model.generate(**inputs, max_new_tokens=25, cache_implementation="static", compile_config=compiled)
    assert ids.tolist() == expected.tolist()


def test_cross_attention_is_projected_once(model):
    projected = []
    attention = model.model.decoder.layers[0].encoder_attn
    hook = attention.k_proj.register_forward_hook(lambda *_: projected.append(1))
    model.generate(**windows(2), max_new_tokens=30)
    hook.remove()
    assert len(projected) == 1


def test_conditioning_is_present_at_every_step(model):
    seen = []
    hook = model.model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((kwargs["difficulty_ids"], kwargs["instrument_ids"])), with_kwargs=True
    )
    inputs = windows(2)
    model.generate(**inputs, max_new_tokens=20, num_beams=2)
    hook.remove()
    assert len(seen) > 5
    for difficulties, instruments in seen:
        assert difficulties.tolist() == inputs["difficulty_ids"].repeat_interleave(2).tolist()
        assert instruments.tolist() == inputs["instrument_ids"].repeat_interleave(2).tolist()


def test_of_a_padded_window_that_is_encoded_no_note_is_past_its_end(model):
    inputs = windows(8)
    encoded = model.get_encoder()(**inputs)
    bins = model.window_bins(None, {"encoder_outputs": encoded})
    frames = torch.stack([model.window_bins(None, inputs), model.window_bins(None, inputs) + 5])  # of four frames
    assert ((frames[0] <= bins) & (bins <= frames[1])).all() and bins.unique().numel() > 4
    asked = {name: inputs[name] for name in CONDITIONS}
    ids = model.generate(encoder_outputs=encoded, **asked, max_new_tokens=40, do_sample=True)
    times = torch.where((ids >= 3) & (ids <= 503), ids - 3, 0).sum(dim=1)
    assert (times < bins).all() and times.max() > 40


@pytest.mark.parametrize("name", ["difficulty_ids", "instrument_ids"])
@pytest.mark.parametrize("value", [-1, 4])
def test_unknown_difficulty_or_instrument_is_refused(model, name, value):
    inputs = {**windows(2), name: torch.tensor([0, value])}
    with pytest.raises(ValueError, match=f"`{name}` must be between 0 and 3"):
        model.generate(**inputs, max_new_tokens=10)


def test_generation_goes_on_from_a_cache_with_all_ids_and_no_mask(model):
    inputs = windows(32, seed=3)
    ids = model.generate(**inputs, max_new_tokens=41)[:, :6]
    going_on = ~((ids == TOKENIZER.eos_token_id) | (ids == TOKENIZER.pad_token_id)).any(dim=1)
    assert going_on.sum() >= 4
    inputs = {name: value[going_on] for name, value in inputs.items()}
    ids = ids[going_on]
    cache = model(**inputs, decoder_input_ids=ids[:, :5], use_cache=True).past_key_values
    expected = model.generate(**inputs, decoder_input_ids=ids, max_new_tokens=24)
    assert torch.equal(
        model.generate(**inputs, decoder_input_ids=ids, past_key_values=cache, max_new_tokens=24), expected
    )
