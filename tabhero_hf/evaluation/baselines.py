"""Charts that need no model. What a model is worth is by how much it is better than these."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..audio.beats import estimate_tempo_map
from ..charts import TempoMap
from ..tokenization_tabhero import Note
from .metrics import onset_f1

CLICKS_PER_SECOND = 5.0
MOST_EIGHTHS = 50  # a second: of a stranger's tempo map there could be any number
HOP_LENGTH = 256
DELTAS = (0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
SHIFTS = (0.0, 0.015, 0.03)

Lanes = tuple[int, ...]


@dataclass(frozen=True)
class OnsetSettings:
    """How librosa's onsets are picked: `delta` as it has it, and by how many seconds they are late."""

    delta: float = 0.07
    shift: float = 0.0


class LibrosaOnsets:
    """
    The onsets that [librosa.onset.onset_detect](https://librosa.org/doc/latest/generated/librosa.onset.onset_detect.html)
    finds in audio.

    Args:
        waveform: Mono samples `(samples,)`.
        sampling_rate: In Hz.
    """

    def __init__(self, waveform: np.ndarray, sampling_rate: int):
        import librosa

        self.sampling_rate = sampling_rate
        self._strength = librosa.onset.onset_strength(y=waveform, sr=sampling_rate, hop_length=HOP_LENGTH)

    def times(self, settings: OnsetSettings = OnsetSettings()) -> np.ndarray:
        """Seconds of the onsets, ascending, each once and none before 0."""
        import librosa

        times = librosa.onset.onset_detect(
            onset_envelope=self._strength,
            sr=self.sampling_rate,
            hop_length=HOP_LENGTH,
            units="time",
            delta=settings.delta,
        )
        return np.unique(np.maximum(times - settings.shift, 0.0))


def tune_onsets(songs: Sequence[tuple[LibrosaOnsets, Sequence[Note]]]) -> OnsetSettings:
    """The settings with the best mean onset F1 within 50 ms on songs with these notes; librosa's own for no songs."""
    if not songs:
        return OnsetSettings()
    settings = [OnsetSettings(delta, shift) for delta in DELTAS for shift in SHIFTS]
    return max(settings, key=lambda tried: np.mean([onset_f1(notes, chart(o.times(tried))) for o, notes in songs]))


def other_half(index: int, count: int) -> list[int]:
    """The songs that a baseline for song `index` of `count` may be tuned on: those of the other parity."""
    return [other for other in range(count) if other % 2 != index % 2]


def most_common_lanes(charts: Sequence[Sequence[Note]]) -> Lanes:
    """The lanes that most notes of the charts are struck on; green if there are no notes."""
    counts = Counter(lanes for notes in charts for _, lanes, _, _ in notes)
    return max(counts, key=lambda lanes: (counts[lanes], lanes), default=(0,))


def chart(times: Sequence[float], lanes: Lanes = (0,)) -> list[Note]:
    """A strummed note without sustain on the same lanes at each time."""
    return [(float(time), lanes, 0, 0.0) for time in times]


def blind_clicks(seconds: float) -> np.ndarray:
    """Five times a second, from 0 on."""
    return np.arange(0.0, seconds, 1 / CLICKS_PER_SECOND)


def eighth_notes(tempo_map: TempoMap, seconds: float, offset: float = 0.0) -> np.ndarray:
    """
    Every eighth note of a tempo map whose tick 0 is at second `offset` of the audio, up to `seconds`; none where they
    come faster than music has them.
    """
    last = int(tempo_map.ticks(max(seconds - offset, 0.0)))
    if 2 * last / tempo_map.resolution > MOST_EIGHTHS * max(seconds - offset, 1.0):
        return np.zeros(0)
    times = tempo_map.seconds(np.arange(0, last + 1, tempo_map.resolution / 2)) + offset
    return times[(times >= 0) & (times < seconds)]


def fitted_eighth_notes(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Every eighth note of the tempo and phase that [`~tabhero_hf.audio.estimate_tempo_map`] fits to the audio."""
    return eighth_notes(estimate_tempo_map(waveform, sampling_rate), len(waveform) / sampling_rate)


def near_silence(samples: int, seed: int = 0) -> np.ndarray:
    """
    What to let a model chart that should write nothing: noise 70 dB below full scale, float32 of shape `(samples,)`.

    The pipeline does not ask the model about less; here it has to find out by itself.
    """
    return np.random.default_rng(seed).uniform(-3e-4, 3e-4, samples).astype(np.float32)
