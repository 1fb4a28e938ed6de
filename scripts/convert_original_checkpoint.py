#!/usr/bin/env python
"""
Convert a checkpoint of the original Tab Hero implementation (`.pt`) to a Hugging Face model folder.

    python scripts/convert_original_checkpoint.py model.pt converted/

The file may come from a compiled model (`_orig_mod.` before its keys) and may lack its `config`, which is then read
off the weights. It is loaded without unpickling code, and only its weights are used.
"""

import argparse
import re
import sys
from pathlib import Path

import torch

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)
from tabhero_hf.generation_tabhero import MAX_NEW_TOKENS

RENAMED = [
    (r"^encoder\.input_proj\.0\.", "model.encoder.input_proj."),
    (r"^encoder\.input_proj\.1\.", "model.encoder.input_norm."),
    (r"^encoder\.output_norm\.", "model.encoder.output_norm."),
    (r"^encoder_proj\.", "model.encoder.output_proj."),
    (r"^decoder\.token_embedding\.", "model.decoder.embed_tokens."),
    (r"^decoder\.output_norm\.", "model.decoder.norm."),
    (r"^decoder\.output_proj\.", "lm_head."),
    (r"^decoder\.", "model.decoder."),
    (r"\.self_attn_norm\.", ".input_layernorm."),
    (r"\.cross_attn_norm\.", ".post_attention_layernorm."),
    (r"\.ffn_norm\.", ".final_layernorm."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.ffn\.w1\.", ".mlp.gate_proj."),
    (r"\.ffn\.w2\.", ".mlp.down_proj."),
    (r"\.ffn\.w3\.", ".mlp.up_proj."),
]
# Rows of the fused projections, in order.
FUSED = {".qkv_proj.": (".q_proj.", ".k_proj.", ".v_proj."), ".kv_proj.": (".k_proj.", ".v_proj.")}


def load_original(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """
    The weights of an original checkpoint, without `_orig_mod.`, and its configuration, empty if it has none.

    Raises:
        ValueError: the file is no such checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint of plain tensors: {error}") from error
    weights = checkpoint.get("model_state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path} holds no `model_state_dict` of tensors")
    return {key.removeprefix("_orig_mod."): value for key, value in weights.items()}, checkpoint.get("config") or {}


def original_config(weights: dict[str, torch.Tensor], original: dict) -> TabHeroConfig:
    """The configuration that the weights fit, with the original's behaviour: no time alignment, no onset head."""
    try:
        vocab_size, hidden_size = weights["decoder.token_embedding.weight"].shape
        encoder_hidden_size, num_mel_bins = weights["encoder.input_proj.0.weight"].shape
        intermediate_size = weights["decoder.layers.0.ffn.w1.weight"].shape[0]
    except KeyError as error:
        raise ValueError(f"the checkpoint lacks {error}: it is not an original Tab Hero model") from None
    layers = {int(match[1]) for key in weights if (match := re.match(r"decoder\.layers\.(\d+)\.", key))}
    # The stages' convolutions are the only ones with five taps.
    stages = sum(weight.ndim == 3 and weight.shape[-1] == 5 for weight in weights.values())
    heads = original.get("n_heads") or (hidden_size // 64 if hidden_size % 64 == 0 else 8)
    return TabHeroConfig(
        vocab_size=vocab_size,
        num_mel_bins=num_mel_bins,
        encoder_hidden_size=encoder_hidden_size,
        downsample_factor=2**stages,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=len(layers),
        num_attention_heads=heads,
        dropout=original.get("dropout", 0.0),
        max_position_embeddings=original.get("max_seq_len", TabHeroConfig.max_position_embeddings),
        num_difficulties=len(weights["decoder.difficulty_embedding.weight"]),
        num_instruments=len(weights["decoder.instrument_embedding.weight"]),
        time_aligned_cross_attention=False,
        onset_head=False,
        onset_pointer=False,
        fret_pointer=False,
    )


def convert_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights under our names, fused projections split."""
    converted = {}
    conv_stack = sorted({int(key.split(".")[2]) for key in weights if key.startswith("encoder.conv_stack.")})
    conv_names = _conv_stack_names(conv_stack)
    for key, value in weights.items():
        if key.startswith("encoder.conv_stack."):
            _, _, index, kind = key.split(".")
            converted[f"model.encoder.{conv_names[int(index)]}.{kind}"] = value
            continue
        for pattern, replacement in RENAMED:
            key = re.sub(pattern, replacement, key)
        fused = next((name for name in FUSED if name in key), None)
        if fused is None:
            converted[key] = value
        else:
            for name, rows in zip(FUSED[fused], value.chunk(len(FUSED[fused])), strict=True):
                converted[key.replace(fused, name)] = rows.clone()
    return converted


def _conv_stack_names(indices: list[int]) -> dict[int, str]:
    """
    Names of the original's numbered layers that have weights: a convolution and a norm (the first stage), then
    depthwise, pointwise and norm (each further stage), then the last convolution.
    """
    names = ["conv_stages.0.conv", "conv_stages.0.norm"]
    for stage in range(1, (len(indices) - 3) // 3 + 1):
        names += [f"conv_stages.{stage}.{part}" for part in ("conv", "pointwise", "norm")]
    return dict(zip(indices, [*names, "conv_out"], strict=True))


def convert(checkpoint: str | Path) -> TabHeroForConditionalGeneration:
    """The original checkpoint as our model, in evaluation mode."""
    weights, original = load_original(checkpoint)
    model = TabHeroForConditionalGeneration(original_config(weights, original))
    model.load_state_dict(convert_weights(weights))
    model.generation_config.max_new_tokens = MAX_NEW_TOKENS
    return model.eval()


def main(arguments: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="the original's .pt file")
    parser.add_argument("output", type=Path, help="folder to write the Hugging Face model and processor to")
    args = parser.parse_args(arguments)
    try:
        model = convert(args.checkpoint)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"error: {error}")
    model.save_pretrained(args.output)
    TabHeroProcessor(TabHeroFeatureExtractor(), TabHeroTokenizer()).save_pretrained(args.output)
    print(f"{args.output}: {model.num_parameters():,} parameters, {model.config.num_hidden_layers} decoder layers")


if __name__ == "__main__":
    main()
