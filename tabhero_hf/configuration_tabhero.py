# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""Tab Hero model configuration."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_rope_utils import RopeParameters

# Width, decoder layers, attention heads, key and value heads, and feed-forward width of the named sizes.
NAMED_SIZES = {
    "tiny": (256, 4, 8, 2, 1024),
    "small": (384, 4, 6, 2, 1536),
    "base": (512, 6, 8, 2, 2048),
    "large": (768, 8, 12, 3, 3072),
}


@strict
class TabHeroConfig(PreTrainedConfig):
    r"""
    Configuration of a [`TabHeroModel`]: an audio encoder that shortens a log-mel spectrogram in time, and a causal
    decoder that writes note tokens.

    Args:
        vocab_size (`int`, defaults to 740):
            Size of the note vocabulary, see [`TabHeroTokenizer`].
        num_mel_bins (`int`, defaults to 128):
            Mel bands of the input features.
        encoder_hidden_size (`int`, *optional*):
            Width of the encoder, a multiple of 8. `hidden_size` when unset.
        encoder_layers (`int`, defaults to 0):
            Bidirectional self-attention layers after the encoder's convolutions.
        downsample_factor (`int`, defaults to 4):
            Mel frames to one encoder position: 2, 4 or 8.
        hidden_size (`int`, defaults to 512):
            Width of the decoder.
        intermediate_size (`int`, defaults to 2048):
            Width of the SwiGLU feed-forward layers.
        num_hidden_layers (`int`, defaults to 6):
            Decoder layers.
        num_attention_heads (`int`, defaults to 8):
            Attention heads of a decoder layer.
        num_key_value_heads (`int`, *optional*):
            Key and value heads of a decoder layer: so many groups of query heads share them, and so much less is
            cached and read in each step ([grouped-query attention](https://huggingface.co/papers/2305.13245)).
            `num_attention_heads` when unset.
        head_dim (`int`, *optional*):
            Width of one head, even. `hidden_size // num_attention_heads` when unset.
        hidden_act (`str`, defaults to `"silu"`):
            Activation of the feed-forward gate.
        max_position_embeddings (`int`, defaults to 4096):
            Longest sequence the model is meant for. RoPE needs no table, so longer input is not refused.
        rope_parameters (`RopeParameters` or `dict`, *optional*):
            RoPE settings of self-attention and of time-aligned cross-attention.
        rms_norm_eps (`float`, defaults to 1e-6):
            Epsilon of the decoder's RMSNorm layers.
        num_difficulties (`int`, defaults to 4):
            Learned difficulty embeddings (0 easy, 1 medium, 2 hard, 3 expert).
        num_instruments (`int`, defaults to 4):
            Learned instrument embeddings (0 lead, 1 bass, 2 rhythm, 3 keys).
        time_aligned_cross_attention (`bool`, defaults to `True`):
            Whether cross-attention rotates queries by the decoder's current time and keys by the encoder's, so that
            "the audio just after now" is one relative offset.
        onset_head (`bool`, defaults to `True`):
            Whether the encoder predicts, for every 10 ms, if a charted note starts there.
        onset_pointer (`bool`, defaults to `True`):
            Whether the onset head's scores at (current time + k) are added to the logit of `TIME_k`. Needs
            `onset_head`.
        fret_pointer (`bool`, defaults to `True`):
            Whether the encoder predicts, for each of its positions, what is struck there, and these scores at the
            current time are added to the logits of the `FRET` tokens, through a gate.
        fret_encoder (`bool`, defaults to `False`):
            Whether the fret pointer reads a second encoder, as large as the first, which hears frets for it alone, in
            place of the encoder's fret head. Needs `fret_pointer`.
        pitch_head (`bool`, defaults to `False`):
            Whether the model names the pitches of notes, see [`~TabHeroForConditionalGeneration.tell_pitches`]. The
            head is trained by itself, by `scripts/train_pitch_head.py`.
        fingering_head (`bool`, defaults to `False`):
            Whether the model says on which frets the notes of a chart are by the pitches of all of them, see
            [`~TabHeroForConditionalGeneration.finger_notes`]. The head is trained by itself, by
            `scripts/train_fingering_head.py`. Needs `pitch_head` and `fret_pointer`.
        listening_loss_weight (`float`, defaults to 0.0):
            Weight of the encoder's own losses, of onsets and of frets, beside the token loss; the training recipes
            set it to 1.
        lane_loss_weight (`float`, defaults to 0.0):
            Weight of a loss of single lanes, struck or not, beside that of `FRET` tokens.
        first_time_token_id (`int`, defaults to 3):
            Id of `TIME_0`.
        num_time_tokens (`int`, defaults to 501):
            Number of `TIME` tokens; token `TIME_k` stands for `k * time_step` seconds.
        num_fret_tokens (`int`, defaults to 127):
            Number of `FRET` tokens; they follow the `TIME` tokens.
        time_step (`float`, defaults to 0.01):
            Seconds in one time bin.
        sampling_rate (`int`, defaults to 22050) and hop_length (`int`, defaults to 256):
            Time scale of the mel frames, which cross-attention aligns with the note times.

    Example:

    ```python
    >>> from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration

    >>> config = TabHeroConfig.from_size("tiny")
    >>> model = TabHeroForConditionalGeneration(config)
    ```
    """

    model_type = "tabhero"
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 740
    num_mel_bins: int = 128
    encoder_hidden_size: int | None = None
    encoder_layers: int = 0
    downsample_factor: int = 4
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    rope_parameters: RopeParameters | dict | None = None
    rms_norm_eps: float = 1e-6
    attention_dropout: float | int = 0.0
    dropout: float | int = 0.0
    initializer_range: float = 0.02
    num_difficulties: int = 4
    num_instruments: int = 4
    time_aligned_cross_attention: bool = True
    onset_head: bool = True
    onset_pointer: bool = True
    fret_pointer: bool = True
    fret_encoder: bool = False
    pitch_head: bool = False
    fingering_head: bool = False
    listening_loss_weight: float | int = 0.0
    lane_loss_weight: float | int = 0.0
    first_time_token_id: int = 3
    num_time_tokens: int = 501
    num_fret_tokens: int = 127
    time_step: float = 0.01
    sampling_rate: int = 22050
    hop_length: int = 256
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 1
    is_encoder_decoder: bool = True
    use_cache: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        if self.encoder_hidden_size is None:
            self.encoder_hidden_size = self.hidden_size
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // max(self.num_attention_heads, 1)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict` validation: refuses sizes that do not fit together."""
        for name in ("vocab_size", "num_mel_bins", "encoder_hidden_size", "hidden_size", "intermediate_size"):
            self._require(getattr(self, name) > 0, f"`{name}` must be positive, got {getattr(self, name)}")
        for name in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "num_time_tokens"):
            self._require(getattr(self, name) > 0, f"`{name}` must be positive, got {getattr(self, name)}")
        self._require(self.encoder_layers >= 0, f"`encoder_layers` must not be negative, got {self.encoder_layers}")
        self._require(
            self.downsample_factor in (2, 4, 8), f"`downsample_factor` must be 2, 4 or 8, got {self.downsample_factor}"
        )
        self._require(
            self.encoder_hidden_size % 8 == 0,
            f"`encoder_hidden_size` must be a multiple of 8, for its GroupNorm, got {self.encoder_hidden_size}",
        )
        if self.head_dim == self.hidden_size // self.num_attention_heads:
            self._require(
                self.hidden_size % self.num_attention_heads == 0,
                f"`hidden_size` ({self.hidden_size}) must be a multiple of `num_attention_heads` "
                f"({self.num_attention_heads})",
            )
        self._require(
            self.num_attention_heads % self.num_key_value_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must be a multiple of `num_key_value_heads` "
            f"({self.num_key_value_heads})",
        )
        self._require(
            self.head_dim > 0 and self.head_dim % 2 == 0,
            f"`head_dim` must be even and positive for RoPE, got {self.head_dim}",
        )
        if self.encoder_layers:
            self._require(
                self.encoder_hidden_size % self.head_dim == 0,
                f"`encoder_hidden_size` ({self.encoder_hidden_size}) must be a multiple of `head_dim` "
                f"({self.head_dim}) when the encoder has attention layers",
            )
        self._require(self.onset_head or not self.onset_pointer, "`onset_pointer` needs `onset_head`")
        self._require(self.fret_pointer or not self.fret_encoder, "`fret_encoder` needs `fret_pointer`")
        self._require(
            not self.fingering_head or (self.pitch_head and self.fret_pointer),
            "`fingering_head` needs `pitch_head` and `fret_pointer`",
        )
        self._require(self.time_step > 0, f"`time_step` must be positive, got {self.time_step}")

    @staticmethod
    def _require(condition: bool, message: str):
        if not condition:
            raise ValueError(message)

    @property
    def frames_per_time_step(self) -> float:
        """Mel frames in one time bin."""
        return self.time_step * self.sampling_rate / self.hop_length

    @property
    def time_tokens(self) -> range:
        """Ids of `TIME_0`, `TIME_1` …"""
        return range(self.first_time_token_id, self.first_time_token_id + self.num_time_tokens)

    @property
    def fret_tokens(self) -> range:
        """Ids of the `FRET` tokens."""
        return range(self.time_tokens.stop, self.time_tokens.stop + self.num_fret_tokens)

    @classmethod
    def from_size(cls, size: str, **kwargs) -> "TabHeroConfig":
        """The configuration of a named size, `tiny`, `small`, `base` or `large`; `kwargs` override its fields."""
        if size not in NAMED_SIZES:
            raise ValueError(f"unknown size {size!r}: choose one of {', '.join(NAMED_SIZES)}")
        width, layers, heads, key_value_heads, intermediate = NAMED_SIZES[size]
        fields = {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_value_heads,
            "intermediate_size": intermediate,
        }
        if "num_attention_heads" in kwargs:
            del fields["num_key_value_heads"]  # they are groups of the size's own heads
        return cls(**{**fields, **kwargs})


__all__ = ["TabHeroConfig"]
