# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""What `generate()` needs for note tokens: their grammar as a logits processor, and the decoder's current time."""

from functools import lru_cache

import torch
from transformers.generation import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from .configuration_tabhero import TabHeroConfig
from .tokenization_tabhero import LAYOUT

_NOTE_TOKENS = 4  # TIME FRET MOD DUR
NEVER = 2**40  # the bin of an onset that there is not

MAX_NEW_TOKENS = 2048
"""What a model writes for a window at most, unless it says so itself: 512 notes, about eleven a second."""

# What a generation config may set without any effect on which token is chosen: anything (`...`), or this value.
_PLAIN_SETTINGS = {
    "_from_model_config": ...,
    "bos_token_id": LAYOUT.bos_token_id,
    "decoder_start_token_id": LAYOUT.bos_token_id,
    "do_sample": False,
    "eos_token_id": LAYOUT.eos_token_id,
    "max_length": ...,
    "max_new_tokens": ...,
    "num_beams": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "pad_token_id": LAYOUT.pad_token_id,
    "transformers_version": ...,
    "use_cache": True,
}


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
        return constrain(scores, self.legal_tokens(input_ids, scores.shape[-1]))

    def legal_tokens(self, input_ids: torch.LongTensor, vocab_size: int) -> torch.BoolTensor:
        """Which tokens may follow `input_ids` `(batch, length)`, as `(batch, vocab_size)`."""
        grammar = note_grammar(vocab_size, input_ids.device)
        phase = grammar.phase(input_ids)

        durations = _value(input_ids, LAYOUT.duration)
        last_run = (durations >= 0).flip(1).cumprod(dim=1).flip(1)  # the DUR tokens that the row ends in
        sustained = (durations * last_run).sum(dim=1)
        now = token_time_bins(input_ids, LAYOUT.time).sum(dim=1)
        if self.window_bins is None:
            remaining = torch.full_like(now, torch.iinfo(now.dtype).max // 2)
        else:
            window_bins = self.window_bins.to(now.device)
            remaining = window_bins.repeat_interleave(len(now) // len(window_bins)) - now  # more than one: beams

        length = input_ids.shape[1]
        tokens_left = torch.inf if self.max_length is None else self.max_length - length
        return grammar.legal_tokens(phase, remaining, sustained, tokens_left, must_go_on=length < self.min_length)


class TabHeroEndLogitsProcessor(LogitsProcessor):
    r"""
    Lets a window end only where that is likelier than one more note at whatever time. A note that is sure to come is
    spread over the bins around it, each of which may be less likely than `<EOS>`: the likeliest token would end what
    should go on. [Whisper](https://huggingface.co/papers/2212.04356) decides between timestamps and text alike.
    """

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        return note_grammar(scores.shape[-1], scores.device).end_if_likelier(scores)


class TabHeroToldNotesLogitsProcessor(LogitsProcessor):
    r"""
    Lets notes begin when they are told to, and at no other time, and on the frets they are told to: what is left to
    write is their modifiers and durations, and their frets where these are not told. Where the grammar leaves no room
    for the next onset, it goes before this.

    Args:
        onsets (`torch.BoolTensor` of shape `(batch_size, bins)`):
            The 10 ms of each window in which a note begins. At least as long as the windows.
        frets (`torch.LongTensor` of shape `(batch_size, bins)`, *optional*):
            Which of the `FRET` tokens, from 0 on, each of these notes has.
    """

    def __init__(self, onsets: torch.BoolTensor, frets: torch.LongTensor | None = None):
        check_told_notes(onsets, frets)
        self.next_onset = next_onsets(onsets)
        self.frets = frets

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        grammar = note_grammar(scores.shape[-1], input_ids.device)
        now, phase = token_time_bins(input_ids, LAYOUT.time).sum(dim=1), grammar.phase(input_ids)
        beams = len(now) // len(self.next_onset)
        next_onset = self.next_onset.to(now.device).repeat_interleave(beams, dim=0)
        led = grammar.lead_to_onsets(scores.isfinite(), phase, now, next_onset)
        if self.frets is not None:
            led = grammar.lead_to_frets(led, phase, now, self.frets.to(now.device).repeat_interleave(beams, dim=0))
        return scores.masked_fill(~led, -torch.inf)


def check_told_notes(onsets: torch.BoolTensor | None, frets: torch.LongTensor | None):
    """Raises `ValueError` for frets that are none, or not of these onsets."""
    if frets is None:
        return
    if onsets is None or frets.shape != onsets.shape:
        raise ValueError("`frets` must have the shape of `onsets`, which they are the frets of")
    if ((frets < 0) | (frets >= len(LAYOUT.fret))).any():
        raise ValueError(f"`frets` must be 0 to {len(LAYOUT.fret) - 1}, for each of the `FRET` tokens")


def next_onsets(onsets: torch.BoolTensor) -> torch.LongTensor:
    """`onsets` `(rows, bins)` -> for each bin, and the one behind the last, the first onset from it on, or `NEVER`."""
    bins = torch.arange(onsets.shape[1], device=onsets.device).masked_fill(~onsets, NEVER)
    following = bins.flip(1).cummin(dim=1).values.flip(1)
    return torch.nn.functional.pad(following, (0, 1), value=NEVER)


# What a sequence has just come to: a phase is known by the last token, but for the first note.
_START, _TIME, _LONG_TIME, _FRET, _MODIFIER, _NOTE, _LONG_DURATION, _END = range(8)


class NoteGrammar:
    """
    The token grammar, see [`TabHeroGrammarLogitsProcessor`], as tables over the vocabulary.

    A row is a `phase`, the time bins that `remain` in its window and the `sustain` so far of the note it ends in, each
    `(batch,)`: [`begin`] gives those of `<BOS>`, [`advance`] those behind one more token, at a cost that does not
    depend on what was written before.
    """

    def __init__(self, vocab_size: int, device: torch.device | str):
        ids = torch.arange(vocab_size, device=device)
        self.times, durations = _value(ids, LAYOUT.time), _value(ids, LAYOUT.duration)
        self.is_time, self.is_duration = is_time, is_duration = self.times >= 0, durations >= 0
        is_fret, is_modifier = _value(ids, LAYOUT.fret) >= 0, _value(ids, LAYOUT.modifier) >= 0
        self.is_end, is_pad = ids == LAYOUT.eos_token_id, ids == LAYOUT.pad_token_id
        is_end = self.is_end
        later = self.times > 0
        longer = durations > 0
        self.allowed = torch.stack(
            [
                is_time | is_end,  # start
                is_fret,  # time
                is_fret | later,  # long time
                is_modifier,  # fret
                is_duration,  # modifier
                later | is_end,  # note
                later | is_end | longer,  # long duration
                is_pad,  # end
            ]
        )
        self.phase_behind = torch.full_like(ids, _START)
        for phase, tokens in {
            _TIME: is_time,
            _LONG_TIME: ids == LAYOUT.time[-1],
            _FRET: is_fret,
            _MODIFIER: is_modifier,
            _NOTE: is_duration,
            _LONG_DURATION: ids == LAYOUT.duration[-1],
            _END: is_end | is_pad,
        }.items():
            self.phase_behind[tokens] = phase
        never = torch.iinfo(ids.dtype).min
        # How many bins have to remain for a token: up to an onset's own bin, and to a sustain's end.
        self.onset_needs = torch.where(is_time, self.times + 1, never)
        self.sustain_needs = torch.where(is_duration, durations * LAYOUT.time_bins_per_duration, never)
        self.times, self.durations = self.times.clamp(min=0), durations.clamp(min=0)

    def begin(self, window_bins: torch.LongTensor) -> tuple[torch.LongTensor, torch.LongTensor, torch.LongTensor]:
        """Phase, bins remaining and sustain of rows with `<BOS>` alone, in windows of `window_bins` `(batch,)`."""
        return torch.full_like(window_bins, _START), window_bins, torch.zeros_like(window_bins)

    def phase(self, input_ids: torch.LongTensor) -> torch.LongTensor:
        """That of rows `(batch, length)`, `(batch,)`."""
        phase = self.phase_behind[input_ids[:, -1]]
        begun = (_value(input_ids, LAYOUT.fret) >= 0).any(dim=1)
        return torch.where(begun & (phase == _START), _NOTE, phase)

    def advance(
        self, tokens: torch.LongTensor, remaining: torch.LongTensor, sustained: torch.LongTensor
    ) -> tuple[torch.LongTensor, torch.LongTensor, torch.LongTensor]:
        """Phase, bins remaining and sustain of each row behind one more token, `(batch,)`."""
        sustained = (sustained + self.durations[tokens]) * self.is_duration[tokens]
        return self.phase_behind[tokens], remaining - self.times[tokens], sustained

    def legal_tokens(
        self,
        phase: torch.LongTensor,
        remaining: torch.LongTensor,
        sustained: torch.LongTensor,
        tokens_left: float,
        must_go_on: bool = False,
    ) -> torch.BoolTensor:
        """
        Which tokens may come next, `(batch, vocab_size)`, where no row may get more than `tokens_left`; `must_go_on`
        lets notes begin that will be cut.
        """
        sustain_left = remaining - sustained * LAYOUT.time_bins_per_duration
        legal = self.allowed[phase]
        legal = legal & (self.onset_needs <= remaining[:, None]) & (self.sustain_needs <= sustain_left[:, None])
        if tokens_left <= _NOTE_TOKENS and not must_go_on:
            legal = legal & ~self.is_time
        if tokens_left <= 1:
            legal = legal & ~(self.is_duration & (phase == _LONG_DURATION)[:, None])
        return legal

    def lead_to_onsets(
        self, legal: torch.BoolTensor, phase: torch.LongTensor, now: torch.LongTensor, next_onset: torch.LongTensor
    ) -> torch.BoolTensor:
        """
        Of the `legal` tokens `(batch, vocab_size)` those that lead from the bin `now` `(batch,)` to the next onset, by
        a table of [`next_onsets`], or to the end behind the last one that there is room for.
        """
        written = (phase == _NOTE) | (phase == _LONG_DURATION)  # a note that began now
        wait = next_onset.gather(1, (now + written).clamp(max=next_onset.shape[1] - 1)[:, None])[:, 0] - now
        token = LAYOUT.time.start + wait.clamp(max=len(LAYOUT.time) - 1)
        goes_on = wait < NEVER - now
        goes_on &= legal.gather(1, torch.where(goes_on, token, LAYOUT.eos_token_id)[:, None])[:, 0]
        token = torch.where(goes_on, token, LAYOUT.eos_token_id)
        others = ~(self.is_time | self.is_end) & ~((phase == _LONG_TIME) & (wait > 0))[:, None]
        led = legal & others.scatter(1, token[:, None], True)
        return torch.where(led.any(dim=1, keepdim=True), led, legal)

    def lead_to_frets(
        self, legal: torch.BoolTensor, phase: torch.LongTensor, now: torch.LongTensor, frets: torch.LongTensor
    ) -> torch.BoolTensor:
        """Of the `legal` tokens, where a note's frets are due, those that `frets` `(batch, bins)` tells for `now`."""
        told = LAYOUT.fret.start + frets.gather(1, now.clamp(max=frets.shape[1] - 1)[:, None])
        due = ((phase == _TIME) | (phase == _LONG_TIME))[:, None] & ~(legal & self.is_time).any(dim=1, keepdim=True)
        return torch.where(due, torch.zeros_like(legal).scatter(1, told, True), legal)

    def end_if_likelier(self, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores `(batch, vocab_size)`, without `<EOS>` where all times together are likelier."""
        goes_on = (
            scores.masked_fill(~self.is_time, -torch.inf).float().logsumexp(dim=1) > scores[:, LAYOUT.eos_token_id]
        )
        return scores.masked_fill(goes_on[:, None] & self.is_end, -torch.inf)

    @staticmethod
    def ended(phase: torch.LongTensor) -> torch.BoolTensor:
        """Which rows have come to their end."""
        return phase == _END


@lru_cache(maxsize=8)
def note_grammar(vocab_size: int, device: torch.device) -> NoteGrammar:
    """The tables for a vocabulary of this size, made once for each device."""
    return NoteGrammar(vocab_size, device)


def constrain(scores: torch.FloatTensor, legal: torch.BoolTensor) -> torch.FloatTensor:
    """Scores `(batch, vocab_size)` of legal tokens alone; where none of them has a finite one, all are equal."""
    scores = scores.masked_fill(~legal, -torch.inf)
    stuck = ~scores.isfinite().any(dim=-1, keepdim=True)
    return torch.where(stuck & legal, 0.0, scores)


def _value(ids: torch.LongTensor, group: range) -> torch.LongTensor:
    """The value that each id has in a group of tokens, -1 for ids outside it."""
    return torch.where((ids >= group.start) & (ids < group.stop), ids - group.start, -1)


def token_time_bins(token_ids: torch.LongTensor, time_tokens: range) -> torch.LongTensor:
    """The time that each token stands for, in bins: `k` for `TIME_k` and 0 for every other token."""
    return _value(token_ids, time_tokens).clamp(min=0)


class TabHeroGenerationMixin(GenerationMixin):
    """[`~transformers.GenerationMixin`] with the note grammar on by default and the current time at every step."""

    def generate(self, *args, **kwargs):
        """
        As [`~transformers.GenerationMixin.generate`], of all that the processor returns: where windows are in the song
        is passed over.
        """
        for name in ("window_start", "audio_index"):
            kwargs.pop(name, None)
        return super().generate(*args, **kwargs)

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
        if not has_note_vocabulary(self.config):
            return processors
        min_length = (input_ids_seq_length or 0) + (generation_config.min_new_tokens or 0)
        grammar = TabHeroGrammarLogitsProcessor(
            self.window_bins(encoder_input_ids, model_kwargs or {}),
            max_length=generation_config.max_length,
            min_length=max(generation_config.min_length or 0, min_length),
        )
        # First, so that top-k and the like choose among legal tokens; last, so that none leaves them. What is drawn
        # is drawn as likely as it is.
        end = [] if generation_config.do_sample else [TabHeroEndLogitsProcessor()]
        return LogitsProcessorList([grammar, *processors, grammar, *end] if processors else [grammar, *end])

    def _validate_model_kwargs(self, model_kwargs: dict):
        super()._validate_model_kwargs(model_kwargs)
        self.check_conditions(**{name: model_kwargs.get(name) for name in ("difficulty_ids", "instrument_ids")})

    def check_conditions(self, **conditions: torch.LongTensor | None):
        """Raises `ValueError` for a difficulty or an instrument that the model does not know."""
        bounds = {"difficulty_ids": self.config.num_difficulties, "instrument_ids": self.config.num_instruments}
        for name, bound in bounds.items():
            ids = conditions[name]
            if ids is not None and ((ids < 0) | (ids >= bound)).any():
                raise ValueError(f"`{name}` must be between 0 and {bound - 1}, got {ids.unique().tolist()}")

    def window_bins(
        self, input_features: torch.FloatTensor | None, model_kwargs: dict[str, torch.Tensor]
    ) -> torch.LongTensor:
        """Time bins that start within each window's audio, `(batch,)`."""
        attention_mask, encoder_outputs = model_kwargs.get("attention_mask"), model_kwargs.get("encoder_outputs")
        positions = getattr(encoder_outputs, "attention_mask", None)
        if attention_mask is not None:
            frames = attention_mask.sum(dim=-1)
        elif input_features is not None and input_features.ndim == 3:
            frames = input_features.new_full((len(input_features),), input_features.shape[1], dtype=torch.long)
        elif positions is not None:  # only the encoder's output is known, which is coarser
            frames = positions.sum(dim=-1) * self.config.downsample_factor
        else:
            states = encoder_outputs[0]
            frames = states.shape[1] * self.config.downsample_factor
            frames = states.new_full((len(states),), frames, dtype=torch.long)
        return (frames.float() / self.config.frames_per_time_step).ceil().long()

    def decodes_greedily(self, **generate_kwargs) -> bool:
        """Whether `generate(**generate_kwargs)` would do what `generate_windows()` does, and heed nothing else."""
        if "max_length" in generate_kwargs:  # unlike the config's, not known to `generate_windows()`
            return False
        asked = {**self.generation_config.to_diff_dict(), **generate_kwargs}
        return all(_PLAIN_SETTINGS.get(name) in (value, ...) for name, value in asked.items())

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


def has_note_vocabulary(config: TabHeroConfig) -> bool:
    """Whether the ids mean notes: only then is there a grammar to keep."""
    return config.vocab_size >= LAYOUT.duration.stop and config.time_tokens == LAYOUT.time


__all__ = ["TabHeroEndLogitsProcessor", "TabHeroGrammarLogitsProcessor", "TabHeroToldNotesLogitsProcessor"]
