# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""PyTorch Tab Hero model: log-mel windows in, note tokens out."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, auto_docstring
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_tabhero import TabHeroConfig
from .decoding_tabhero import decode_windows
from .generation_tabhero import TabHeroGenerationMixin, check_told_notes, has_note_vocabulary, token_time_bins
from .tokenization_tabhero import LANE_SETS, NUM_LANES

STRUCK_LANES = [[int(lane in lanes) for lane in range(NUM_LANES)] for lanes in LANE_SETS]  # of each `FRET` token
CHORD_SHAPES = [  # of each `FRET` token: 0 one fret, 1 to 4 two so far apart, 5 three and more, 6 what no guitar has
    6 if max(lanes) > 4 else 5 if len(lanes) > 2 else lanes[-1] - lanes[0] for lanes in LANE_SETS
]
NO_ONSET = -1e4  # the onset logit of a bin without audio: its sigmoid is 0, and it fits float16
MIN_LOG_ONSET = -10.0  # floor of an onset's log-probability, so that one silent bin cannot outweigh everything else


@dataclass
class TabHeroEncoderOutput(BaseModelOutput):
    r"""
    attention_mask (`torch.Tensor` of shape `(batch_size, encoder_sequence_length)`, *optional*):
        The input's attention mask, shortened as the audio was: 1 for positions that hold audio, 0 for padding.
    onset_logits (`torch.FloatTensor` of shape `(batch_size, time_bins)`, *optional*):
        For every time bin of 10 ms, the logit that a charted note starts there.
    fret_logits (`torch.FloatTensor` of shape `(batch_size, encoder_sequence_length, num_fret_tokens)`, *optional*):
        For every position, the logits of the `FRET` tokens of a note just before it.
    fret_encoder_logits (`torch.FloatTensor` of the shape of `fret_logits`, *optional*):
        The same by the fret encoder, which the fret pointer reads instead.
    """

    attention_mask: torch.Tensor | None = None
    onset_logits: torch.FloatTensor | None = None
    fret_logits: torch.FloatTensor | None = None
    fret_encoder_logits: torch.FloatTensor | None = None

    @property
    def pointer_logits(self) -> torch.FloatTensor | None:
        """What the fret pointer reads: the fret encoder's logits where the model has one, else the fret head's."""
        return self.fret_logits if self.fret_encoder_logits is None else self.fret_encoder_logits


class TabHeroRotaryEmbedding(nn.Module):
    """Rotary position embedding ([RoFormer](https://huggingface.co/papers/2104.09864)) of real-valued positions."""

    inv_freq: torch.Tensor  # fix linting for `register_buffer`

    def __init__(self, config: TabHeroConfig, device=None):
        super().__init__()
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.config = config

        self.rope_type = config.rope_parameters["rope_type"]
        rope_init_fn: Callable = self.compute_default_rope_parameters
        if self.rope_type != "default":
            rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = rope_init_fn(config, device)

        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.register_buffer("original_inv_freq", inv_freq.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config: TabHeroConfig, device=None, **kwargs) -> tuple[torch.Tensor, float]:
        """Returns the inverse frequencies, `(head_dim / 2,)`, and the factor on cosines and sines, 1."""
        base = config.rope_parameters["rope_theta"]
        dim = int(config.head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))
        inv_freq = 1.0 / (base ** (torch.arange(0, dim, 2, dtype=torch.float, device=device) / dim))
        return inv_freq, 1.0

    @torch.no_grad()
    @dynamic_rope_update  # power user: used with advanced RoPE types (e.g. dynamic rope)
    def forward(self, x, position_ids):
        """`position_ids` `(batch or 1, length)`, integer or real -> cosines and sines `(batch or 1, length, dim)`."""
        freqs = position_ids[..., None].float() * self.inv_freq.to(device=x.device, dtype=torch.float)
        emb = torch.cat((freqs, freqs), dim=-1)
        cos = emb.cos() * self.attention_scaling
        sin = emb.sin() * self.attention_scaling
        return cos.to(dtype=x.dtype), sin.to(dtype=x.dtype)


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """Rotates half the hidden dims of the input."""
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary_pos_emb(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates `x` `(batch, heads, length, head_dim)` by `cos` and `sin` `(batch or 1, length, rotary_dim)`."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    rotary_dim = cos.shape[-1]
    rotated, passed = x[..., :rotary_dim], x[..., rotary_dim:]
    rotated = rotated * cos + rotate_half(rotated) * sin
    return torch.cat([rotated, passed], dim=-1) if passed.shape[-1] else rotated


def repeat_kv(hidden_states: torch.Tensor, n_rep: int) -> torch.Tensor:
    """Repeats each key and value head for its group of query heads."""
    return hidden_states if n_rep == 1 else hidden_states.repeat_interleave(n_rep, dim=1)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    key = repeat_kv(key, module.num_key_value_groups)
    value = repeat_kv(value, module.num_key_value_groups)

    attn_weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        attn_weights = attn_weights + attention_mask
    attn_weights = F.softmax(attn_weights, dim=-1, dtype=torch.float32).to(query.dtype)
    attn_weights = F.dropout(attn_weights, p=dropout, training=module.training)
    attn_output = torch.matmul(attn_weights, value).transpose(1, 2).contiguous()
    return attn_output, attn_weights


class TabHeroAttention(nn.Module):
    """
    Multi-head attention with rotary positions, over the sequence itself or, with `key_value_states`, across to the
    encoder's. Keys are rotated before they are cached.
    """

    def __init__(
        self,
        config: TabHeroConfig,
        layer_idx: int,
        is_causal: bool,
        hidden_size: int,
        num_attention_heads: int,
        num_key_value_heads: int,
    ):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.is_causal = is_causal
        self.head_dim = config.head_dim
        self.num_key_value_groups = num_attention_heads // num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout

        self.q_proj = nn.Linear(hidden_size, num_attention_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden_size, num_key_value_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden_size, num_key_value_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(num_attention_heads * self.head_dim, hidden_size, bias=False)

    def _project(self, projection: nn.Linear, states: torch.Tensor) -> torch.Tensor:
        # (batch, length, hidden) -> (batch, heads, length, head_dim)
        return projection(states).view(*states.shape[:2], -1, self.head_dim).transpose(1, 2)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        key_value_states: torch.Tensor | None = None,
        key_position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        is_cross_attention = key_value_states is not None
        if not is_cross_attention:
            key_value_states, key_position_embeddings = hidden_states, position_embeddings

        query_states = self._project(self.q_proj, hidden_states)
        if position_embeddings is not None:
            query_states = apply_rotary_pos_emb(query_states, *position_embeddings)

        cache = None
        if isinstance(past_key_values, EncoderDecoderCache):
            cache = (
                past_key_values.cross_attention_cache if is_cross_attention else past_key_values.self_attention_cache
            )
        if is_cross_attention and cache is not None and past_key_values.is_updated.get(self.layer_idx):
            key_states = cache.layers[self.layer_idx].keys
            value_states = cache.layers[self.layer_idx].values
        else:
            key_states = self._project(self.k_proj, key_value_states)
            value_states = self._project(self.v_proj, key_value_states)
            if key_position_embeddings is not None:
                key_states = apply_rotary_pos_emb(key_states, *key_position_embeddings)
            if cache is not None:
                key_states, value_states = cache.update(key_states, value_states, self.layer_idx)
                if is_cross_attention:
                    past_key_values.is_updated[self.layer_idx] = True

        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attn_output, attn_weights = attention_interface(
            self,
            query_states,
            key_states,
            value_states,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        attn_output = attn_output.reshape(*hidden_states.shape[:2], -1).contiguous()
        return self.o_proj(attn_output), attn_weights


class TabHeroMLP(nn.Module):
    """SwiGLU feed-forward layer ([GLU variants](https://huggingface.co/papers/2002.05202))."""

    def __init__(self, config: TabHeroConfig, hidden_size: int):
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, hidden_size, bias=False)
        self.activation_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.activation_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


class TabHeroEncoderLayer(GradientCheckpointingLayer):
    def __init__(self, config: TabHeroConfig, layer_idx: int):
        super().__init__()
        hidden_size = config.encoder_hidden_size
        heads = hidden_size // config.head_dim
        self.self_attn = TabHeroAttention(
            config,
            layer_idx,
            is_causal=False,
            hidden_size=hidden_size,
            num_attention_heads=heads,
            num_key_value_heads=heads,
        )
        self.mlp = TabHeroMLP(config, hidden_size)
        self.input_layernorm = nn.RMSNorm(hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(hidden_size, eps=config.rms_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        attn_output, _ = self.self_attn(
            self.input_layernorm(hidden_states), attention_mask, position_embeddings, **kwargs
        )
        hidden_states = hidden_states + self.dropout(attn_output)
        return hidden_states + self.dropout(self.mlp(self.post_attention_layernorm(hidden_states)))


class TabHeroDecoderLayer(GradientCheckpointingLayer):
    def __init__(self, config: TabHeroConfig, layer_idx: int):
        super().__init__()
        sizes = {
            "hidden_size": config.hidden_size,
            "num_attention_heads": config.num_attention_heads,
            "num_key_value_heads": config.num_key_value_heads,
        }
        self.self_attn = TabHeroAttention(config, layer_idx, is_causal=True, **sizes)
        self.encoder_attn = TabHeroAttention(config, layer_idx, is_causal=False, **sizes)
        self.mlp = TabHeroMLP(config, config.hidden_size)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.final_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        time_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        encoder_time_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        attn_output, _ = self.self_attn(
            self.input_layernorm(hidden_states),
            attention_mask,
            position_embeddings,
            past_key_values=past_key_values,
            **kwargs,
        )
        hidden_states = hidden_states + self.dropout(attn_output)

        if encoder_hidden_states is not None:
            attn_output, _ = self.encoder_attn(
                self.post_attention_layernorm(hidden_states),
                encoder_attention_mask,
                time_embeddings,
                key_value_states=encoder_hidden_states,
                key_position_embeddings=encoder_time_embeddings,
                past_key_values=past_key_values,
                **kwargs,
            )
            hidden_states = hidden_states + self.dropout(attn_output)

        return hidden_states + self.dropout(self.mlp(self.final_layernorm(hidden_states)))


class TabHeroGroupNorm(nn.GroupNorm):
    """Group normalisation whose statistics leave padded frames out."""

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`hidden_states` `(batch, channels, frames)`; `mask` `(batch, 1, frames)`, 1 for frames that hold audio."""
        if mask is None:
            return super().forward(hidden_states)
        grouped = hidden_states.float().unflatten(1, (self.num_groups, -1))  # (batch, groups, channels, frames)
        mask = mask.unsqueeze(1).float()
        count = (mask.sum(dim=(2, 3), keepdim=True) * grouped.shape[2]).clamp(min=1)
        mean = (grouped * mask).sum(dim=(2, 3), keepdim=True) / count
        centred = (grouped - mean) * mask
        variance = centred.square().sum(dim=(2, 3), keepdim=True) / count
        normed = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2).to(hidden_states.dtype)
        return normed * self.weight[:, None] + self.bias[:, None]


class TabHeroConvStage(nn.Module):
    """
    Halves the frame rate: a strided Conv1d, depthwise with a pointwise one behind it where `depthwise`, then GELU and
    group normalisation. Padded frames are zeroed first, as the frames beyond an unpadded window's end are.
    """

    def __init__(self, channels: int, depthwise: bool):
        super().__init__()
        self.conv = nn.Conv1d(
            channels, channels, kernel_size=5, stride=2, padding=2, groups=channels if depthwise else 1
        )
        self.pointwise = nn.Conv1d(channels, channels, kernel_size=1) if depthwise else None
        self.norm = TabHeroGroupNorm(8, channels)

    def forward(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if mask is not None:
            hidden_states = hidden_states * mask
            mask = mask[..., ::2]
        hidden_states = self.conv(hidden_states)
        if self.pointwise is not None:
            hidden_states = self.pointwise(hidden_states)
        return self.norm(F.gelu(hidden_states), mask), mask


def add_condition(hidden_states: torch.Tensor, embedding: nn.Embedding, ids: torch.LongTensor | None) -> torch.Tensor:
    """Adds each row's condition `ids` `(batch,)` to all of its positions, `(batch, length, width)`."""
    if ids is not None:
        return hidden_states + embedding(ids)[:, None]
    # Distributed training wants a gradient for every parameter.
    return hidden_states + 0.0 * embedding.weight.sum() if embedding.training else hidden_states


class TabHeroListeningHead(nn.Module):
    """A small network on each encoder position that knows the asked-for difficulty and instrument."""

    def __init__(self, config: TabHeroConfig, num_outputs: int):
        super().__init__()
        width = config.encoder_hidden_size
        self.difficulty_embedding = nn.Embedding(config.num_difficulties, width)
        self.instrument_embedding = nn.Embedding(config.num_instruments, width)
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, num_outputs)

    def forward(
        self,
        hidden_states: torch.Tensor,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """`hidden_states` `(batch, positions, encoder_hidden_size)` -> logits `(batch, positions, num_outputs)`."""
        hidden_states = add_condition(hidden_states, self.difficulty_embedding, difficulty_ids)
        hidden_states = add_condition(hidden_states, self.instrument_embedding, instrument_ids)
        return self.out(F.gelu(self.dense(hidden_states)))


class TabHeroFretHead(TabHeroListeningHead):
    """What is struck at each encoder position: logits of the `FRET` tokens."""

    def __init__(self, config: TabHeroConfig):
        super().__init__(config, num_outputs=config.num_fret_tokens)


class TabHeroOnsetHead(TabHeroListeningHead):
    """
    Where in the audio the asked-for difficulty and instrument have a note: one logit for each time bin.
    """

    def __init__(self, config: TabHeroConfig):
        super().__init__(config, num_outputs=config.downsample_factor)  # one for each mel frame of a position
        self.frames_per_time_step = config.frames_per_time_step

    def forward(
        self,
        hidden_states: torch.Tensor,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        `hidden_states` `(batch, positions, encoder_hidden_size)` and their mask `(batch, positions)` -> logits
        `(batch, time_bins)`, one for each `time_step` of audio, `NO_ONSET` where there is none.
        """
        logits = super().forward(hidden_states, difficulty_ids, instrument_ids)
        num_frames = logits.shape[1] * logits.shape[2]
        logits = logits.flatten(1)

        # From mel frames to time bins: linear between the two frames around a bin, as far as both hold audio.
        positions = torch.arange(math.ceil(num_frames / self.frames_per_time_step), device=logits.device)
        positions = positions * self.frames_per_time_step
        left = positions.long()
        right = (left + 1).clamp(max=num_frames - 1)
        weight = (positions - left).to(logits.dtype)
        left_logits, right_logits = logits[:, left], logits[:, right]
        if attention_mask is not None:
            valid = attention_mask.bool().repeat_interleave(num_frames // attention_mask.shape[1], dim=1)
            right_logits = torch.where(valid[:, right], right_logits, left_logits)
        logits = torch.lerp(left_logits, right_logits, weight)
        return logits if attention_mask is None else logits.masked_fill(~valid[:, left], NO_ONSET)


class TabHeroPointerGate(nn.Linear):
    """A linear layer that starts at zero."""


class TabHeroOnsetPointer(nn.Module):
    """
    Turns onset logits into scores of the `TIME` tokens: a pointer ([Vinyals et al.,
    2015](https://huggingface.co/papers/1506.03134)) from the decoder's current time into the audio.

    With `h` the onset probability of a bin, the next onset is `k` bins away with probability
    `h[now + k] * prod(1 - h[now + 1 .. now + k - 1])`, the discrete hazard form of survival analysis. The logarithms
    of both factors are added to the logit of `TIME_k`, each weighed by a gate that the decoder's state opens where a
    `TIME` token is due.
    """

    def __init__(self, config: TabHeroConfig):
        super().__init__()
        self.num_time_tokens = config.num_time_tokens
        self.gate = TabHeroPointerGate(config.hidden_size, 2, bias=False)

    @staticmethod
    def tables(onset_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        `onset_logits` `(batch, time_bins)` -> the logarithms of each bin's onset probability and of the probability
        that no bin before it has one, `(batch, time_bins + 1)`: all that the pointer needs of a window.
        """
        onset_logits = onset_logits.float()
        log_onset = F.pad(F.logsigmoid(onset_logits).clamp(min=MIN_LOG_ONSET), (0, 1), value=MIN_LOG_ONSET)
        log_survival = F.pad(F.logsigmoid(-onset_logits).cumsum(dim=1), (1, 0))
        return log_onset, log_survival

    def forward(
        self, hidden_states: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor], time_ids: torch.LongTensor
    ) -> torch.Tensor:
        """
        `hidden_states` `(batch, length, hidden)`, the windows' `tables` and current times `time_ids` `(batch, length)`
        in bins -> scores `(batch, length, num_time_tokens)`.
        """
        log_onset, log_survival = tables
        num_bins = log_onset.shape[1] - 1
        steps = torch.arange(self.num_time_tokens, device=time_ids.device)
        bins = (time_ids[..., None] + steps).clamp(max=num_bins)  # (batch, length, num_time_tokens)
        flat_bins = bins.flatten(1)
        log_onset = log_onset.gather(1, flat_bins).view_as(bins)
        survived = log_survival.gather(1, flat_bins).view_as(bins)
        survived_now = log_survival.gather(1, (time_ids + 1).clamp(max=num_bins))
        survived = (survived - survived_now[..., None]).clamp(max=0)

        gate = self.gate(hidden_states).float()
        scores = gate[..., :1] * log_onset + gate[..., 1:] * survived
        return scores.to(hidden_states.dtype)


class TabHeroFretPointer(nn.Module):
    """
    Turns the logits of the fret encoder, or else of the fret head, at the decoder's current time into scores of the
    `FRET` tokens: weighed by a gate that starts at 1, and that the decoder's state opens or closes from there.
    """

    def __init__(self, config: TabHeroConfig):
        super().__init__()
        self.positions_per_bin = config.frames_per_time_step / config.downsample_factor
        self.gate = TabHeroPointerGate(config.hidden_size, 1, bias=False)

    def forward(
        self,
        hidden_states: torch.Tensor,
        fret_logits: torch.Tensor,
        attention_mask: torch.Tensor | None,
        time_ids: torch.LongTensor,
    ) -> torch.Tensor:
        """
        `hidden_states` `(batch, length, hidden)` and what [`~TabHeroFretPointer.read`] takes -> scores
        `(batch, length, num_fret_tokens)`.
        """
        return (1 + self.gate(hidden_states)) * self.read(fret_logits, attention_mask, time_ids)

    def read(
        self, fret_logits: torch.Tensor, attention_mask: torch.Tensor | None, time_ids: torch.LongTensor
    ) -> torch.Tensor:
        """
        `fret_logits` `(batch, positions, num_fret_tokens)`, their mask `(batch, positions)` and current times
        `time_ids` `(batch, length)` in bins -> the head's logits then, `(batch, length, num_fret_tokens)`.
        """
        if attention_mask is None:
            count = torch.full_like(time_ids[:, :1], fret_logits.shape[1])
        else:
            count = attention_mask.long().sum(dim=1, keepdim=True)
        positions = self.positions(time_ids, count)
        return fret_logits.gather(1, positions[..., None].expand(-1, -1, fret_logits.shape[2]))

    def positions(self, time_ids: torch.LongTensor, count: torch.LongTensor) -> torch.LongTensor:
        """Which of `count` encoder positions is read for an onset at `time_ids`, in bins."""
        # The first one behind the onset: what is struck is heard better after the attack than within it.
        return torch.minimum((time_ids * self.positions_per_bin).long() + 1, count - 1).clamp(min=0)


class TabHeroPitchHead(nn.Module):
    """
    Names the pitches of notes by their spectra in bins of a third of a semitone.

    Convolutions along frequency, of which the first one sees each bin beside those of its harmonics ([Bittner et al.,
    2017](https://doi.org/10.5281/zenodo.1417937)): what is learned of one pitch is known of all. The spectrum before a
    note stands beside its own, to tell what is struck from what rings on.
    """

    BINS = 440 * 2 ** (-45 / 12), 252, 36
    """The lowest bin in Hz, which is C1, how many there are, and how many are an octave."""

    LOWEST_PITCH, NUM_PITCHES = 24, 72
    """As MIDI has them: C1 to B6."""

    HARMONICS = 0.5, 1, 2, 3, 4, 5, 6, 8
    WIDTH = 24
    SEEN_BINS = 5, 25, 73, 13
    """Of each convolution, on both sides together; the third one, which sees an octave on each, is depthwise."""

    def __init__(self, config: TabHeroConfig):
        super().__init__()
        self.shifts = [round(self.BINS[2] * math.log2(harmonic)) for harmonic in self.HARMONICS]
        self.lowest, self.highest = -min(self.shifts), max(self.shifts)
        self.harmonics = self._convolution(3 * len(self.shifts), self.SEEN_BINS[0])
        self.instrument_embedding = nn.Embedding(config.num_instruments, self.WIDTH)
        self.layers = nn.ModuleList(
            [
                self._convolution(self.WIDTH, self.SEEN_BINS[1]),
                self._convolution(self.WIDTH, self.SEEN_BINS[2], groups=self.WIDTH),
                self._convolution(self.WIDTH, self.SEEN_BINS[3]),
            ]
        )
        self.out = nn.Conv2d(self.WIDTH, 1, kernel_size=1)

    def _convolution(self, channels: int, bins: int, groups: int = 1) -> nn.Conv2d:
        # Of images one pixel high: unlike those of one dimension they run with channels last, several times as fast.
        return nn.Conv2d(channels, self.WIDTH, (1, bins), padding=(0, bins // 2), groups=groups)

    def forward(self, spectra: torch.Tensor, instrument_ids: torch.LongTensor) -> torch.Tensor:
        """
        Spectra of notes and of what sounds before each, `(notes, 2, bins)`, as the logarithm of 1 and 4 times their
        share of the song's mean magnitude, and what plays them, `(notes,)` -> logits `(notes, NUM_PITCHES)`.
        """
        note, before = spectra.unbind(dim=1)
        heard = torch.stack([note, before, (note - before).clamp(min=0)], dim=1)
        heard = heard - heard.mean(dim=(1, 2), keepdim=True)
        bins = heard.shape[2]
        heard = F.pad(heard, (self.lowest, self.highest))
        beside = [heard[..., self.lowest + shift :][..., :bins] for shift in self.shifts]
        image = torch.cat(beside, dim=1)[:, :, None].contiguous(memory_format=torch.channels_last)
        states = F.gelu(self.harmonics(image) + self.instrument_embedding(instrument_ids)[..., None, None])
        for layer in self.layers:
            states = states + F.gelu(layer(states))
        return self.out(states)[:, 0, 0, :: self.BINS[2] // 12][:, : self.NUM_PITCHES]


class TabHeroFingeringLayer(nn.Module):
    """
    Notes attend to each other, however they stand in time; then each for itself.

    Which of them a note attends to, and what it makes of them, is told by the intervals between them, as by distances
    in [Shaw et al., 2018](https://huggingface.co/papers/1803.02155).
    """

    def __init__(self, width: int, heads: int, intervals: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.interval_keys = nn.Parameter(torch.zeros(heads, width // heads, intervals))
        self.interval_values = nn.Parameter(torch.zeros(heads, intervals, width // heads))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self,
        states: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        between: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """
        `states` `(batch, notes, width)`, `cos` and `sin` `(batch, 1, notes, head_dim)`, `between` `(batch, notes,
        notes, intervals)`, `mask` `(batch, 1, 1, notes)` -> `(batch, notes, width)`.
        """
        projected = self.query_key_value(self.attention_norm(states)).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        asked = (query @ self.interval_keys).transpose(1, 2)
        query, key = (each * cos + rotate_half(each) * sin for each in (query, key))
        scores = query @ key.transpose(2, 3) + (asked @ between.transpose(2, 3)).transpose(1, 2)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = (scores * query.shape[-1] ** -0.5).softmax(dim=-1)
        told = (weights.transpose(1, 2) @ between).transpose(1, 2)
        attended = weights @ value + told @ self.interval_values
        states = states + self.output(attended.transpose(1, 2).flatten(2))
        return states + self.down(F.gelu(self.up(self.mlp_norm(states))))


class TabHeroFingeringHead(nn.Module):
    """
    Says on which frets each note of a chart is, told how likely all of them have which pitches.

    A charter puts a melody on five lanes by its contour, and riffs that come back on the same ones. So a note is
    described by intervals: how often what is played in the beats around it is so many semitones higher or lower, and
    the same for its neighbours. What is learned in one key is known in all. Notes attend to each other by the
    intervals between them, and with rotary embeddings ([Su et al., 2021](https://huggingface.co/papers/2104.09864)) of
    their times in beats.
    """

    WIDTH, LAYERS, HEADS = 96, 3, 4

    SEMITONES = 24
    """The largest interval that is told, up and down."""

    AROUND = 2, 4, 8, 16
    """Beats on both sides of a note in which intervals are counted."""

    MOST_COUNTED = 8
    """More notes of an interval than this are as many."""

    NEIGHBOURS = -3, -2, -1, 1, 2, 3

    PERIODS = 0.6, 200.0
    """Of the rotary embeddings, the shortest and the longest, in beats."""

    BARS = 1, 2, 4
    """Beats of the cycles in which a note's place is told."""

    GAPS = 0.03, 5.0
    """The shortest and longest time between two notes that is told, in seconds."""

    DOUBT = 0.01
    """Added to how likely each chord shape is."""

    def __init__(self, config: TabHeroConfig):
        super().__init__()
        kinds, intervals = 2 * len(self.AROUND) + len(self.NEIGHBOURS), 2 * self.SEMITONES + 1
        self.intervals = nn.Linear(kinds * intervals, self.WIDTH)
        self.shapes = nn.Linear(max(CHORD_SHAPES) + 1, self.WIDTH)
        self.places = nn.Linear(2 + 2 * len(self.BARS), self.WIDTH)
        self.difficulty_embedding = nn.Embedding(config.num_difficulties, self.WIDTH)
        self.instrument_embedding = nn.Embedding(config.num_instruments, self.WIDTH)
        self.layers = nn.ModuleList(
            [TabHeroFingeringLayer(self.WIDTH, self.HEADS, intervals) for _ in range(self.LAYERS)]
        )
        self.norm = nn.RMSNorm(self.WIDTH)
        self.out = nn.Linear(self.WIDTH, config.num_fret_tokens)

    def forward(
        self,
        pitches: torch.FloatTensor,
        frets: torch.FloatTensor,
        seconds: torch.FloatTensor,
        beats: torch.FloatTensor,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
        attention_mask: torch.BoolTensor | None = None,
    ) -> torch.Tensor:
        """
        Of the notes of charts, ascending in time: how likely they have which pitch `(batch, notes, pitches)` and, as
        heard by the fret head, which frets `(batch, notes, num_fret_tokens)`, when they are in seconds and in beats
        `(batch, notes)`; difficulties and instruments `(batch,)`; `attention_mask` `(batch, notes)` with 0 for
        padding -> logits of the `FRET` tokens `(batch, notes, num_fret_tokens)`.
        """
        dtype = self.out.weight.dtype
        shape_of_frets = torch.tensor(CHORD_SHAPES[: frets.shape[-1]], device=frets.device)
        shapes = frets @ F.one_hot(shape_of_frets, self.shapes.in_features).to(frets.dtype)
        states = (
            self.intervals(self._intervals(pitches, beats, attention_mask).to(dtype))
            + self.shapes((shapes + self.DOUBT).log().to(dtype))
            + self.places(self._places(seconds, beats, attention_mask).to(dtype))
            + (self.difficulty_embedding(difficulty_ids) + self.instrument_embedding(instrument_ids))[:, None]
        )
        shortest, longest = map(math.log10, self.PERIODS)
        periods = torch.logspace(shortest, longest, self.WIDTH // self.HEADS // 2, device=beats.device)
        angles = (2 * math.pi * beats[:, None, :, None] / periods).repeat(1, 1, 1, 2)
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None]
        between = self._between(pitches).to(dtype)
        for layer in self.layers:
            states = layer(states, cos, sin, between, mask)
        return self.out(self.norm(states))

    def _between(self, pitches: torch.Tensor) -> torch.Tensor:
        """How likely each note is so many semitones below each other one, `(batch, notes, notes, intervals)`."""
        shifted = F.pad(pitches, (self.SEMITONES, self.SEMITONES)).unfold(-1, pitches.shape[-1], 1)
        return torch.einsum("bip,bjkp->bijk", pitches, shifted)

    def _intervals(self, pitches: torch.Tensor, beats: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """How many notes around each, and how likely each neighbour, are so many semitones away."""
        if mask is not None:
            pitches = pitches * mask[..., None]
        distance = (beats[:, :, None] - beats[:, None]).abs()
        others = []
        for reach in self.AROUND:
            counts = (distance <= reach).to(pitches.dtype) @ pitches
            others += [counts.clamp(max=self.MOST_COUNTED), counts.clamp(max=1)]
        for step in self.NEIGHBOURS:
            others.append(F.pad(pitches, (0, 0, max(-step, 0), max(step, 0)))[:, max(step, 0) :][:, : beats.shape[1]])
        # Of a note of pitch p, and others of p + k: sums over p are a correlation.
        size = 2 * pitches.shape[-1]
        spectrum = torch.fft.rfft(pitches, size).conj()
        told = []
        for other in others:
            correlated = torch.fft.irfft(spectrum * torch.fft.rfft(other, size), size)
            told.append(correlated.roll(self.SEMITONES, dims=-1)[..., : 2 * self.SEMITONES + 1])
        return torch.cat(told, dim=-1).clamp(min=0).log1p()

    def _places(self, seconds: torch.Tensor, beats: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The time since the note before and to the next one, and the place in beats and bars."""
        if mask is not None:
            seconds = seconds.masked_fill(~mask.bool(), seconds.max() + self.GAPS[1])
        gaps = F.pad(seconds.diff(dim=1).clamp(*self.GAPS), (1, 1), value=self.GAPS[1]).log()
        turns = [2 * math.pi * beats / bar for bar in self.BARS]
        told = [gaps[:, :-1], gaps[:, 1:]]
        return torch.stack([*told, *(wave(turn) for turn in turns for wave in (torch.sin, torch.cos))], dim=-1)


@auto_docstring
class TabHeroPreTrainedModel(PreTrainedModel):
    config: TabHeroConfig
    base_model_prefix = "model"
    main_input_name = "input_features"
    input_modalities = "audio"
    supports_gradient_checkpointing = True
    _no_split_modules = ["TabHeroConvStage", "TabHeroEncoderLayer", "TabHeroDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _supports_flash_attn = False  # its padding of keys is taken for that of queries where these are others
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, TabHeroPointerGate):
            init.zeros_(module.weight)
        elif isinstance(module, TabHeroFingeringLayer):
            init.zeros_(module.interval_keys)
            init.zeros_(module.interval_values)
        elif isinstance(module, nn.Embedding):
            # Tied to the output: logits start with the same small spread at every width, so that the loss starts at
            # that of chance.
            init.normal_(module.weight, std=min(self.config.initializer_range, 0.32 * module.embedding_dim**-0.5))
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        else:
            super()._init_weights(module)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs):
        if self._auto_class is not None:
            # The code saved beside the weights serves both: name both, whichever of them is saved.
            module = self.__module__.rsplit(".", 1)[-1]
            self.config.auto_map = {
                **(getattr(self.config, "auto_map", None) or {}),
                "AutoModel": f"{module}.{TabHeroModel.__name__}",
                "AutoModelForSpeechSeq2Seq": f"{module}.{TabHeroForConditionalGeneration.__name__}",
            }
        super().save_pretrained(save_directory, **kwargs)

    def _get_feat_extract_output_lengths(self, input_lengths: torch.LongTensor) -> torch.LongTensor:
        """Mel frames -> encoder positions."""
        for _ in range(int(math.log2(self.config.downsample_factor))):
            input_lengths = (input_lengths + 1) // 2
        return input_lengths


class TabHeroAudioLayers(TabHeroPreTrainedModel):
    """Mel frames to encoder positions: convolutions that shorten time, then optional self-attention layers."""

    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        width = config.encoder_hidden_size
        self.input_proj = nn.Linear(config.num_mel_bins, width)
        self.input_norm = nn.LayerNorm(width)
        self.conv_stages = nn.ModuleList(
            [TabHeroConvStage(width, depthwise=stage > 0) for stage in range(int(math.log2(config.downsample_factor)))]
        )
        self.conv_out = nn.Conv1d(width, width, kernel_size=3, padding=1)
        self.rotary_emb = TabHeroRotaryEmbedding(config) if config.encoder_layers else None
        self.layers = nn.ModuleList([TabHeroEncoderLayer(config, idx) for idx in range(config.encoder_layers)])
        self.output_norm = nn.LayerNorm(width)
        self.gradient_checkpointing = False

    def hear(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        What is the same for every difficulty and instrument: mel frames and their mask -> hidden states `(batch,
        positions, encoder_hidden_size)` and their mask `(batch, positions)`.
        """
        if input_features.ndim != 3 or input_features.shape[-1] != self.config.num_mel_bins:
            raise ValueError(
                f"`input_features` must have shape (batch, frames, {self.config.num_mel_bins}), "
                f"got {tuple(input_features.shape)}"
            )
        hidden_states = self.input_norm(self.input_proj(input_features.to(self.input_proj.weight.dtype)))
        hidden_states = hidden_states.transpose(1, 2)  # (batch, width, frames)
        mask = attention_mask[:, None].to(hidden_states.dtype) if attention_mask is not None else None
        for stage in self.conv_stages:
            hidden_states, mask = stage(hidden_states, mask)
        if mask is not None:
            hidden_states = hidden_states * mask
            attention_mask = mask[:, 0].to(attention_mask.dtype)
        hidden_states = F.gelu(self.conv_out(hidden_states)).transpose(1, 2)  # (batch, positions, width)

        if self.layers:
            layer_mask = create_bidirectional_mask(
                config=self.config, inputs_embeds=hidden_states, attention_mask=attention_mask
            )
            positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)[None]
            position_embeddings = self.rotary_emb(hidden_states, position_ids=positions)
            for layer in self.layers:
                hidden_states = layer(hidden_states, layer_mask, position_embeddings, **kwargs)
        return self.output_norm(hidden_states), attention_mask


class TabHeroFretEncoder(TabHeroAudioLayers):
    """
    A second encoder, which hears frets for the fret pointer alone.

    Human charters follow the contour of a melody, and so does what an encoder learns of their charts. Where lanes are
    those of absolute pitches, another one has to tell what is struck. A model of its own to transformers, so that its
    layers are not among the encoder's `hidden_states` and `attentions`.
    """

    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        self.fret_head = TabHeroFretHead(config)
        self.post_init()

    def forward(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.Tensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """What [`TabHeroEncoder`] takes -> fret logits `(batch, positions, num_fret_tokens)`."""
        hidden_states, _ = self.hear(input_features, attention_mask, **kwargs)
        return self.fret_head(hidden_states, difficulty_ids, instrument_ids)

    def hear_for_charts(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.Tensor | None,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
    ) -> torch.Tensor:
        """Fret logits for each of `(charts,)` in turn: `(charts, batch, positions, num_fret_tokens)`."""
        hidden_states, _ = self.hear(input_features, attention_mask)
        charts = _rows_of_charts(difficulty_ids, instrument_ids, len(hidden_states))
        return torch.stack([self.fret_head(hidden_states, *chart) for chart in charts])


class TabHeroEncoder(TabHeroAudioLayers):
    """What the decoder attends to, and when notes are struck and on which frets, as its heads hear it."""

    _can_record_outputs = {
        "hidden_states": TabHeroEncoderLayer,
        "attentions": TabHeroAttention,
    }

    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        width = config.encoder_hidden_size
        self.output_proj = nn.Linear(width, config.hidden_size) if width != config.hidden_size else None
        self.onset_head = TabHeroOnsetHead(config) if config.onset_head else None
        self.fret_head = TabHeroFretHead(config) if config.fret_pointer else None
        self.fret_encoder = TabHeroFretEncoder(config) if config.fret_encoder else None
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.Tensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | TabHeroEncoderOutput:
        r"""
        Args:
            input_features (`torch.FloatTensor` of shape `(batch_size, frames, num_mel_bins)`):
                Log-mel windows, see [`TabHeroFeatureExtractor`].
            attention_mask (`torch.Tensor` of shape `(batch_size, frames)`, *optional*):
                1 for frames that hold audio, 0 for padding.
            difficulty_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Difficulty the onset and fret heads are asked for.
            instrument_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Instrument the onset and fret heads are asked for.
        """
        hidden_states, positions_mask = self.hear(input_features, attention_mask, **kwargs)
        onset_logits, fret_logits = self.listen(hidden_states, positions_mask, difficulty_ids, instrument_ids)
        fret_encoder_logits = None
        if self.fret_encoder is not None:
            fret_encoder_logits = self.fret_encoder(
                input_features, attention_mask, difficulty_ids, instrument_ids, **kwargs
            )
        if self.output_proj is not None:
            hidden_states = self.output_proj(hidden_states)
        return TabHeroEncoderOutput(
            last_hidden_state=hidden_states,
            attention_mask=positions_mask,
            onset_logits=onset_logits,
            fret_logits=fret_logits,
            fret_encoder_logits=fret_encoder_logits,
        )

    def listen(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Onset and fret logits, see [`TabHeroEncoderOutput`], of what [`hear`] gives."""
        onset_logits = fret_logits = None
        if self.onset_head is not None:
            onset_logits = self.onset_head(hidden_states, difficulty_ids, instrument_ids, attention_mask)
        if self.fret_head is not None:
            fret_logits = self.fret_head(hidden_states, difficulty_ids, instrument_ids)
        return onset_logits, fret_logits

    def listen_for_charts(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """[`listen`] for each of `(charts,)` in turn: logits `(charts, batch, ...)`."""
        charts = _rows_of_charts(difficulty_ids, instrument_ids, len(hidden_states))
        listened = [self.listen(hidden_states, attention_mask, *chart) for chart in charts]
        return tuple(None if logits[0] is None else torch.stack(logits) for logits in zip(*listened, strict=True))


def _rows_of_charts(
    difficulty_ids: torch.LongTensor, instrument_ids: torch.LongTensor, rows: int
) -> list[tuple[torch.LongTensor, torch.LongTensor]]:
    """Difficulty and instrument of each of `(charts,)`, both `(rows,)`."""
    charts = zip(difficulty_ids, instrument_ids, strict=True)
    return [(difficulty.expand(rows), instrument.expand(rows)) for difficulty, instrument in charts]


class TabHeroDecoder(TabHeroPreTrainedModel):
    """Causal decoder over note tokens, told difficulty and instrument at every position."""

    main_input_name = "input_ids"
    input_modalities = "text"
    _can_record_outputs = {
        "hidden_states": TabHeroDecoderLayer,
        "attentions": OutputRecorder(TabHeroAttention, index=1, layer_name="self_attn"),
        "cross_attentions": OutputRecorder(TabHeroAttention, index=1, layer_name="encoder_attn"),
    }

    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.difficulty_embedding = nn.Embedding(config.num_difficulties, config.hidden_size)
        self.instrument_embedding = nn.Embedding(config.num_instruments, config.hidden_size)
        self.layers = nn.ModuleList([TabHeroDecoderLayer(config, idx) for idx in range(config.num_hidden_layers)])
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = TabHeroRotaryEmbedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        time_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPastAndCrossAttentions:
        r"""
        Args:
            time_ids (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`):
                The current time at every position, in time bins; needed for time-aligned cross-attention.
            encoder_hidden_states (`torch.Tensor` of shape `(batch_size, encoder_sequence_length, hidden_size)`):
                The encoder's last hidden state.
            encoder_attention_mask (`torch.Tensor` of shape `(batch_size, encoder_sequence_length)`, *optional*):
                1 for encoder positions that hold audio, 0 for padding.
            difficulty_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Difficulty asked for.
            instrument_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Instrument asked for.
        """
        if (input_ids is None) ^ (inputs_embeds is not None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)

        hidden_states = add_condition(inputs_embeds, self.difficulty_embedding, difficulty_ids)
        hidden_states = add_condition(hidden_states, self.instrument_embedding, instrument_ids)
        hidden_states = self.dropout(hidden_states)

        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None and not isinstance(past_key_values, EncoderDecoderCache):
            past_key_values = EncoderDecoderCache(past_key_values, DynamicCache(config=self.config))
        if position_ids is None:
            past_seen_tokens = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device) + past_seen_tokens
            position_ids = position_ids.unsqueeze(0)

        causal_mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        encoder_attention_mask = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=encoder_attention_mask,
            encoder_hidden_states=encoder_hidden_states,
        )
        position_embeddings = self.rotary_emb(hidden_states, position_ids=position_ids)
        time_embeddings = encoder_time_embeddings = None
        if self.config.time_aligned_cross_attention and encoder_hidden_states is not None:
            # Both in encoder positions: one for the time that each token was written at, one for each position.
            positions_per_bin = self.config.frames_per_time_step / self.config.downsample_factor
            time_embeddings = self.rotary_emb(hidden_states, position_ids=time_ids * positions_per_bin)
            encoder_positions = torch.arange(encoder_hidden_states.shape[1], device=hidden_states.device)[None]
            encoder_time_embeddings = self.rotary_emb(hidden_states, position_ids=encoder_positions)

        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                causal_mask,
                encoder_hidden_states,  # positional for gradient checkpointing
                encoder_attention_mask,
                position_embeddings,
                time_embeddings,
                encoder_time_embeddings,
                past_key_values=past_key_values,
                **kwargs,
            )
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values if use_cache else None
        )


@auto_docstring
class TabHeroModel(TabHeroPreTrainedModel):
    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        self.encoder = TabHeroEncoder(config)
        self.decoder = TabHeroDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module):
        self.decoder.embed_tokens = value

    def encode(
        self,
        input_features: torch.FloatTensor | None,
        attention_mask: torch.LongTensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        encoder_outputs: TabHeroEncoderOutput | tuple[torch.FloatTensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TabHeroEncoderOutput:
        """The encoder's output, computed unless it is there already."""
        if encoder_outputs is None:
            return self.encoder(
                input_features,
                attention_mask=attention_mask,
                difficulty_ids=difficulty_ids,
                instrument_ids=instrument_ids,
                **kwargs,
            )
        if isinstance(encoder_outputs, TabHeroEncoderOutput):
            return encoder_outputs
        if isinstance(encoder_outputs, ModelOutput):
            return TabHeroEncoderOutput(**encoder_outputs)
        # What is `None` is left out of the encoder's own tuples: of a shorter one nobody knows what is what.
        if len(encoder_outputs) not in (1, len(fields(TabHeroEncoderOutput))):
            raise ValueError("of an encoder's output as a tuple, pass all fields or the last hidden state alone")
        return TabHeroEncoderOutput(*encoder_outputs)

    def current_times(
        self, decoder_input_ids: torch.LongTensor | None, past_key_values: Cache | None = None
    ) -> torch.LongTensor | None:
        """
        The current time at every position, `(batch, length)` in time bins: all `TIME` values up to and including it.
        `None` if the model does not need it.
        """
        config = self.config
        if not (config.time_aligned_cross_attention or config.onset_pointer or config.fret_pointer):
            return None
        if decoder_input_ids is None:
            raise ValueError("`decoder_inputs_embeds` do not tell the current time: pass `decoder_time_ids` too")
        times = token_time_bins(decoder_input_ids, config.time_tokens).cumsum(dim=1)
        if past_key_values is not None and past_key_values.get_seq_length() > 0:
            length, elapsed = getattr(past_key_values, "elapsed_time_bins", (None, None))
            if length != int(past_key_values.get_seq_length()):
                raise ValueError("a cache filled elsewhere does not know the current time: pass `decoder_time_ids`")
            times = times + elapsed[:, None]
        return times

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_features: torch.FloatTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.LongTensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        encoder_outputs: TabHeroEncoderOutput | tuple[torch.FloatTensor] | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        decoder_position_ids: torch.LongTensor | None = None,
        decoder_time_ids: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | Seq2SeqModelOutput:
        r"""
        input_features (`torch.FloatTensor` of shape `(batch_size, frames, num_mel_bins)`):
            Log-mel windows, see [`TabHeroFeatureExtractor`].
        attention_mask (`torch.LongTensor` of shape `(batch_size, frames)`, *optional*):
            1 for frames that hold audio, 0 for padding.
        difficulty_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
            Difficulty to chart: 0 easy, 1 medium, 2 hard, 3 expert. Unconditioned when unset.
        instrument_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
            Instrument to chart: 0 lead, 1 bass, 2 rhythm, 3 keys. Unconditioned when unset.
        decoder_position_ids (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`, *optional*):
            Positions of the decoder tokens. Counted from the cache's length when unset.
        decoder_time_ids (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`, *optional*):
            The current time at every decoder position, in time bins since the window's start. Added up from
            `decoder_input_ids` when unset; needed with `decoder_inputs_embeds`, and with a cache that was cropped, or
            filled by a compiled model, or whose rows are not those that filled it.
        """
        encoder_outputs = self.encode(
            input_features, attention_mask, difficulty_ids, instrument_ids, encoder_outputs, **kwargs
        )
        if decoder_time_ids is None:
            decoder_time_ids = self.current_times(decoder_input_ids, past_key_values)

        decoder_outputs = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            position_ids=decoder_position_ids,
            time_ids=decoder_time_ids,
            encoder_hidden_states=encoder_outputs.last_hidden_state,
            encoder_attention_mask=encoder_outputs.attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            difficulty_ids=difficulty_ids,
            instrument_ids=instrument_ids,
            **kwargs,
        )
        past_key_values = decoder_outputs.past_key_values
        if past_key_values is not None and decoder_time_ids is not None and not torch.compiler.is_compiling():
            past_key_values.elapsed_time_bins = int(past_key_values.get_seq_length()), decoder_time_ids[:, -1]

        return Seq2SeqModelOutput(
            last_hidden_state=decoder_outputs.last_hidden_state,
            past_key_values=past_key_values,
            decoder_hidden_states=decoder_outputs.hidden_states,
            decoder_attentions=decoder_outputs.attentions,
            cross_attentions=decoder_outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Without dropout; each module is in the mode that it was in afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def shift_tokens_right(labels: torch.Tensor, pad_token_id: int, decoder_start_token_id: int) -> torch.Tensor:
    """`labels` one position to the right behind the start token, with ignored labels (-100) as padding."""
    shifted = torch.cat([torch.full_like(labels[:, :1], decoder_start_token_id), labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == -100, pad_token_id)


@auto_docstring(
    custom_intro="""
    The Tab Hero model with a language-modelling head over note tokens, tied to their embedding.
    """
)
class TabHeroForConditionalGeneration(TabHeroPreTrainedModel, TabHeroGenerationMixin):
    _keys_to_ignore_on_load_missing = [r"fret_pointer\.gate\.weight"]  # of a model from before it: as it starts
    _tied_weights_keys = {"lm_head.weight": "model.decoder.embed_tokens.weight"}

    def __init__(self, config: TabHeroConfig):
        super().__init__(config)
        self.model = TabHeroModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.onset_pointer = TabHeroOnsetPointer(config) if config.onset_pointer else None
        self.fret_pointer = TabHeroFretPointer(config) if config.fret_pointer else None
        self.pitch_head = TabHeroPitchHead(config) if config.pitch_head else None
        self.fingering_head = TabHeroFingeringHead(config) if config.fingering_head else None
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module):
        self.lm_head = new_embeddings

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_features: torch.FloatTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.LongTensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        encoder_outputs: TabHeroEncoderOutput | tuple[torch.FloatTensor] | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        decoder_position_ids: torch.LongTensor | None = None,
        decoder_time_ids: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | Seq2SeqLMOutput:
        r"""
        input_features (`torch.FloatTensor` of shape `(batch_size, frames, num_mel_bins)`):
            Log-mel windows, see [`TabHeroFeatureExtractor`].
        attention_mask (`torch.LongTensor` of shape `(batch_size, frames)`, *optional*):
            1 for frames that hold audio, 0 for padding.
        difficulty_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
            Difficulty to chart: 0 easy, 1 medium, 2 hard, 3 expert. Unconditioned when unset.
        instrument_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
            Instrument to chart: 0 lead, 1 bass, 2 rhythm, 3 keys. Unconditioned when unset.
        decoder_position_ids (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`, *optional*):
            Positions of the decoder tokens. Counted from the cache's length when unset.
        decoder_time_ids (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`, *optional*):
            The current time at every decoder position, in time bins since the window's start. Added up from
            `decoder_input_ids` when unset; needed with `decoder_inputs_embeds`.
        labels (`torch.LongTensor` of shape `(batch_size, target_sequence_length)`, *optional*):
            Targets aligned with the logits: the window's tokens without `<BOS>`, then `<EOS>`; -100 is ignored.
            `decoder_input_ids` are made from them when unset. The loss is the token loss plus
            `listening_loss_weight` times the losses of the onset and fret heads and of the fret encoder plus
            `lane_loss_weight` times that of single lanes, all for each target token.

        Example:

        ```python
        >>> from tabhero_hf import TabHeroForConditionalGeneration, TabHeroProcessor, bundled_checkpoint

        >>> model = TabHeroForConditionalGeneration.from_pretrained(bundled_checkpoint())
        >>> processor = TabHeroProcessor.from_pretrained(bundled_checkpoint())
        >>> inputs = processor(audio=waveform, sampling_rate=22050, return_tensors="pt")
        >>> difficulty = torch.full((len(inputs.input_features),), 3)
        >>> ids = model.generate(**inputs, difficulty_ids=difficulty, instrument_ids=0 * difficulty)
        ```
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = shift_tokens_right(
                labels, self.config.pad_token_id, self.config.decoder_start_token_id
            )

        encoder_outputs = self.model.encode(
            input_features, attention_mask, difficulty_ids, instrument_ids, encoder_outputs, **kwargs
        )
        if decoder_time_ids is None:
            decoder_time_ids = self.model.current_times(decoder_input_ids, past_key_values)
        outputs: Seq2SeqModelOutput = self.model(
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            difficulty_ids=difficulty_ids,
            instrument_ids=instrument_ids,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            decoder_inputs_embeds=decoder_inputs_embeds,
            decoder_position_ids=decoder_position_ids,
            decoder_time_ids=decoder_time_ids,
            use_cache=use_cache,
            **kwargs,
        )
        onset_tables = None
        if self.onset_pointer is not None and encoder_outputs.onset_logits is not None:
            onset_tables = self.onset_pointer.tables(encoder_outputs.onset_logits)
        logits = self.token_logits(
            outputs.last_hidden_state,
            decoder_time_ids,
            onset_tables,
            encoder_outputs.pointer_logits,
            encoder_outputs.attention_mask,
        )

        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=None,
                shift_labels=labels.contiguous(),
                vocab_size=self.config.vocab_size,
                **kwargs,
            )
            if self.config.lane_loss_weight:
                lane_loss = self.lane_loss(logits, labels, kwargs.get("num_items_in_batch"))
                loss = loss + self.config.lane_loss_weight * lane_loss
            if self.config.listening_loss_weight:
                listening_loss = self.listening_loss(encoder_outputs, labels, kwargs.get("num_items_in_batch"))
                loss = loss + self.config.listening_loss_weight * listening_loss

        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            decoder_attentions=outputs.decoder_attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
            encoder_attentions=outputs.encoder_attentions,
        )

    def token_logits(
        self,
        hidden_states: torch.Tensor,
        time_ids: torch.LongTensor | None,
        onset_tables: tuple[torch.Tensor, torch.Tensor] | None,
        fret_logits: torch.Tensor | None,
        encoder_attention_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """
        The decoder's last hidden states `(batch, length, hidden)` and current times `(batch, length)` -> logits
        `(batch, length, vocab_size)`, with the pointers' scores into what the encoder heard.
        """
        logits = self.lm_head(hidden_states)
        if onset_tables is not None:
            time_scores = self.onset_pointer(hidden_states, onset_tables, time_ids)
            logits = logits + self._to_vocabulary(time_scores, self.config.time_tokens)
        if self.fret_pointer is not None and fret_logits is not None:
            fret_scores = self.fret_pointer(hidden_states, fret_logits, encoder_attention_mask, time_ids)
            logits = logits + self._to_vocabulary(fret_scores, self.config.fret_tokens)
        return logits

    def _to_vocabulary(self, scores: torch.Tensor, tokens: range) -> torch.Tensor:
        """Scores of a group of tokens `(batch, length, tokens)` as `(batch, length, vocab_size)`, 0 for all others."""
        return F.pad(scores, (tokens.start, self.config.vocab_size - tokens.stop))

    def generate_windows(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.LongTensor | None = None,
        difficulty_ids: torch.LongTensor | None = None,
        instrument_ids: torch.LongTensor | None = None,
        max_new_tokens: int | None = None,
        batch_size: int | None = None,
        monitor_progress: Callable[[int, int], None] | None = None,
        onsets: torch.BoolTensor | None = None,
        frets: torch.LongTensor | None = None,
    ) -> torch.LongTensor:
        r"""
        Greedy decoding of a whole song at once: the ids that `generate()` writes for each chart of each window alone,
        many times as fast.

        Args:
            input_features (`torch.FloatTensor` of shape `(windows, frames, num_mel_bins)`):
                Log-mel windows, see [`TabHeroFeatureExtractor`].
            attention_mask (`torch.LongTensor` of shape `(windows, frames)`, *optional*):
                1 for frames that hold audio, 0 for padding.
            difficulty_ids (`torch.LongTensor` of shape `(charts,)`):
                The difficulty of each chart asked for.
            instrument_ids (`torch.LongTensor` of shape `(charts,)`):
                The instrument of each chart asked for.
            max_new_tokens (`int`, *optional*):
                Most tokens of a window beside `<BOS>`. That of the generation config when unset.
            batch_size (`int`, *optional*):
                Charts of windows decoded at once, which bounds the memory. As many as half of the free memory holds,
                and at most 64, when unset.
            monitor_progress (`Callable[[int, int], None]`, *optional*):
                Called after each batch with how many of how many charts of windows are decoded.
            onsets (`torch.BoolTensor` of shape `(charts, windows, bins)`, *optional*):
                The 10 ms of each window in which a note begins, where that is known, see
                [`TabHeroToldNotesLogitsProcessor`], which does for `generate()` what this does here.
            frets (`torch.LongTensor` of shape `(charts, windows, bins)`, *optional*):
                Which of the `FRET` tokens, from 0 on, each of these notes has, where that is known too.

        Returns:
            `torch.LongTensor` of shape `(charts, windows, length)`: token ids with `<BOS>` and `<EOS>`, then padding.
        """
        if not has_note_vocabulary(self.config):
            raise ValueError("the vocabulary is not that of notes: use `generate()`")
        if difficulty_ids is None or instrument_ids is None or not 0 < len(difficulty_ids) == len(instrument_ids):
            raise ValueError("`difficulty_ids` and `instrument_ids` must name one each for every chart asked for")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}")
        self.check_conditions(difficulty_ids=difficulty_ids, instrument_ids=instrument_ids)
        if max_new_tokens is None:
            config = self.generation_config
            max_new_tokens = config.max_new_tokens or (config.max_length or 20) - 1
        window_bins = self.window_bins(input_features, {"attention_mask": attention_mask})
        shape = len(difficulty_ids), len(input_features), int(window_bins.max())
        if onsets is not None and (onsets.shape[:-1] != shape[:-1] or onsets.shape[-1] < shape[-1]):
            raise ValueError(f"`onsets` must be of shape {shape} at least, not {tuple(onsets.shape)}")
        check_told_notes(onsets, frets)
        with _in_eval_mode(self):
            return decode_windows(
                self,
                input_features,
                attention_mask,
                difficulty_ids,
                instrument_ids,
                window_bins,
                max_length=max_new_tokens + 1,
                batch_size=batch_size,
                monitor_progress=monitor_progress,
                onsets=onsets,
                frets=frets,
            )

    @torch.no_grad()
    def listen(
        self,
        input_features: torch.FloatTensor,
        attention_mask: torch.LongTensor | None,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
        batch_size: int = 16,
    ) -> tuple[torch.FloatTensor | None, torch.HalfTensor | None]:
        r"""
        What the encoder's heads alone hear in a song's windows, for each chart asked for; they know nothing of what is
        written.

        Args:
            input_features, attention_mask, difficulty_ids, instrument_ids:
                As of [`~TabHeroForConditionalGeneration.generate_windows`].
            batch_size (`int`, defaults to 16):
                Windows heard at once.

        Returns:
            How likely an onset is in each 10 ms, `(charts, windows, bins)`, and how likely each of the `FRET` tokens
            is at each encoder position, half precision of `(charts, windows, positions, num_fret_tokens)`. `None` for
            what the model has no head for.
        """
        encoder, onsets, frets = self.model.encoder, [], []
        with _in_eval_mode(self):
            for start in range(0, len(input_features), batch_size):
                windows = slice(start, start + batch_size)
                mask = None if attention_mask is None else attention_mask[windows].to(self.device)
                states, mask = encoder.hear(input_features[windows].to(self.device), mask)
                onset_logits, fret_logits = encoder.listen_for_charts(
                    states, mask, difficulty_ids.to(self.device), instrument_ids.to(self.device)
                )
                if onset_logits is not None:
                    onsets.append(onset_logits.float().sigmoid())
                if fret_logits is not None:
                    frets.append(fret_logits.float().softmax(dim=-1).half())  # of a long song there are many
        return torch.cat(onsets, dim=1) if onsets else None, torch.cat(frets, dim=1) if frets else None

    @torch.no_grad()
    def tell_pitches(self, spectra: torch.Tensor, instrument: int, batch_size: int = 64) -> torch.Tensor:
        r"""
        How likely notes have each pitch, by their spectra.

        Args:
            spectra (`torch.Tensor` of shape `(notes, 2, bins)`):
                Of the notes and of what sounds before each, in bins of a third of a semitone from C1 on, as
                `tabhero_hf.audio.note_spectra` measures them.
            instrument (`int`):
                What plays them: 0 lead, 1 bass, 2 rhythm, 3 keys.
            batch_size (`int`, defaults to 64):
                Notes named at once.

        Returns:
            Probabilities `(notes, pitches)`, of the MIDI pitches from 24, C1, to 95.

        Raises:
            ValueError: the model has no pitch head.
        """
        if self.pitch_head is None:
            raise ValueError("the model has no pitch head: `scripts/train_pitch_head.py` gives it one")
        head, weight = self.pitch_head, self.pitch_head.out.weight
        spectra = spectra.to(weight.device, weight.dtype)
        ids = torch.full((len(spectra),), instrument, device=weight.device)
        logits = [head(*part) for part in zip(spectra.split(batch_size), ids.split(batch_size), strict=True)]
        return torch.cat(logits).float().softmax(dim=-1)

    @torch.no_grad()
    def finger_notes(
        self,
        pitches: torch.Tensor,
        frets: torch.Tensor,
        seconds: torch.Tensor,
        beats: torch.Tensor,
        difficulty: int,
        instrument: int,
        batch_size: int = 256,
        context: int = 64,
    ) -> torch.Tensor:
        r"""
        How likely the notes of a chart are on which frets, by the pitches of all of them.

        Args:
            pitches (`torch.Tensor` of shape `(notes, pitches)`):
                How likely each note has which pitch, see [`~TabHeroForConditionalGeneration.tell_pitches`].
            frets (`torch.Tensor` of shape `(notes, num_fret_tokens)`):
                How likely each is on which frets as far as is heard there, see
                [`~TabHeroForConditionalGeneration.listen`].
            seconds, beats (`torch.Tensor` of shape `(notes,)`):
                When they are, ascending.
            difficulty, instrument (`int`):
                Of the chart.
            batch_size, context (`int`, defaults to 256 and 64):
                How many notes are fingered at once, and how many on both sides are told beside them.

        Returns:
            Probabilities `(notes, num_fret_tokens)`.

        Raises:
            ValueError: the model has no fingering head.
        """
        if self.fingering_head is None:
            raise ValueError("the model has no fingering head: `scripts/train_fingering_head.py` gives it one")
        device = self.fingering_head.out.weight.device
        notes = [told.to(device, torch.float32) for told in (pitches, frets, seconds, beats)]
        chart = [torch.tensor([number], device=device) for number in (difficulty, instrument)]
        likely = []
        for start in range(0, len(seconds), batch_size):
            first = max(start - context, 0)
            part = (told[None, first : start + batch_size + context] for told in notes)
            likely.append(self.fingering_head(*part, *chart)[0, start - first :][:batch_size])
        return torch.cat(likely).float().softmax(dim=-1) if likely else frets.new_zeros(frets.shape)

    def lane_loss(
        self, logits: torch.Tensor, labels: torch.LongTensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """
        Binary cross-entropy of each lane, struck or not, under the distribution over `FRET` tokens, summed over notes,
        for each target token: a chord with one wrong lane costs less than one with all.
        """
        fret_tokens = self.config.fret_tokens
        count = (labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        lanes = torch.tensor(STRUCK_LANES, device=logits.device, dtype=torch.float32)
        is_fret = (labels >= fret_tokens.start) & (labels < fret_tokens.stop)
        fret_logits = logits[is_fret][:, fret_tokens.start : fret_tokens.stop].float()
        struck = (fret_logits.softmax(dim=-1) @ lanes).clamp(1e-6, 1 - 1e-6)
        targets = lanes[labels[is_fret] - fret_tokens.start]
        return -(targets * struck.log() + (1 - targets) * (1 - struck).log()).sum() / count

    def listening_loss(
        self,
        encoder_outputs: TabHeroEncoderOutput,
        labels: torch.LongTensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """
        How far the encoder's own onsets and frets, and those of the fret encoder, are from the labels: binary
        cross-entropy summed over time bins and cross-entropy summed over notes, for each target token. Needs no
        decoder, so that an encoder can learn to listen before it is given one.
        """
        time_tokens, fret_tokens = self.config.time_tokens, self.config.fret_tokens
        times = token_time_bins(labels, time_tokens).cumsum(dim=1)
        loss = torch.zeros((), device=labels.device)
        if encoder_outputs.onset_logits is not None:
            onset_logits = encoder_outputs.onset_logits.float()
            num_bins = onset_logits.shape[1]
            # A note starts where a run of TIME tokens ends: at each token that follows one and is none itself.
            is_time = (labels >= time_tokens.start) & (labels < time_tokens.stop)
            starts = ~is_time & F.pad(is_time, (1, 0))[:, :-1]
            onsets = torch.where(starts, times, num_bins).clamp(max=num_bins)
            targets = torch.zeros(len(labels), num_bins + 1, device=labels.device).scatter_(1, onsets, 1.0)
            has_audio = onset_logits > NO_ONSET / 2
            losses = F.binary_cross_entropy_with_logits(onset_logits, targets[:, :num_bins], reduction="none")
            loss = loss + (losses * has_audio).sum()
        is_fret = (labels >= fret_tokens.start) & (labels < fret_tokens.stop)
        frets = torch.where(is_fret, labels - fret_tokens.start, -100)
        for fret_logits in (encoder_outputs.fret_logits, encoder_outputs.fret_encoder_logits):
            if fret_logits is not None:
                fret_scores = self.fret_pointer.read(fret_logits, encoder_outputs.attention_mask, times)
                loss = loss + F.cross_entropy(fret_scores.float().transpose(1, 2), frets, reduction="sum")
        return loss / ((labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)


__all__ = ["TabHeroForConditionalGeneration", "TabHeroModel", "TabHeroPreTrainedModel"]
