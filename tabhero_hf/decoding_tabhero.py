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
import math
import warnings
from collections.abc import Callable, Sequence

import psutil
import torch
from torch import nn
from torch.nn import functional as F

from .generation_tabhero import constrain, next_onsets, note_grammar
from .tokenization_tabhero import LAYOUT

MAX_ROWS = 64  # more at once take more memory, and no less time: by then a product is bound by arithmetic
ROWS_OF_A_LAYOUT = 16  # oneDNN's layout for more is no faster
MAX_TOLD = 2  # tokens of a note: when it begins, and on which frets
STEPS_BETWEEN_CHECKS = 8  # for rows that have ended; on an accelerator each check waits for what is under way
SHARE_OF_FREE_MEMORY = 0.5


class Projection:
    """
    What linear layers make of the same input, side by side, and added to a residual if there is one.

    Float32 weights on a processor are copied into one matrix, as it is read fastest for some `rows` at a time: in
    oneDNN's own layout, or for a single row in a part for each thread, as the product of a row is computed by one
    alone, and transposed if it widens. To the last bits of rounding the products are the same. Layers of other kinds
    are called as they are.
    """

    def __init__(self, layers: Sequence[nn.Module], rows: int):
        self.layers = layers
        self.packed = all(
            type(layer) is nn.Linear
            and layer.weight.device.type == "cpu"
            and layer.weight.dtype == torch.float32
            and (layer.bias is None or len(layers) == 1)
            for layer in layers
        )
        self.packed &= torch.backends.mkldnn.is_available()
        if self.packed:
            self.bias = layers[0].bias
            weight = torch.cat([layer.weight.detach() for layer in layers])
            self.parts = math.gcd(torch.get_num_threads(), len(weight)) if rows == 1 else 0
            if self.parts:
                parts = weight.unflatten(0, (self.parts, -1)).transpose(1, 2)  # (parts, in, out / parts)
                self.weight = parts.contiguous() if len(weight) > weight.shape[1] else parts
            else:
                self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, min(rows, ROWS_OF_A_LAYOUT))

    def __call__(self, hidden_states: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if self.packed and not self.parts:
            product = torch.ops.mkldnn._linear_pointwise
            if residual is None:
                return product(hidden_states, self.weight, self.bias, "none", [], "")
            return product.binary(hidden_states, residual, self.weight, self.bias, "add")
        if self.packed:
            inputs = hidden_states.flatten(0, -2).expand(self.parts, -1, -1)
            projected = torch.bmm(inputs, self.weight).transpose(0, 1).reshape(*hidden_states.shape[:-1], -1)
            projected = projected if self.bias is None else projected + self.bias
        else:
            projected = [layer(hidden_states) for layer in self.layers]
            projected = projected[0] if len(projected) == 1 else torch.cat(projected, dim=-1)
        return projected if residual is None else residual + projected


class Norm:
    """
    A root mean square norm of float32 on a processor, in the four operations that compute it soonest: `hypot` takes
    the root of two squares. To the last bits of rounding it is the same; one of another kind is called as it is.
    """

    def __init__(self, norm: nn.RMSNorm):
        self.norm = norm
        self.by_length = norm.weight.device.type == "cpu" and norm.weight.dtype == torch.float32
        if self.by_length:
            size = norm.weight.numel()
            self.weight = norm.weight.detach() * math.sqrt(size)
            self.least = torch.tensor(math.sqrt(size * norm.eps))

    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not self.by_length:
            return self.norm(hidden_states)
        length = torch.linalg.vector_norm(hidden_states, dim=-1, keepdim=True)
        return hidden_states / torch.hypot(length, self.least) * self.weight


class StepLayer:
    """A decoder layer as steps compute it: products of one input are one product."""

    def __init__(self, layer: nn.Module, rows: int):
        attention, across, mlp = layer.self_attn, layer.encoder_attn, layer.mlp
        norms = layer.input_layernorm, layer.post_attention_layernorm, layer.final_layernorm
        self.norms = [Norm(norm) for norm in norms]
        self.query_key_value = Projection([attention.q_proj, attention.k_proj, attention.v_proj], rows)
        self.output = Projection([attention.o_proj], rows)
        self.across, self.cross_query = across, Projection([across.q_proj], rows)
        self.cross_output = Projection([across.o_proj], rows)
        self.gate_up = Projection([mlp.gate_proj, mlp.up_proj], rows)
        self.activation, self.down = mlp.activation_fn, Projection([mlp.down_proj], rows)

    def hear(self, states: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
        """Keys and values of encoder states `(windows, positions, hidden)`: `(windows, 2, heads, positions, dim)`."""
        keys, values = (
            projection(states).unflatten(-1, (-1, self.across.head_dim))
            for projection in (self.across.k_proj, self.across.v_proj)
        )
        keys = keys if rotation is None else rotated(keys, *rotation)
        return torch.stack([keys, values], dim=1).transpose(2, 3).contiguous()


class StepDecoder:
    """
    A model's decoder and head as steps of some `rows` compute them; weights are copied, so it is made anew for each
    song.
    """

    def __init__(self, model, rows: int):
        self.model, self.decoder = model, model.model.decoder
        self.layers = [StepLayer(layer, rows) for layer in self.decoder.layers]
        self.norm = Norm(self.decoder.norm)
        self.head = copy.copy(model)  # for its `token_logits`
        self.head._modules = {name: child for name, child in model._modules.items() if name != "lm_head"}
        self.head.lm_head = Projection([model.lm_head], rows)

    def rotation(self, like: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Cosines of `positions` `(batch or 1, count)` and the sines that go with [`rotated`], `(batch or 1, count, 1,
        dim)`.
        """
        cos, sin = self.decoder.rotary_emb(like, position_ids=positions)
        first, second = sin.chunk(2, dim=-1)
        return cos.unsqueeze(2), torch.cat([-first, second], dim=-1).unsqueeze(2)


def rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of `(batch, count, heads, head_dim)`: what the model's attention does, in three operations."""
    dim = cos.shape[-1]
    if dim < states.shape[-1]:
        return torch.cat([rotated(states[..., :dim], cos, sin), states[..., dim:]], dim=-1)
    return torch.addcmul(states * cos, states.roll(dim // 2, dims=-1), sin)


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


def closed_up(kept: list[bool]) -> list[int]:
    """The places kept, in an order that moves as few of them as can be: the last ones into the gaps."""
    count = sum(kept)
    movers = [place for place in range(count, len(kept)) if kept[place]]
    return [place if kept[place] else movers.pop() for place in range(count)]


def keep(states: torch.Tensor, order: list[int], length: int | None = None) -> torch.Tensor:
    """
    Of keys and values `(rows, 2, heads, positions, dim)`, of which so many positions are filled, the rows in `order`:
    those that are not at their places are moved there, in place.
    """
    moved = [place for place, row in enumerate(order) if place != row]
    if moved:
        states[moved, ..., :length, :] = states[[order[place] for place in moved], ..., :length, :]
    return states[: len(order)]


def lie_behind(onsets: torch.BoolTensor, window_bins: torch.LongTensor) -> bool:
    """Whether any of `(charts, windows, bins)` lies behind its window's end, `(windows,)`: none is written there."""
    behind = torch.arange(onsets.shape[-1], device=onsets.device) >= window_bins[:, None]
    return bool((onsets & behind).any())


class WindowBatch:
    """
    Some windows and the charts asked for, being decoded: a row for each chart of each window, all equally long.

    Self-attention and the linear layers see `(rows, 1, hidden)`, or more where tokens are told. Cross-attention sees
    `(windows, charts, hidden)`: the charts of a window are queries to the same keys. Where rows have left, the table
    of windows and charts has gaps.
    """

    def __init__(
        self,
        steps: StepDecoder,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None,
        difficulty_ids: torch.LongTensor,
        instrument_ids: torch.LongTensor,
        window_bins: torch.LongTensor,
        max_length: int,
        onsets: torch.BoolTensor | None = None,
        frets: torch.LongTensor | None = None,
    ):
        self.steps, model, decoder = steps, steps.model, steps.decoder
        config = model.config
        encoder, num_windows, num_charts = model.model.encoder, len(input_features), len(difficulty_ids)
        heard, mask = encoder.hear(input_features, attention_mask)
        states = heard if encoder.output_proj is None else encoder.output_proj(heard)
        self.cross_mask = None if mask is None or mask.all() else mask[:, None, None].bool()
        onset_logits, fret_logits = encoder.listen_for_charts(heard, mask, difficulty_ids, instrument_ids)
        if encoder.fret_encoder is not None:
            asked = input_features, attention_mask, difficulty_ids, instrument_ids
            told = frets is not None and not lie_behind(onsets, window_bins)  # and then nobody reads them
            fret_logits = None if told else encoder.fret_encoder.hear_for_charts(*asked)
        onset_logits, fret_logits = (
            None if logits is None else logits.transpose(0, 1).flatten(0, 1) for logits in (onset_logits, fret_logits)
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

        # Of each layer, keys and values: of the tokens, with room for all that there will be, and of the audio.
        room = num_windows * num_charts, 2, config.num_key_value_heads, max_length - 1, config.head_dim
        self.written = [states.new_empty(room) for _ in steps.layers]
        self.length = 0
        self.positions_per_bin, rotation = None, None
        if config.time_aligned_cross_attention:
            self.positions_per_bin = config.frames_per_time_step / config.downsample_factor
            rotation = steps.rotation(states, torch.arange(states.shape[1], device=states.device)[None])
        self.audio = [layer.hear(states, rotation) for layer in steps.layers]
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
        self._advance(self.grammar.end_if_likelier(constrain(scores, legal)).argmax(dim=-1))
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
        steps, decoder, rows, config = self.steps, self.steps.decoder, self.rows, self.steps.model.config
        heads, groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
        count, start, end = tokens.shape[1], self.length, self.length + tokens.shape[1]
        hidden_states = decoder.embed_tokens(tokens) + rows["condition"][:, None]  # (rows, count, hidden)
        rotation = steps.rotation(hidden_states, torch.arange(start, end, device=times.device)[None])
        time_rotation = self.positions_per_bin and steps.rotation(hidden_states, times * self.positions_per_bin)
        causal = None
        if count > 1:
            causal = torch.ones(count, end, dtype=torch.bool, device=times.device).tril(start)
            causal = causal.repeat_interleave(groups, dim=0)

        def attend(query: torch.Tensor, keys_values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            # (batch, count, heads, head_dim) -> (batch, count, heads * head_dim). Heads that share keys and values are
            # more queries to them, so that these are read once: (batch, key_value_heads, count * groups, head_dim).
            keys, values = keys_values.unbind(dim=1)
            query = query.unflatten(2, (-1, groups)).transpose(1, 2).flatten(2, 3)
            attended = F.scaled_dot_product_attention(query, keys, values, mask)
            return attended.unflatten(2, (-1, groups)).transpose(1, 2).flatten(2)

        for layer, written, audio in zip(steps.layers, self.written, self.audio, strict=True):
            norm, cross_norm, mlp_norm = layer.norms
            projected = layer.query_key_value(norm(hidden_states)).unflatten(-1, (-1, config.head_dim))
            query_key, value = projected.tensor_split((heads + config.num_key_value_heads,), dim=2)
            query, key = rotated(query_key, *rotation).tensor_split((heads,), dim=2)
            written[:, 0, :, start:end] = key.transpose(1, 2)
            written[:, 1, :, start:end] = value.transpose(1, 2)
            hidden_states = layer.output(attend(query, written[..., :end, :], causal), hidden_states)

            query = layer.cross_query(cross_norm(hidden_states)).unflatten(-1, (-1, config.head_dim))
            query = rotated(query, *time_rotation) if time_rotation else query
            attended = attend(self._to_windows(query), audio, self.cross_mask)
            hidden_states = layer.cross_output(self._to_rows(attended, count), hidden_states)

            gate, up = layer.gate_up(mlp_norm(hidden_states)).chunk(2, dim=-1)
            hidden_states = layer.down(layer.activation(gate) * up, hidden_states)
        self.length = end
        tables = (rows["log_onset"], rows["log_survival"]) if "log_onset" in rows else None
        return steps.head.token_logits(
            steps.norm(hidden_states[:, -1:]), times[:, -1:], tables, rows.get("fret_logits"), rows.get("mask")
        )[:, 0]

    def _to_windows(self, states: torch.Tensor) -> torch.Tensor:
        """`(rows, count, heads, head_dim)` -> `(windows, charts * count, heads, head_dim)`."""
        windows, charts = self.table
        if self.place is not None:
            table = states.new_zeros(windows * charts, *states.shape[1:])
            states = table.index_copy_(0, self.place, states)
        return states.reshape(windows, -1, *states.shape[2:])

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
        self.written = [keep(states, order, self.length) for states in self.written]
        self.window_of_row = [self.window_of_row[row] for row in order]

        windows = closed_up([window in set(self.window_of_row) for window in range(self.table[0])])
        if len(windows) < self.table[0]:
            self.audio = [keep(states, windows) for states in self.audio]
            if self.cross_mask is not None:
                self.cross_mask = self.cross_mask[windows]
            self.window_of_row = [windows.index(window) for window in self.window_of_row]
        self._arrange()
        return len(order)

    def _arrange(self):
        """Gives each row its place in the table of windows and charts."""
        charts = [0] * len(self.audio[0])
        chart_of_row = []
        for window in self.window_of_row:
            chart_of_row.append(charts[window])
            charts[window] += 1
        self.table = len(charts), max(charts)
        place = [window * max(charts) + chart for window, chart in zip(self.window_of_row, chart_of_row, strict=True)]
        in_order = place == list(range(len(charts) * max(charts)))
        self.place = None if in_order else torch.tensor(place, device=self.audio[0].device)


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
    steps = StepDecoder(model, charts_at_once * windows_at_once)
    ids = difficulty_ids.new_full((num_charts, num_windows, max_length), LAYOUT.pad_token_id, device=model.device)
    decoded = 0
    for first_chart in range(0, num_charts, charts_at_once):
        charts = slice(first_chart, first_chart + charts_at_once)
        for first_window in range(0, num_windows, windows_at_once):
            windows = slice(first_window, first_window + windows_at_once)
            batch = WindowBatch(
                steps,
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
