# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""
Greedy decoding of a whole song: all windows of it and all charts of each window, a step at a time for all together.

It writes the ids that `generate()` does. What differs is what a step costs: the encoder runs once for each window,
however many charts are asked for, and so are its keys and values read once for all of them; nothing is done again for
tokens already written; rows that have ended leave the batch; and on a processor the weights lie as its kernels want
them. Where onsets and frets are told, the tokens that say them are read together with the one before them, so that a
note takes two steps and not four.
"""

import copy
import warnings
from collections.abc import Callable

import psutil
import torch
from torch import nn
from transformers.cache_utils import Cache, CacheLayerMixin, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask

from .generation_tabhero import constrain, next_onsets, note_grammar
from .tokenization_tabhero import LAYOUT

MAX_ROWS = 64  # more at once take more memory, and no less time: by then a product is bound by arithmetic
MAX_TOLD = 2  # tokens of a note: when it begins, and on which frets
STEPS_BETWEEN_CHECKS = 8  # for rows that have ended; on an accelerator each check waits for what is under way
SHARE_OF_FREE_MEMORY = 0.5


class PackedLinear(nn.Module):
    """
    A float32 `nn.Linear` with a copy of its weights as they are read fastest for some `rows` at a time: in oneDNN's
    own layout, or transposed for a single row. To the last bits of rounding the product is the same.
    """

    def __init__(self, linear: nn.Linear, rows: int):
        super().__init__()
        self.bias = linear.bias
        self.single = rows == 1
        weight = linear.weight.detach()
        self.weight = weight.T.contiguous() if self.single else torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not self.single:
            return torch.ops.mkldnn._linear_pointwise(hidden_states, self.weight, self.bias, "none", [], "")
        product = hidden_states @ self.weight
        return product if self.bias is None else product + self.bias


def packed(module: nn.Module, rows: int) -> nn.Module:
    """A twin of `module` with its float32 linear layers packed for some `rows` at a time; it shares all else."""
    if type(module) is nn.Linear:
        fits = module.weight.device.type == "cpu" and module.weight.dtype == torch.float32
        return PackedLinear(module, rows) if fits and torch.backends.mkldnn.is_available() else module
    twin = copy.copy(module)
    twin._modules = {name: child and packed(child, rows) for name, child in module._modules.items()}
    return twin


def to_int8(model):
    """
    Gives a model on a processor a decoder with int8 weights, in place, and returns it: a quarter of the memory, and
    products of a few rows several times as fast. What goes into them is rounded too, by one scale for all rows of a
    batch, so that charts depend a little on what is decoded beside them. For decoding alone: such a model can be
    neither trained nor saved.

    Raises:
        ValueError: the model is on another device, or of another type than float32.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        raise ValueError(f"int8 is for float32 models on a processor, not for {model.dtype} on {model.device}")
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*deprecated", category=UserWarning
        )  # for torchao, which is not here
        model.model.decoder.layers = quantize_dynamic(model.model.decoder.layers, {nn.Linear}, dtype=torch.qint8)
    return model


class WindowCacheLayer(CacheLayerMixin):
    """
    Keys and values of one attention layer, for rows that are all equally long, with room for `max_length` positions:
    what is written stays where it is, and what is read is what has been written.
    """

    def __init__(self, max_length: int):
        super().__init__()
        self.max_length = max_length
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor):
        def room(states: torch.Tensor) -> torch.Tensor:
            batch_size, heads, _, head_dim = states.shape
            return states.new_empty(batch_size, heads, self.max_length, head_dim)

        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = room(key_states), room(value_states)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """`(batch, heads, new positions, head_dim)` each -> keys and values of all positions so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def keep(self, order: list[int]):
        """Leaves the rows in `order`, of which all but those moved are at their places."""
        moved = [place for place, row in enumerate(order) if place != row]
        if moved:
            rows = [order[place] for place in moved]
            for states in (self.keys, self.values):
                states[moved, :, : self.length] = states[rows, :, : self.length]
        self.keys, self.values = self.keys[: len(order)], self.values[: len(order)]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.max_length


def closed_up(kept: list[bool]) -> list[int]:
    """The places kept, in an order that moves as few of them as can be: the last ones into the gaps."""
    count = sum(kept)
    movers = [place for place in range(count, len(kept)) if kept[place]]
    return [place if kept[place] else movers.pop() for place in range(count)]


class WindowBatch:
    """
    Some windows and the charts asked for, being decoded: a row for each chart of each window, all equally long.

    Self-attention and the linear layers see `(rows, 1, hidden)`, or more where tokens are told. Cross-attention sees
    `(windows, charts, hidden)`: the charts of a window are queries to the same keys. Where rows have left, the table
    of windows and charts has gaps.
    """

    def __init__(
        self,
        model,
        decoder: nn.Module,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
        window_bins: torch.LongTensor,
        max_length: int,
        onsets: torch.BoolTensor | None = None,
        frets: torch.LongTensor | None = None,
    ):
        self.model, self.decoder, config = model, decoder, model.config
        encoder, num_windows, num_charts = model.model.encoder, len(input_features), len(difficulty_ids)
        heard, mask = encoder.hear(input_features, attention_mask)
        self.encoder_states = heard if encoder.output_proj is None else encoder.output_proj(heard)
        self.encoder_mask = mask
        onset_logits, fret_logits = (
            None if logits is None else logits.transpose(0, 1).flatten(0, 1)
            for logits in encoder.listen_for_charts(heard, mask, difficulty_ids, instrument_ids)
        )

        def for_charts(values: torch.Tensor) -> torch.Tensor:
            return values.repeat_interleave(num_charts, dim=0)

        condition = decoder.difficulty_embedding(difficulty_ids) + decoder.instrument_embedding(instrument_ids)
        self.grammar = note_grammar(config.vocab_size, window_bins.device)
        phase, remaining, sustained = self.grammar.begin(for_charts(window_bins))
        self.rows = {
            "row": torch.arange(num_windows * num_charts, device=window_bins.device),
            "token": torch.full_like(phase, LAYOUT.bos_token_id),
            "time": torch.zeros_like(phase),
            "phase": phase,
            "remaining": remaining,
            "sustained": sustained,
            "condition": condition.repeat(num_windows, 1),
        }
        if mask is not None:
            self.rows["mask"] = for_charts(mask)
        if onsets is not None:
            self.rows["next_onset"] = next_onsets(onsets.transpose(0, 1).flatten(0, 1))
        if frets is not None:
            self.rows["told_frets"] = frets.transpose(0, 1).flatten(0, 1)
        if fret_logits is not None:
            self.rows["fret_logits"] = fret_logits
        if onset_logits is not None and model.onset_pointer is not None:
            self.rows["log_onset"], self.rows["log_survival"] = model.onset_pointer.tables(onset_logits)

        positions = self.encoder_states.shape[1]
        self.cache = EncoderDecoderCache(
            *(
                Cache(layers=[WindowCacheLayer(length) for _ in decoder.layers])
                for length in (max_length - 1, positions)
            )
        )
        self.position = 0
        self.positions_per_bin = None
        self.encoder_time_embeddings = None
        if config.time_aligned_cross_attention:
            self.positions_per_bin = config.frames_per_time_step / config.downsample_factor
            self.encoder_time_embeddings = decoder.rotary_emb(
                self.encoder_states, position_ids=torch.arange(positions, device=window_bins.device)[None]
            )
        self.window_of_row = [window for window in range(num_windows) for _ in range(num_charts)]
        self._arrange()

    def decode(self, max_length: int) -> torch.LongTensor:
        """Token ids of each row, `(rows, max_length)`, with `<BOS>` and padded."""
        ids = self.rows["token"].new_full((len(self.window_of_row), max_length), LAYOUT.pad_token_id)
        ids[:, 0] = LAYOUT.bos_token_id
        length, steps = 1, 0
        while length < max_length:
            tokens = self._step(max_length - length)
            ids[self.rows["row"], length : length + tokens.shape[1]] = tokens
            length, steps = length + tokens.shape[1], steps + 1
            if steps % STEPS_BETWEEN_CHECKS == 0 and not self._drop_ended():
                break
        return ids

    def _step(self, tokens_left: int) -> torch.LongTensor:
        """The next token of each row, and before it those that all rows are told: `(rows, 1 to 1 + MAX_TOLD)`."""
        rows = self.rows
        tokens, times = [rows["token"]], [rows["time"]]
        legal = self._legal(tokens_left)
        # Where no row has a choice, what it would have been does not matter.
        while "next_onset" in rows and len(tokens) <= min(MAX_TOLD, tokens_left - 1) and _is_told(legal):
            self._advance(legal.int().argmax(dim=-1))
            tokens.append(rows["token"])
            times.append(rows["time"])
            legal = self._legal(tokens_left + 1 - len(tokens))
        scores = self._logits(torch.stack(tokens, dim=1), torch.stack(times, dim=1)).float()
        self._advance(constrain(scores, legal).argmax(dim=-1))
        return torch.stack([*tokens[1:], rows["token"]], dim=1)

    def _legal(self, tokens_left: int) -> torch.BoolTensor:
        """Which tokens may come next in each row, `(rows, vocab_size)`."""
        rows = self.rows
        legal = self.grammar.legal_tokens(rows["phase"], rows["remaining"], rows["sustained"], tokens_left)
        if "next_onset" in rows:
            legal = self.grammar.lead_to_onsets(legal, rows["phase"], rows["time"], rows["next_onset"])
        if "told_frets" in rows:
            legal = self.grammar.lead_to_frets(legal, rows["phase"], rows["time"], rows["told_frets"])
        return legal

    def _advance(self, token: torch.LongTensor):
        """Notes the next token of each row."""
        rows = self.rows
        rows["token"] = token
        rows["time"] = rows["time"] + self.grammar.times[token]
        rows["phase"], rows["remaining"], rows["sustained"] = self.grammar.advance(
            token, rows["remaining"], rows["sustained"]
        )

    def _logits(self, tokens: torch.LongTensor, times: torch.LongTensor) -> torch.Tensor:
        """
        Scores of each row's next token, `(rows, vocab_size)`, behind the last of its new `tokens` `(rows, count)` and
        their `times` in bins: what the model's `forward` gives.
        """
        decoder, rows, count = self.decoder, self.rows, tokens.shape[1]
        hidden_states = decoder.embed_tokens(tokens) + rows["condition"][:, None]  # (rows, count, hidden)
        position = torch.arange(self.position, self.position + count, device=times.device)[None]
        position_embeddings = decoder.rotary_emb(hidden_states, position_ids=position)
        self_mask, cross_mask = None, self.cross_mask
        if count > 1:
            self_mask = create_causal_mask(
                config=self.model.config,
                inputs_embeds=hidden_states,
                attention_mask=None,
                past_key_values=self.cache,
                position_ids=position,
            )
            if cross_mask is not None and cross_mask.ndim == 4:
                cross_mask = cross_mask.repeat_interleave(count, dim=2)
        time_embeddings = None
        if self.positions_per_bin is not None:
            time_embeddings = tuple(
                self._to_windows(embedding)
                for embedding in decoder.rotary_emb(hidden_states, position_ids=times * self.positions_per_bin)
            )
        for layer in decoder.layers:
            attn_output, _ = layer.self_attn(
                layer.input_layernorm(hidden_states), self_mask, position_embeddings, past_key_values=self.cache
            )
            hidden_states = hidden_states + attn_output
            attn_output, _ = layer.encoder_attn(
                self._to_windows(layer.post_attention_layernorm(hidden_states)),
                cross_mask,
                time_embeddings,
                key_value_states=self.encoder_states,
                key_position_embeddings=self.encoder_time_embeddings,
                past_key_values=self.cache,
            )
            hidden_states = hidden_states + self._to_rows(attn_output, count)
            hidden_states = hidden_states + layer.mlp(layer.final_layernorm(hidden_states))
        self.position += count
        tables = (rows["log_onset"], rows["log_survival"]) if "log_onset" in rows else None
        return self.model.token_logits(
            decoder.norm(hidden_states[:, -1:]), times[:, -1:], tables, rows.get("fret_logits"), rows.get("mask")
        )[:, 0]

    def _to_windows(self, states: torch.Tensor) -> torch.Tensor:
        """`(rows, count, width)` -> `(windows, charts * count, width)`."""
        windows, charts = self.table
        if self.place is not None:
            table = states.new_zeros(windows * charts, *states.shape[1:])
            states = table.index_copy_(0, self.place, states)
        return states.reshape(windows, -1, states.shape[-1])

    def _to_rows(self, states: torch.Tensor, count: int) -> torch.Tensor:
        """`(windows, charts * count, width)` -> `(rows, count, width)`."""
        states = states.reshape(-1, count, states.shape[-1])
        return states if self.place is None else states[self.place]

    def _drop_ended(self) -> int:
        """Lets the rows that have ended leave, and windows without rows. Returns how many rows are left."""
        going = (~self.grammar.ended(self.rows["phase"])).tolist()
        if all(going) or not any(going):
            return sum(going)
        order = closed_up(going)
        for name, values in self.rows.items():
            self.rows[name] = values[order]
        for layer in self.cache.self_attention_cache.layers:
            layer.keep(order)
        self.window_of_row = [self.window_of_row[row] for row in order]

        windows = closed_up([window in set(self.window_of_row) for window in range(self.table[0])])
        if len(windows) < self.table[0]:
            for layer in self.cache.cross_attention_cache.layers:
                layer.keep(windows)
            self.encoder_states = self.encoder_states[windows]
            if self.encoder_mask is not None:
                self.encoder_mask = self.encoder_mask[windows]
            self.window_of_row = [windows.index(window) for window in self.window_of_row]
        self._arrange()
        return len(order)

    def _arrange(self):
        """Gives each row its place in the table of windows and charts."""
        charts = [0] * len(self.encoder_states)
        chart_of_row = []
        for window in self.window_of_row:
            chart_of_row.append(charts[window])
            charts[window] += 1
        self.table = len(charts), max(charts)
        place = [window * max(charts) + chart for window, chart in zip(self.window_of_row, chart_of_row, strict=True)]
        in_order = place == list(range(len(charts) * max(charts)))
        self.place = None if in_order else torch.tensor(place, device=self.encoder_states.device)
        self.cross_mask = create_bidirectional_mask(
            config=self.model.config,
            inputs_embeds=self.encoder_states.new_empty(*self.table, 1),
            attention_mask=self.encoder_mask,
            encoder_hidden_states=self.encoder_states,
        )


def _is_told(legal: torch.BoolTensor) -> bool:
    """Whether each row may have one token alone."""
    return bool((legal.sum(dim=1) == 1).all())


def rows_that_fit(model, num_frames: int, num_charts: int, max_length: int) -> int:
    """How many rows may be decoded at once in half of the memory that is free, 1 at least and `MAX_ROWS` at most."""
    config, device = model.config, model.device
    size = model.dtype.itemsize
    positions = num_frames // config.downsample_factor + 1
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * size  # bytes a position
    per_row = cached * max_length + positions * (config.num_fret_tokens + 2 * config.encoder_hidden_size) * size
    per_window = cached * positions + 6 * num_frames * config.encoder_hidden_size * size
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    rows = int(SHARE_OF_FREE_MEMORY * free / (per_row + per_window / num_charts))
    return max(1, min(rows, MAX_ROWS))


@torch.no_grad()
def decode_windows(
    model,
    input_features: torch.FloatTensor,
    attention_mask: torch.LongTensor | None,
    difficulty_ids: torch.LongTensor,
    instrument_ids: torch.LongTensor,
    window_bins: torch.LongTensor,
    max_length: int,
    batch_size: int | None = None,
    monitor_progress: Callable[[int, int], None] | None = None,
    onsets: torch.BoolTensor | None = None,
    frets: torch.LongTensor | None = None,
) -> torch.LongTensor:
    """All charts of all windows, see the model's `generate_windows`."""
    num_windows, num_charts = len(input_features), len(difficulty_ids)
    if batch_size is None:
        batch_size = rows_that_fit(model, input_features.shape[1], num_charts, max_length)
    charts_at_once = min(num_charts, batch_size)
    windows_at_once = min(num_windows, batch_size // charts_at_once)
    decoder = packed(model.model.decoder, min(charts_at_once * windows_at_once, 16))
    ids = difficulty_ids.new_full((num_charts, num_windows, max_length), LAYOUT.pad_token_id, device=model.device)
    decoded = 0
    for first_chart in range(0, num_charts, charts_at_once):
        charts = slice(first_chart, first_chart + charts_at_once)
        for first_window in range(0, num_windows, windows_at_once):
            windows = slice(first_window, first_window + windows_at_once)
            batch = WindowBatch(
                model,
                decoder,
                input_features[windows].to(model.device),
                None if attention_mask is None else attention_mask[windows].to(model.device),
                difficulty_ids[charts].to(model.device),
                instrument_ids[charts].to(model.device),
                window_bins[windows].to(model.device),
                max_length,
                *(None if told is None else told[charts, windows].to(model.device) for told in (onsets, frets)),
            )
            written = batch.decode(max_length)
            ids[charts, windows] = written.view(-1, len(difficulty_ids[charts]), max_length).transpose(0, 1)
            decoded += len(written)
            if monitor_progress is not None:
                monitor_progress(decoded, num_charts * num_windows)
    longest = int((ids != LAYOUT.pad_token_id).any(dim=(0, 1)).sum())
    return ids[:, :, :longest]
