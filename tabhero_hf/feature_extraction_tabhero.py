# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""Feature extractor class for Tab Hero: audio to overlapping windows of log-mel spectrogram."""

import numpy as np
import scipy.fft
import scipy.sparse
from transformers.audio_utils import mel_filter_bank, window_function
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType

_FFT_BLOCK_FRAMES = 128  # frames transformed at once: as many as a processor's cache holds
MOST_CHANNELS = 8  # of audio that is not mono: no song is that short


class TabHeroFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Cuts audio into overlapping windows of log-mel spectrogram.

    A song's waveform is peak-normalised; its mel power spectrogram (HTK scale, no area normalisation, centred frames,
    reflected at the edges) becomes `log(max(mel, log_floor))`, normalised over the whole song to mean 0 and standard
    deviation 1, and is then cut. The last window ends with the song; padding comes after.

    Args:
        feature_size (`int`, defaults to 128):
            Mel bands.
        sampling_rate (`int`, defaults to 22050):
            Sampling rate of the audio in Hz.
        hop_length (`int`, defaults to 256):
            Samples from one frame to the next.
        n_fft (`int`, defaults to 2048):
            Samples in a frame.
        max_frames (`int`, defaults to 4096):
            Longest window, in frames.
        overlap_frames (`int`, defaults to 256):
            Frames that a window shares with the one before it.
        padding_value (`float`, defaults to 0.0):
            Value of padded frames: the mean of a song.
        log_floor (`float`, defaults to 1e-5):
            Mel power below this counts as this.
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 128,
        sampling_rate: int = 22050,
        hop_length: int = 256,
        n_fft: int = 2048,
        max_frames: int = 4096,
        overlap_frames: int = 256,
        padding_value: float = 0.0,
        log_floor: float = 1e-5,
        **kwargs,
    ):
        if not 0 <= overlap_frames < max_frames:
            raise ValueError(
                f"`overlap_frames` ({overlap_frames}) must be at least 0 and less than `max_frames` ({max_frames})"
            )
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.hop_length = hop_length
        self.n_fft = n_fft
        self.max_frames = max_frames
        self.overlap_frames = overlap_frames
        self.log_floor = log_floor
        self.mel_filters = mel_filter_bank(
            num_frequency_bins=n_fft // 2 + 1,
            num_mel_filters=feature_size,
            min_frequency=0.0,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            norm=None,
            mel_scale="htk",
        ).astype(np.float32)
        self.window = window_function(n_fft, "hann").astype(np.float32)

    def to_dict(self) -> dict:
        return {key: value for key, value in super().to_dict().items() if key not in ("mel_filters", "window")}

    def __call__(
        self,
        raw_speech: np.ndarray | list[float] | list[np.ndarray] | list[list[float]],
        sampling_rate: int | None = None,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs,
    ) -> BatchFeature:
        """
        Windows of one song or several, one after another.

        Args:
            raw_speech:
                One waveform `(samples,)`, or several, as a list or an array `(songs, samples)`: mono, at this
                extractor's sampling rate. (The name is the one that transformers gives to audio in.)
            sampling_rate:
                Sampling rate of the audio in Hz; checked against the extractor's.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors:
                See [`~transformers.SequenceFeatureExtractor.pad`]; lengths in frames.

        Returns:
            `input_features` `(windows, frames, feature_size)`, `attention_mask` `(windows, frames)`, `window_start`
            `(windows,)`, seconds in the song at which each window starts, and `audio_index` `(windows,)`, which of the
            songs it belongs to.

        Raises:
            ValueError: empty or multi-channel audio, samples that are not finite, or another sampling rate.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"the audio has {sampling_rate} Hz, but this feature extractor needs {self.sampling_rate} Hz: "
                "resample it first"
            )
        features, starts, audio_index = [], [], []
        for index, waveform in enumerate(_as_waveforms(raw_speech)):
            log_mel = self.log_mel(waveform)
            for start, end in self.window_bounds(len(log_mel)):
                features.append(log_mel[start:end])
                starts.append(self.frames_to_seconds(start))
                audio_index.append(index)

        batch = self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )
        batch.update(BatchFeature({"window_start": starts, "audio_index": audio_index}, tensor_type=return_tensors))
        return batch

    def log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """
        Normalised log-mel spectrogram of a whole song: `(samples,)` -> `(frames, feature_size)` float32, one frame
        every `hop_length` samples. Silence gives zeros.

        Raises:
            ValueError: empty or multi-channel audio, or samples that are not finite.
        """
        waveform = np.asarray(waveform, dtype=np.float32)
        if waveform.ndim != 1:
            raise ValueError(f"audio must be mono, of shape (samples,), got shape {waveform.shape}")
        if not len(waveform):
            raise ValueError("audio is empty")
        peak = np.abs(waveform).max()
        if not np.isfinite(peak):
            raise ValueError("audio holds samples that are not finite (NaN or infinity)")
        if peak > 0:
            waveform = waveform / peak

        log_mel = np.log(np.maximum(self.mel(waveform), self.log_floor))
        deviation = log_mel.std(dtype=np.float64)
        if deviation < 1e-6:
            return np.zeros_like(log_mel)
        return ((log_mel - log_mel.mean(dtype=np.float64)) / deviation).astype(np.float32)

    def mel(self, waveform: np.ndarray) -> np.ndarray:
        """
        Mel power spectrogram of a waveform as it is: `(samples,)` -> `(frames, feature_size)` float32, as librosa's
        `melspectrogram(htk=True, norm=None)`.
        """
        padded = np.pad(waveform, self.n_fft // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        # A frequency belongs to two bands at most. Unlike a dense product, whose sums may be taken in another order
        # by more threads, this one gives the same bits in every process.
        filters = scipy.sparse.csr_array(self.mel_filters.T)
        mel = np.empty((len(frames), self.feature_size), dtype=np.float32)
        for start in range(0, len(frames), _FFT_BLOCK_FRAMES):
            # SciPy's transform stays in single precision, NumPy's goes to double and back.
            spectrum = scipy.fft.rfft(frames[start : start + _FFT_BLOCK_FRAMES] * self.window)
            power = np.square(spectrum.view(np.float32))
            mel[start : start + _FFT_BLOCK_FRAMES] = (filters @ (power[:, ::2] + power[:, 1::2]).T).T
        return mel

    def window_bounds(self, num_frames: int) -> list[tuple[int, int]]:
        """First frame and end frame, exclusive, of each window of a song of `num_frames`."""
        stride = self.max_frames - self.overlap_frames
        last = max(0, -(-(num_frames - self.max_frames) // stride))
        return [(i * stride, min(i * stride + self.max_frames, num_frames)) for i in range(last + 1)]

    def frames_to_seconds(self, frames: int | np.ndarray) -> float | np.ndarray:
        """Seconds of audio in a number of frames."""
        return frames * self.hop_length / self.sampling_rate


def _as_waveforms(audio: np.ndarray | list) -> list[np.ndarray]:
    """One waveform or a list of them, as a list. A two-dimensional array is a batch of equally long ones."""
    if hasattr(audio, "ndim"):  # of another library, too
        audio = np.asarray(audio)
    elif len(audio) > MOST_CHANNELS and all(np.ndim(one) == 1 and len(one) <= MOST_CHANNELS for one in audio):
        raise ValueError(f"audio must be mono, but these are samples of up to {MOST_CHANNELS} channels each")
    if isinstance(audio, np.ndarray):
        if audio.ndim == 2 and audio.shape[1] <= MOST_CHANNELS < audio.shape[0]:
            raise ValueError(f"audio must be mono, but shape {audio.shape} is that of {audio.shape[1]} channels")
        return list(audio) if audio.ndim == 2 else [audio]
    if len(audio) and np.ndim(audio[0]) == 0:
        return [np.asarray(audio)]
    return [np.asarray(waveform) for waveform in audio]


__all__ = ["TabHeroFeatureExtractor"]
