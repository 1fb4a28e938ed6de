# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""What `generate()` needs for note tokens: their grammar as a logits processor, and the decoder's current time."""

import torch
from transformers.generation import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from .configuration_tabhero import TabHeroConfig
from .tokenization_tabhero import LAYOUT

_NOTE_TOKENS = 4  # TIME FRET MOD DUR


class TabHeroGrammarLogitsProcessor(LogitsProcessor):
    r"""
    Keeps generation inside the token grammar, `<BOS> (TIME+ FRET MOD DUR+)* <EOS>`, whatever the scores say:

    - after `<BOS>` or a complete note, a `TIME` or `<EOS>`; after `TIME_500`, one more `TIME` or the `FRET`; after
      `DUR_100`, one more `DUR` or what follows a note; `TIME_0` only as the first note's time, and no value that adds
      nothing behind a `TIME_500` or `DUR_100`;
    - no onset and no sustain reaches past the window's end;
    - a note is only begun if it and `<EOS>` still fit into `max_length`, so that no sequence is cut within a note;
      only `min_length`, if asked for, goes before this rule.

    If other processors left no legal token a finite score, all legal tokens become equally likely.

    Args:
        window_bins (`torch.LongTensor` of shape `(batch_size * num_beams,)` or `None`):
            Time bins of 10 ms in each row's window: onsets are smaller. `None` sets no bound.
        max_length (`int`, *optional*):
            Longest sequence that may be generated, with its prompt.
        min_length (`int`, defaults to 0):
            Shortest sequence that may be generated, with its prompt.
    """

    def __init__(
        self, window_bins: torch.LongTensor | None = None, max_length: int | None = None, min_length: int = 0
    ):
        self.window_bins = window_bins
        self.max_length = max_length
        self.min_length = min_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        legal = self.legal_tokens(input_ids, scores.shape[-1])
        scores = scores.masked_fill(~legal, -torch.inf)
        stuck = ~scores.isfinite().any(dim=-1, keepdim=True)
        return torch.where(stuck & legal, 0.0, scores)

    def legal_tokens(self, input_ids: torch.LongTensor, vocab_size: int) -> torch.BoolTensor:
        """Which tokens may follow `input_ids` `(batch, length)`, as `(batch, vocab_size)`."""
        ids = torch.arange(vocab_size, device=input_ids.device)
        time, duration = _value(ids, LAYOUT.time), _value(ids, LAYOUT.duration)

        last = input_ids[:, -1:]
        after_time = _value(last, LAYOUT.time) >= 0
        after_long_time = last == LAYOUT.time[-1]
        after_fret = _value(last, LAYOUT.fret) >= 0
        after_modifier = _value(last, LAYOUT.modifier) >= 0
        after_long_duration = last == LAYOUT.duration[-1]
        after_end = (last == LAYOUT.eos_token_id) | (last == LAYOUT.pad_token_id)
        between_notes = ~(after_time | after_fret | after_modifier | after_end)

        tokens_left = torch.inf if self.max_length is None else self.max_length - input_ids.shape[1]
        remaining, sustained = self._clock(input_ids)
        first_note = (_value(input_ids, LAYOUT.fret) < 0).all(dim=1, keepdim=True)
        note_fits = tokens_left > _NOTE_TOKENS or input_ids.shape[1] < self.min_length
        time_fits = (time >= 0) & (time < remaining) & note_fits
        sustain_fits = (duration >= 0) & ((sustained + duration) * LAYOUT.time_bins_per_duration <= remaining)
        return (
            (time_fits & between_notes & ((time > 0) | first_note))
            | (time_fits & after_long_time & (time > 0))
            | ((_value(ids, LAYOUT.fret) >= 0) & after_time)
            | ((_value(ids, LAYOUT.modifier) >= 0) & after_fret)
            | (sustain_fits & after_modifier)
            | (sustain_fits & after_long_duration & (duration > 0) & (tokens_left > 1))
            | ((ids == LAYOUT.eos_token_id) & between_notes)
            | ((ids == LAYOUT.pad_token_id) & after_end)
        )

    def _clock(self, input_ids: torch.LongTensor) -> tuple[torch.LongTensor, torch.LongTensor]:
        """Time bins left after each row's last onset, and the sustain so far of the note it ends in, `(batch, 1)`."""
        durations = _value(input_ids, LAYOUT.duration)
        last_run = (durations >= 0).flip(1).cumprod(dim=1).flip(1)  # the DUR tokens that the row ends in
        sustained = (durations * last_run).sum(dim=1, keepdim=True)
        now = token_time_bins(input_ids, LAYOUT.time).sum(dim=1, keepdim=True)
        if self.window_bins is None:
            return torch.full_like(now, torch.iinfo(now.dtype).max // 2), sustained
        window_bins = self.window_bins.to(now.device)[:, None]
        if len(window_bins) != len(now):  # beams
            window_bins = window_bins.repeat_interleave(len(now) // len(window_bins), dim=0)
        return window_bins - now, sustained


def _value(ids: torch.LongTensor, group: range) -> torch.LongTensor:
    """The value that each id has in a group of tokens, -1 for ids outside it."""
    return torch.where((ids >= group.start) & (ids < group.stop), ids - group.start, -1)


def token_time_bins(token_ids: torch.LongTensor, time_tokens: range) -> torch.LongTensor:
    """The time that each token stands for, in bins: `k` for `TIME_k` and 0 for every other token."""
    return _value(token_ids, time_tokens).clamp(min=0)


class TabHeroGenerationMixin(GenerationMixin):
    """[`~transformers.GenerationMixin`] with the note grammar on by default and the current time at every step."""

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: int | None = None,
        encoder_input_ids: torch.LongTensor | None = None,
        logits_processor: LogitsProcessorList | None = None,
        model_kwargs: dict | None = None,
        **kwargs,
    ) -> LogitsProcessorList:
        processors = super()._get_logits_processor(
            generation_config=generation_config,
            input_ids_seq_length=input_ids_seq_length,
            encoder_input_ids=encoder_input_ids,
            logits_processor=logits_processor,
            model_kwargs=model_kwargs,
            **kwargs,
        )
        if not _has_note_vocabulary(self.config):
            return processors
        min_length = (input_ids_seq_length or 0) + (generation_config.min_new_tokens or 0)
        grammar = TabHeroGrammarLogitsProcessor(
            self._window_bins(encoder_input_ids, model_kwargs or {}),
            max_length=generation_config.max_length,
            min_length=max(generation_config.min_length or 0, min_length),
        )
        # First, so that top-k and the like choose among legal tokens; last, so that none leaves them.
        return LogitsProcessorList([grammar, *processors, grammar] if processors else [grammar])

    def _validate_model_kwargs(self, model_kwargs: dict):
        super()._validate_model_kwargs(model_kwargs)
        bounds = {"difficulty_ids": self.config.num_difficulties, "instrument_ids": self.config.num_instruments}
        for name, bound in bounds.items():
            ids = model_kwargs.get(name)
            if ids is not None and ((ids < 0) | (ids >= bound)).any():
                raise ValueError(f"`{name}` must be between 0 and {bound - 1}, got {ids.unique().tolist()}")

    def _window_bins(
        self, input_features: torch.FloatTensor | None, model_kwargs: dict[str, torch.Tensor]
    ) -> torch.LongTensor:
        """Time bins that start within each window's audio, `(batch,)`."""
        attention_mask = model_kwargs.get("attention_mask")
        if attention_mask is not None:
            frames = attention_mask.sum(dim=-1)
        elif input_features is not None and input_features.ndim == 3:
            frames = input_features.new_full((len(input_features),), input_features.shape[1])
        else:  # only the encoder's output is known, which is coarser
            states = model_kwargs["encoder_outputs"][0]
            frames = states.new_full((len(states),), states.shape[1] * self.config.downsample_factor)
        return (frames.float() / self.config.frames_per_time_step).ceil().long()

    def _maybe_initialize_input_ids_for_generation(
        self, inputs: torch.Tensor | None = None, bos_token_id: int | None = None, model_kwargs: dict | None = None
    ) -> torch.Tensor:
        if inputs is None and (model_kwargs or {}).get("encoder_outputs") is None:
            # No audio at all is one frame of silence: `generate` would hand token ids to the encoder.
            return torch.zeros(1, 1, self.config.num_mel_bins, dtype=self.dtype, device=self.device)
        return super()._maybe_initialize_input_ids_for_generation(inputs, bos_token_id, model_kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: torch.LongTensor, next_sequence_length: int | None = None, **kwargs
    ) -> dict:
        if next_sequence_length is None and kwargs.get("is_first_iteration"):
            # Going on from an earlier cache with all ids but no mask: `generate` finds out by the mask which are new.
            cache = kwargs.get("past_key_values")
            cached = 0 if cache is None else int(cache.get_seq_length())
            if kwargs.get("decoder_attention_mask") is None and 0 < cached < input_ids.shape[1]:
                next_sequence_length = input_ids.shape[1] - cached
        model_inputs = super().prepare_inputs_for_generation(
            input_ids, next_sequence_length=next_sequence_length, **kwargs
        )
        if model_inputs.get("decoder_time_ids") is None:
            times = token_time_bins(input_ids, self.config.time_tokens).cumsum(dim=1)
            times = times[:, -model_inputs["decoder_input_ids"].shape[1] :]
            # Cloned for constant strides, as `decoder_input_ids` are: others would be compiled again.
            model_inputs["decoder_time_ids"] = times.clone(memory_format=torch.contiguous_format)
        return model_inputs


def _has_note_vocabulary(config: TabHeroConfig) -> bool:
    """Whether the ids mean notes: only then is there a grammar to keep."""
    return config.vocab_size >= LAYOUT.duration.stop and config.time_tokens == LAYOUT.time


__all__ = ["TabHeroGrammarLogitsProcessor"]
