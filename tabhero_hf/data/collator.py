"""Batches of training windows: padding, masks and augmentation drawn fresh each time."""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import signal

from ..charts import Instrument
from ..tokenization_tabhero import LAYOUT
from .recordings import Recordings
from .schema import Parts, mix_mels


@dataclass
class SpecAugment:
    """
    Masks of frequency bands and of stretches of time ([Park et al., 2019](https://huggingface.co/papers/1904.08779)),
    filled with 0, the mean of normalised features.
    """

    frequency_masks: int = 2
    max_bands: int = 10
    time_masks: int = 2
    max_frames: int = 15

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A masked copy of `features` `(frames, bands)`."""
        features = features.copy()
        frames, bands = features.shape
        for _ in range(self.frequency_masks):
            width = rng.integers(0, min(self.max_bands, bands) + 1)
            start = rng.integers(0, bands - width + 1)
            features[:, start : start + width] = 0
        for _ in range(self.time_masks):
            width = rng.integers(0, min(self.max_frames, frames) + 1)
            start = rng.integers(0, frames - width + 1)
            features[start : start + width] = 0
        return features


@dataclass
class RandomEqualizer:
    """Adds one smooth random curve over the mel bands to all frames: another recording chain, another mix."""

    strength: float = 0.4  # of the curve's waves, in standard deviations of a song's features
    waves: int = 4

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A filtered copy of `features` `(frames, bands)`."""
        bands = np.arange(features.shape[1]) / features.shape[1]
        curve = np.zeros_like(bands)
        for wave in range(1, self.waves + 1):
            amplitude = rng.normal(0, self.strength / wave)
            curve += amplitude * np.cos(np.pi * wave * bands + rng.uniform(0, 2 * np.pi))
        return features + curve.astype(features.dtype)


@dataclass
class Remix:
    """
    Mixes an instrument and its backing anew: each through another equalizer, the one as loud beside the other as
    guitars are on records, now and then alone. The mix then gets the mean and deviation that the song's own has there,
    as a louder backing makes no louder record.

    Now and then the instrument, unless it is keys, is smeared, as the fast notes of much distorted guitars are on
    records: its power dies away slowly, and next to nothing is heard of where a note begins. There the rhythm has to
    be told from what the band plays.

    With `recordings`, a real one stands now and then in place of the backing, as loud as it: what it plays has nothing
    to do with the instrument, but it sounds as records do. The instrument is not smeared there.
    """

    level: float = -5.0  # decibels of the instrument over its backing, where each is heard
    level_deviation: float = 5.0
    most_gain: float = 18.0  # decibels that it is made louder or softer at most: what rests is not to become noise
    alone: float = 0.25  # how often there is no backing
    smeared: float = 0.5  # how often the instrument is
    longest_smear: float = 20.0  # mel frames in which the power falls to 1 / e
    equalizer: RandomEqualizer = field(default_factory=RandomEqualizer)
    recordings: Recordings | None = None
    recorded: float = 0.5  # how often the backing is one of them

    def __call__(self, features: np.ndarray, parts: Parts, rng: np.random.Generator, instrument: int) -> np.ndarray:
        """The mix of the `features` `(frames, bands)` of an instrument, 0 lead to 3 keys, with its backing."""
        own = mix_mels(features, parts)
        mix = self.equalizer(features, rng)
        backing = parts.backing
        is_recorded = self.recordings is not None and rng.random() < self.recorded
        if is_recorded:
            recording = self.recordings.draw(len(features), rng) / np.float32(parts.log_scale)
            backing = recording - recording.mean() + backing.mean()
        elif rng.random() < self.smeared and instrument != Instrument.KEYS:
            mix = smear(mix, parts.log_scale, rng.uniform(0, self.longest_smear), rng.uniform())
        if rng.random() >= self.alone:
            backing = self.equalizer(backing, rng)
            gain = rng.normal(self.level, self.level_deviation)
            gain += loudness(backing, parts.log_scale) - loudness(mix, parts.log_scale)
            gain = np.clip(gain, -self.most_gain, self.most_gain)
            mix = mix_mels(mix, parts._replace(backing=backing), gain)
        deviation = mix.std()
        return (mix - mix.mean()) * (own.std() / deviation if deviation else 0.0) + own.mean()


def loudness(features: np.ndarray, log_scale: float) -> float:
    """Decibels of the mean power of features `(frames, bands)` where they are less than 20 dB below their loudest."""
    power = np.exp(features * log_scale).sum(axis=1)
    return float(10 * np.log10(power[power >= 0.01 * power.max()].mean()))


def smear(features: np.ndarray, log_scale: float, frames: float, share: float) -> np.ndarray:
    """Features `(frames, bands)` a `share` of whose power falls to 1 / e in so many frames, and no faster."""
    power = np.exp(features * log_scale)
    decay = np.exp(-1 / max(frames, 1e-3))
    # As if the first frame had sounded for long already.
    drawn_out, _ = signal.lfilter([1 - decay], [1, -decay], power, axis=0, zi=decay * power[:1])
    return np.log((1 - share) * power + share * drawn_out) / log_scale


@dataclass
class RandomGain:
    """Adds one random number to all features: a louder or quieter passage than the song's mean."""

    strength: float = 0.4  # standard deviation, in those of a song's features: some 4 dB

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A louder or quieter copy of `features` `(frames, bands)`."""
        return features + np.asarray(rng.normal(0, self.strength), dtype=features.dtype)


@dataclass
class BackgroundNoise:
    """
    Adds noise of one random spectrum to the mel power, below and around the music: cymbals, reverberation, hiss. What
    it does to the contrast of a recording is undone by normalising again, as features are.
    """

    probability: float = 0.6
    lowest: float = -2.5  # of the noise's level, in standard deviations of a song's features
    highest: float = 0.3
    log_scale: float = 2.2  # natural logarithms of mel power in one standard deviation

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A noisier copy of `features` `(frames, bands)`."""
        if rng.random() > self.probability:
            return features
        frames, bands = features.shape
        level = rng.uniform(self.lowest, self.highest) + rng.normal(0, 0.5) * np.linspace(-1, 1, bands)
        # The power of noise in a band is the steadier the more bins of the spectrum it adds up.
        spread = 1 / (self.log_scale * np.sqrt(1 + np.arange(bands) // 8))
        noise = rng.standard_normal((frames, bands), dtype=np.float32) * spread.astype(np.float32)
        noise += level.astype(np.float32)
        power = np.exp(features * self.log_scale) + np.exp(noise * self.log_scale)
        noisy = np.log(power) / self.log_scale
        return (noisy - noisy.mean()) / noisy.std()


@dataclass
class TabHeroCollator:
    """
    Pads windows to a batch for [`TabHeroForConditionalGeneration`].

    A window is a dictionary with `input_features` `(frames, bands)`, `labels` (token ids without `<BOS>`) and the
    integers `difficulty_ids` and `instrument_ids`; all else but `learn_frets` and `seed` is passed over. The batch
    holds what the model's `forward` takes: tensors of those names, features float32 padded with 0 and labels padded
    with -100, and, where windows are not all of one length, `attention_mask` `(batch, frames)`, 1 for frames and 0 for
    padding.

    Augmentation of a window is drawn by its `seed`, if it has one, as those of [`ChartWindows`] have: the same in any
    process and any batch, and another one in each epoch. For others it is drawn afresh in each process.

    Where a window's `learn_frets` is false, the decoder sees its frets, but the labels have -100 for them.

    Args:
        augment: Applied to each window's features in order. For training only: evaluation needs a collator without.
        fret_corruption: Share of `FRET` tokens that the decoder is shown wrongly, drawn from the batch's others, while
            the labels stay right; the batch then holds `decoder_input_ids` too. A decoder that always sees right frets
            learns to go on from them, not to hear them, and is lost once its own are wrong. For training only.
        seed: For windows without one of their own.
    """

    augment: list = field(default_factory=list)
    fret_corruption: float = 0.0
    seed: int = 0

    def __post_init__(self):
        self._rng = np.random.default_rng(self.seed)
        self._worker_seed = None

    def __call__(self, windows: list[dict]) -> dict[str, torch.Tensor]:
        frames = max(len(window["input_features"]) for window in windows)
        tokens = max(len(window["labels"]) for window in windows)
        bands = windows[0]["input_features"].shape[1]
        features = np.zeros((len(windows), frames, bands), dtype=np.float32)
        attention_mask = np.zeros((len(windows), frames), dtype=np.int64)
        labels = np.full((len(windows), tokens), -100, dtype=np.int64)
        rngs = self._generators(windows)
        for row, window in enumerate(windows):
            window_features = np.asarray(window["input_features"], dtype=np.float32)
            for augmentation in self.augment:
                window_features = augmentation(window_features, rngs[row])
            features[row, : len(window_features)] = window_features
            attention_mask[row, : len(window_features)] = 1
            labels[row, : len(window["labels"])] = window["labels"]
        unlearned = np.array([not window.get("learn_frets", True) for window in windows])
        batch = {}
        if self.fret_corruption or unlearned.any():
            batch["decoder_input_ids"] = self._decoder_inputs(labels, rngs[0])
        labels[unlearned[:, None] & _is_fret(labels)] = -100
        if not attention_mask.all():  # without a mask, attention is faster
            batch["attention_mask"] = torch.from_numpy(attention_mask)
        return {
            **batch,
            "input_features": torch.from_numpy(features),
            "labels": torch.from_numpy(labels),
            "difficulty_ids": torch.tensor([window["difficulty_ids"] for window in windows]),
            "instrument_ids": torch.tensor([window["instrument_ids"] for window in windows]),
        }

    def _generators(self, windows: list[dict]) -> list[np.random.Generator]:
        worker = torch.utils.data.get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            # Each worker, in each epoch, has a copy of this collator as it was before the first batch.
            self._worker_seed = worker.seed
            self._rng = np.random.default_rng((self.seed, worker.seed))
        return [np.random.default_rng(window["seed"]) if "seed" in window else self._rng for window in windows]

    def _decoder_inputs(self, labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """Decoder inputs for the labels, some of their `FRET` tokens replaced."""
        inputs = np.where(labels == -100, LAYOUT.pad_token_id, labels)
        inputs = np.concatenate([np.full_like(inputs[:, :1], LAYOUT.bos_token_id), inputs[:, :-1]], axis=1)
        frets = np.flatnonzero(_is_fret(inputs))
        if len(frets):
            replaced = frets[rng.random(len(frets)) < self.fret_corruption]
            inputs.flat[replaced] = inputs.flat[rng.choice(frets, len(replaced))]
        return torch.from_numpy(inputs)


def _is_fret(tokens: np.ndarray) -> np.ndarray:
    return (tokens >= LAYOUT.fret.start) & (tokens < LAYOUT.fret.stop)
