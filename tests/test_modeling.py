import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSpeechSeq2Seq, AutoProcessor, StaticCache
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroModel,
    TabHeroProcessor,
    TabHeroTokenizer,
)
from tabhero_hf.modeling_tabhero import STRUCK_LANES, TabHeroEncoderOutput
from tabhero_hf.tokenization_tabhero import LANE_SETS


def small_model(seed: int = 0, perturb: float = 0.05, **fields) -> TabHeroForConditionalGeneration:
    """A small model in evaluation mode whose biases and gates are not at their zeros."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = TabHeroForConditionalGeneration(TabHeroConfig(**{**sizes, "encoder_layers": 1, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += perturb * torch.randn_like(parameter)
    return model


def window(frames: int, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_features": torch.randn(batch, frames, 128, generator=generator),
        "difficulty_ids": torch.arange(batch) % 4,
        "instrument_ids": torch.arange(batch) % 3,
    }


def note_tokens(batch: int = 1, notes: int = 8, seed: int = 0) -> torch.LongTensor:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(batch):
        onsets = np.cumsum(generator.uniform(0.05, 0.3, notes))
        rows.append(TabHeroTokenizer().encode_notes([(t, (int(generator.integers(5)),), 0, 0.0) for t in onsets]))
    return torch.tensor(rows)


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_loss_at_random_initialisation_is_that_of_chance(size):
    torch.manual_seed(0)
    model = TabHeroForConditionalGeneration(TabHeroConfig.from_size(size))
    with torch.no_grad():
        loss = model(**window(200, 2), labels=note_tokens(2, 20)[:, 1:]).loss
    assert loss.item() == pytest.approx(math.log(740), abs=0.2)


@pytest.mark.parametrize("downsample_factor", [2, 4, 8])
@pytest.mark.parametrize("frames", range(96, 112))
def test_padding_never_matters(frames, downsample_factor):
    model = small_model(downsample_factor=downsample_factor)
    alone, ids = window(frames), note_tokens()
    padded = torch.cat([alone["input_features"], 5 * torch.ones(1, 37, 128)], dim=1)
    mask = torch.cat([torch.ones(1, frames), torch.zeros(1, 37)], dim=1).long()
    with torch.no_grad():
        expected = model(**alone, decoder_input_ids=ids).logits
        batched = model(**{**alone, "input_features": padded}, attention_mask=mask, decoder_input_ids=ids).logits
    scale = expected.abs().max().item()
    assert (batched - expected).abs().max().item() / max(scale, 1) <= 1e-5


@pytest.mark.parametrize("attention", ["sdpa", pytest.param("flex_attention", marks=pytest.mark.slow)])
def test_attention_back_ends_agree(attention):
    model, ids = small_model(), note_tokens(2)
    inputs = window(100, 2)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        model.set_attn_implementation(attention)
        torch.testing.assert_close(model(**inputs, decoder_input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


def cached_logits(model, inputs, ids, cache=None):
    """Logits of a sequence fed one token at a time; the current time is left to the cache."""
    outputs = None
    logits = []
    for position in range(ids.shape[1]):
        outputs = model(
            **inputs,
            decoder_input_ids=ids[:, position : position + 1],
            encoder_outputs=None if outputs is None else (outputs.encoder_last_hidden_state,),
            past_key_values=cache if outputs is None else outputs.past_key_values,
            use_cache=True,
        )
        logits.append(outputs.logits)
    return torch.cat(logits, dim=1)


def test_logits_with_and_without_cache_agree():
    model, ids, inputs = (
        small_model(onset_pointer=False, onset_head=False, fret_pointer=False),
        note_tokens(2),
        window(100, 2),
    )
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        torch.testing.assert_close(cached_logits(model, inputs, ids), expected, atol=1e-4, rtol=1e-4)


def test_logits_with_a_static_cache_agree():
    model, ids, inputs = small_model(), note_tokens(2), window(100, 2)
    cache = EncoderDecoderCache(
        StaticCache(config=model.config, max_cache_len=64), StaticCache(config=model.config, max_cache_len=25)
    )
    with torch.no_grad():
        encoded = model.get_encoder()(**inputs)
        expected = model(**inputs, decoder_input_ids=ids).logits
        logits = []
        for position in range(ids.shape[1]):
            outputs = model(
                encoder_outputs=encoded,
                decoder_input_ids=ids[:, position : position + 1],
                past_key_values=cache,
                use_cache=True,
                **{name: inputs[name] for name in ("difficulty_ids", "instrument_ids")},
            )
            logits.append(outputs.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), expected, atol=1e-4, rtol=1e-4)


def test_a_cache_of_unknown_time_is_refused():
    model, inputs, ids = small_model(), window(100), note_tokens()
    with torch.no_grad():
        cache = model(**inputs, decoder_input_ids=ids, use_cache=True).past_key_values
        del cache.elapsed_time_bins
        with pytest.raises(ValueError, match="pass `decoder_time_ids`"):
            model(**inputs, decoder_input_ids=ids[:, :1], past_key_values=cache, use_cache=True)


def test_a_cache_that_was_cropped_does_not_know_the_time():
    model, inputs, ids = small_model(), window(100), note_tokens()
    with torch.no_grad():
        cache = model(**inputs, decoder_input_ids=ids, use_cache=True).past_key_values
        cache.crop(-2)
        with pytest.raises(ValueError, match="pass `decoder_time_ids`"):
            model(**inputs, decoder_input_ids=ids[:, -2:-1], past_key_values=cache, use_cache=True)


def test_a_plain_cache_is_filled():
    model, inputs, ids = small_model(), window(100), note_tokens()
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        first = model(**inputs, decoder_input_ids=ids[:, :-1], past_key_values=DynamicCache(), use_cache=True)
        last = model(**inputs, decoder_input_ids=ids[:, -1:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(torch.cat([first.logits, last.logits], dim=1), expected, atol=1e-4, rtol=1e-4)


def test_encoder_outputs_are_taken_by_name_or_refused():
    model, inputs, ids = small_model(), window(100), note_tokens()
    with torch.no_grad():
        encoded = model.get_encoder()(**inputs)
        assert isinstance(encoded, TabHeroEncoderOutput)
        expected = model(encoder_outputs=encoded, decoder_input_ids=ids).logits
        state = encoded.last_hidden_state
        plain = model(encoder_outputs=BaseModelOutput(last_hidden_state=state), decoder_input_ids=ids).logits
        alone = model(encoder_outputs=(state,), decoder_input_ids=ids).logits
        with pytest.raises(ValueError, match="all fields or the last hidden state alone"):
            model(encoder_outputs=encoded.to_tuple(), decoder_input_ids=ids)
    torch.testing.assert_close(plain, alone)
    assert not torch.allclose(plain, expected)


@pytest.mark.parametrize("call", ["listen", "generate_windows"])
def test_listening_is_without_dropout_and_leaves_modes_as_they_were(call):
    model = small_model(dropout=0.5).train()
    model.model.encoder.eval()
    modes = [module.training for module in model.modules()]
    audio, asked = torch.randn(2, 100, 128), torch.tensor([3])
    told = [getattr(model, call)(audio, None, asked, torch.tensor([0])) for _ in range(2)]
    if call == "listen":
        told = [onsets for onsets, _ in told]
    torch.testing.assert_close(*told)
    assert [module.training for module in model.modules()] == modes


def test_embeddings_need_their_times():
    model, inputs, ids = small_model(), window(100), note_tokens()
    embeddings = model.get_input_embeddings()(ids)
    with pytest.raises(ValueError, match="pass `decoder_time_ids`"):
        model(**inputs, decoder_inputs_embeds=embeddings)
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids)
        times = torch.where((ids >= 3) & (ids <= 503), ids - 3, 0).cumsum(dim=1)
        outputs = model(**inputs, decoder_inputs_embeds=embeddings, decoder_time_ids=times)
    torch.testing.assert_close(outputs.logits, expected.logits)


def test_cross_attention_moves_with_the_audio():
    """Delaying audio and notes alike leaves the decoder's view of the audio around it as it was."""
    model = small_model(onset_head=False, onset_pointer=False, fret_pointer=False, encoder_layers=0)
    frames, shift = 400, 86 * 4  # encoder positions are 4 frames; 86 of them are close to 399.5 time bins
    audio = torch.randn(1, frames, 128)
    encoded = model.get_encoder()(audio).last_hidden_state
    late = torch.cat([torch.zeros(1, shift // 4, 32), encoded], dim=1)
    late_mask = torch.cat([torch.zeros(1, shift // 4), torch.ones(1, encoded.shape[1])], dim=1).long()
    late = TabHeroEncoderOutput(late, attention_mask=late_mask)
    ids = note_tokens()
    times = torch.where((ids >= 3) & (ids <= 503), ids - 3, 0).cumsum(dim=1).double()
    bins_per_position = 4 * 256 / 22050 / 0.01
    with torch.no_grad():
        early = model(encoder_outputs=(encoded,), decoder_input_ids=ids, decoder_time_ids=times).logits
        moved = model(
            encoder_outputs=late, decoder_input_ids=ids, decoder_time_ids=times + shift // 4 * bins_per_position
        ).logits
        still = model(encoder_outputs=late, decoder_input_ids=ids, decoder_time_ids=times).logits
    torch.testing.assert_close(moved, early, atol=1e-3, rtol=1e-3)
    assert (still - early).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["difficulty_ids", "instrument_ids"])
def test_conditioning_reaches_every_position(name):
    model, ids, inputs = small_model(), note_tokens(), window(100)
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        other = model(**{**inputs, name: inputs[name] + 1}, decoder_input_ids=ids).logits
    assert ((other - expected).abs().amax(dim=-1) > 1e-4).all()


def test_gradient_checkpointing_gives_the_same_gradients():
    inputs, labels = window(100, 2), note_tokens(2)[:, 1:]
    gradients = []
    for checkpointing in (False, True):
        model = twofold_model(listening_loss_weight=1.0).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**inputs, labels=labels, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_loss_does_not_depend_on_how_a_batch_is_split():
    model, inputs = small_model(listening_loss_weight=1.0), window(100, 4)
    labels = note_tokens(4)[:, 1:]
    labels[1, 9:] = -100
    count = (labels != -100).sum()
    with torch.no_grad():
        whole = model(**inputs, labels=labels).loss
        parts = [
            model(**{k: v[i : i + 2] for k, v in inputs.items()}, labels=labels[i : i + 2], num_items_in_batch=count)
            for i in (0, 2)
        ]
    torch.testing.assert_close(sum(part.loss for part in parts), whole)


def heard(onset_logits=None, fret_logits=None):
    mask = None if fret_logits is None else torch.ones(fret_logits.shape[:2])
    return TabHeroEncoderOutput(attention_mask=mask, onset_logits=onset_logits, fret_logits=fret_logits)


def test_onset_loss_is_least_where_the_labels_start():
    model = small_model()
    labels = torch.tensor([TabHeroTokenizer().encode_notes([(0.25, (0,), 0, 0.0), (5.5, (1,), 0, 0.0)])[1:]])
    logits = torch.full((1, 600), -8.0)
    logits[0, [25, 550]] = 8.0
    right = model.listening_loss(heard(logits), labels, num_items_in_batch=1)
    assert right < 1 < 30 < model.listening_loss(heard(logits.roll(1, dims=1)), labels, num_items_in_batch=1)


def test_the_fret_loss_is_least_for_the_frets_of_the_labels():
    model = small_model()
    labels = torch.tensor([TabHeroTokenizer().encode_notes([(0.25, (0,), 0, 0.0), (5.5, (0, 1), 0, 0.0)])[1:]])
    logits = torch.zeros(1, 128, 127)
    # FRET_0 and FRET_0_1 are the first and the eighth; a position lasts 46 ms.
    logits[0, :60, 0] = logits[0, 60:, 7] = 20.0
    right = model.listening_loss(heard(fret_logits=logits), labels)
    assert right < 0.01 < 1 < model.listening_loss(heard(fret_logits=logits.roll(1, dims=2)), labels)


def test_the_decoder_s_state_opens_and_closes_the_fret_pointer():
    model = small_model()
    pointer, states = model.fret_pointer, torch.randn(1, 3, 32)
    told = torch.randn(1, 50, 127), None, torch.tensor([[0, 40, 90]])
    with torch.no_grad():
        pointer.gate.weight.zero_()
        assert torch.equal(pointer(states, *told), pointer.read(*told))
        pointer.gate.weight.copy_(-states[0, 1] / states[0, 1].square().sum())
        scores = pointer(states, *told)
        assert scores[0, 1].abs().max() < 1e-5 < scores[0, 0].abs().max()


def twofold_model(**fields) -> TabHeroForConditionalGeneration:
    return small_model(encoder_layers=2, fret_encoder=True, **fields)


def test_a_fret_encoder_changes_the_frets_that_are_written_and_nothing_else():
    model, inputs, labels = twofold_model(), window(100, 2), note_tokens(2)[:, 1:]
    frets = slice(model.config.fret_tokens.start, model.config.fret_tokens.stop)
    with torch.no_grad():
        before, encoded = model(**inputs, labels=labels).logits, model.model.encode(**inputs)
        for parameter in model.model.encoder.fret_encoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        after, again = model(**inputs, labels=labels).logits, model.model.encode(**inputs)
    assert not torch.allclose(after[..., frets], before[..., frets], atol=1e-3)
    after[..., frets] = before[..., frets]
    assert torch.equal(after, before)
    assert torch.equal(again.fret_logits, encoded.fret_logits)
    assert not torch.allclose(again.fret_encoder_logits, encoded.fret_encoder_logits, atol=1e-3)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_fret_encoder_like_the_encoder_hears_what_that_does(layers):
    model, inputs = small_model(encoder_layers=layers, fret_encoder=True), window(100, 2)
    encoder = model.model.encoder
    same = encoder.fret_encoder.state_dict().keys()
    encoder.fret_encoder.load_state_dict({name: encoder.state_dict()[name] for name in same})
    inputs["attention_mask"] = torch.ones(2, 100, dtype=torch.long)
    inputs["attention_mask"][1, 60:] = 0
    with torch.no_grad():
        encoded = encoder(**inputs)
    assert torch.equal(encoded.fret_encoder_logits, encoded.fret_logits)


def test_the_encoder_s_states_are_told_without_those_of_the_fret_encoder():
    inputs = window(100)
    with torch.no_grad():
        encoded = twofold_model().model.encoder(**inputs, output_hidden_states=True)
        plain = small_model(encoder_layers=2).model.encoder(**inputs, output_hidden_states=True)
    assert len(encoded.hidden_states) == len(plain.hidden_states)


def test_a_fret_encoder_is_saved_and_searched_and_told_as_a_tuple(tmp_path):
    model, inputs, ids = twofold_model(), window(100, 2), note_tokens(2)
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        encoded = model.model.encode(**inputs)
        told = (encoded.last_hidden_state, None, None, None, *encoded.to_tuple()[1:])
        chart = {name: inputs[name] for name in ("difficulty_ids", "instrument_ids")}
        assert torch.equal(model(encoder_outputs=told, **chart, decoder_input_ids=ids).logits, expected)
        model.save_pretrained(tmp_path)
        loaded = TabHeroForConditionalGeneration.from_pretrained(tmp_path)
        assert torch.equal(loaded(**inputs, decoder_input_ids=ids).logits, expected)
        assert len(model.generate(**inputs, num_beams=3, max_new_tokens=12)) == 2


def test_a_fret_encoder_learns_beside_the_fret_head():
    model, inputs, labels = twofold_model(listening_loss_weight=1.0), window(100, 2), note_tokens(2)[:, 1:]
    encoded = model.model.encode(**inputs)
    model.listening_loss(encoded, labels).backward()
    for head in (model.model.encoder.fret_head, model.model.encoder.fret_encoder.fret_head):
        assert head.out.weight.grad.abs().max() > 0
    assert model.model.encoder.fret_encoder.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


def test_weights_from_before_the_fret_pointer_had_a_gate_do_what_they_did(tmp_path):
    model, inputs = small_model(), window(100, 2)
    with torch.no_grad():
        model.fret_pointer.gate.weight.zero_()
        expected = model(**inputs, labels=note_tokens(2)[:, 1:]).logits
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["fret_pointer.gate.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    older, loading = TabHeroForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    with torch.no_grad():
        assert torch.equal(older(**inputs, labels=note_tokens(2)[:, 1:]).logits, expected)


def test_the_model_knows_which_lanes_a_token_strikes():
    assert [tuple(lane for lane in range(7) if struck[lane]) for struck in STRUCK_LANES] == LANE_SETS


def test_the_lane_loss_counts_lanes_that_are_wrong():
    model, labels = small_model(), torch.tensor([[3 + 5, 504 + 7, 631, 639, 2]])  # green and red

    def loss(fret: int) -> float:
        logits = torch.zeros(1, 5, 740)
        logits[0, 1, 504 + fret] = 30.0
        return model.lane_loss(logits, labels).item()

    assert loss(7) < 1e-3 < loss(8) == pytest.approx(loss(12)) == pytest.approx(2 * loss(0), rel=1e-2)
    assert loss(8) == pytest.approx(2 * -math.log(1e-6) / 5, rel=1e-2)


def test_the_lane_loss_is_part_of_the_loss():
    model, inputs, labels = small_model(), window(100, 2), note_tokens(2)[:, 1:]
    tokens = model(**inputs, labels=labels)
    model.config.lane_loss_weight = 0.5
    expected = tokens.loss + 0.5 * model.lane_loss(tokens.logits, labels)
    torch.testing.assert_close(model(**inputs, labels=labels).loss, expected)


def test_the_listening_loss_is_part_of_the_loss():
    model, inputs, labels = small_model(listening_loss_weight=0.5), window(100, 2), note_tokens(2)[:, 1:]
    with torch.no_grad():
        whole = model(**inputs, labels=labels).loss
        encoded = model.model.encode(**inputs)
        model.config.listening_loss_weight = 0.0
        tokens = model(**inputs, labels=labels).loss
    torch.testing.assert_close(whole, tokens + 0.5 * model.listening_loss(encoded, labels))


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, frames, 128\), got \(1, 100, 80\)"):
        small_model()(torch.zeros(1, 100, 80), decoder_input_ids=note_tokens())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_charts_and_trains(dtype):
    model = small_model(listening_loss_weight=1.0).to(dtype)
    inputs = window(64, 2)
    outputs = model(**inputs, labels=note_tokens(2)[:, 1:])
    assert outputs.logits.dtype == dtype
    outputs.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.generate(**inputs, max_new_tokens=9).shape[0] == 2


def test_a_decoding_step_compiles_to_one_graph():
    model, inputs, ids = small_model(), window(100), note_tokens()
    cache = EncoderDecoderCache(
        StaticCache(config=model.config, max_cache_len=64), StaticCache(config=model.config, max_cache_len=25)
    )
    conditioning = {name: inputs[name] for name in ("difficulty_ids", "instrument_ids")}
    with torch.no_grad():
        expected = model(**inputs, decoder_input_ids=ids).logits
        encoded = model.get_encoder()(**inputs)
        times = torch.where((ids >= 3) & (ids <= 503), ids - 3, 0).cumsum(dim=1)
        step = torch.compile(model.forward, fullgraph=True, backend="aot_eager")
        logits = []
        for position in range(6):
            here = slice(position, position + 1)
            forward = model if position == 0 else step  # the first step fills the cross-attention's cache
            logits.append(
                forward(
                    encoder_outputs=encoded,
                    decoder_input_ids=ids[:, here],
                    decoder_time_ids=times[:, here],
                    decoder_position_ids=torch.tensor([[position]]),
                    past_key_values=cache,
                    use_cache=True,
                    **conditioning,
                ).logits
            )
    torch.testing.assert_close(torch.cat(logits, dim=1), expected[:, :6], atol=1e-4, rtol=1e-4)


def test_save_and_load_through_the_auto_classes(tmp_path):
    model = small_model()
    model.save_pretrained(tmp_path)
    TabHeroProcessor(TabHeroFeatureExtractor(), TabHeroTokenizer()).save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), TabHeroConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), TabHeroModel)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), TabHeroProcessor)
    loaded = AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path, device_map="cpu")
    assert isinstance(loaded, TabHeroForConditionalGeneration)
    with torch.no_grad():
        inputs = {**window(100), "decoder_input_ids": note_tokens()}
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)


REMOTE_CODE = """
import sys
sys.modules["tabhero_hf"] = None  # as if it were not installed
import torch
from transformers import AutoModel, AutoModelForSpeechSeq2Seq, AutoProcessor, AutoTokenizer, AutoFeatureExtractor
folder = sys.argv[1]
model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, trust_remote_code=True)
AutoModel.from_pretrained(folder, trust_remote_code=True)
AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor(audio=torch.randn(22050).numpy(), sampling_rate=22050, return_tensors="pt")
ids = model.generate(
    input_features=inputs["input_features"], attention_mask=inputs["attention_mask"],
    difficulty_ids=torch.tensor([3]), instrument_ids=torch.tensor([0]), max_new_tokens=20,
)
print("notes:", processor.decode_song(ids, inputs["window_start"], inputs["attention_mask"].sum(dim=1)))
"""


def test_a_saved_folder_works_without_the_package(tmp_path):
    small_model().save_pretrained(tmp_path / "model")
    TabHeroProcessor(TabHeroFeatureExtractor(), TabHeroTokenizer()).save_pretrained(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", REMOTE_CODE, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("notes: [")
