"""Music whose beats are known: a drum kit and a guitar that play to any tempo, meter and swing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tabhero_hf.data.synthesis import SAMPLE_RATE, add_at, drum_kit

CHORDS = (0, 5, 7, 3)


@dataclass(frozen=True, slots=True)
class MadeMusic:
    """Samples at 22050 Hz, `(samples,)`, and the seconds of their `beats` and `downbeats`."""

    samples: np.ndarray
    beats: np.ndarray
    downbeats: np.ndarray


def make_music(
    tempo: Callable[[float], float],
    seconds: float = 40.0,
    meter: Sequence[int] = (4,),
    swing: float = 0.5,
    lead_in: float = 0.3,
    jitter: float = 0.004,
    seed: int = 0,
) -> MadeMusic:
    """
    Rock: kick on odd beats, snare on even ones, a hat on each eighth, and a chord that changes with the measure.

    Args:
        tempo: BPM at a time in seconds.
        seconds: Length.
        meter: Beats of the measures, over and over.
        swing: Where in a beat its second eighth is.
        lead_in: Seconds before the first beat.
        jitter: Standard deviation of the players' timing, in seconds.
        seed: Of chance.
    """
    rng = np.random.default_rng(seed)
    kit = drum_kit(seed)
    samples = rng.normal(0, 2e-3, round(seconds * SAMPLE_RATE)).astype(np.float32)
    beats, downbeats = [lead_in], [lead_in]
    place, measure = 0, 0

    def hit(sound: np.ndarray, time: float, gain: float) -> None:
        add_at(samples, sound, time + rng.normal(0, jitter), gain)

    while beats[-1] < seconds - 1:
        now, length = beats[-1], 60 / tempo(beats[-1])
        size = meter[measure % len(meter)]
        hit(kit["snare" if place % 2 else "kick"], now, 0.8)
        hit(kit["hat"], now, 0.25)
        hit(kit["hat"], now + swing * length, 0.25)
        if place == 0 or rng.random() < 0.3:
            hit(_chord(110 * 2 ** (CHORDS[measure % 4] / 12), length * (size if place == 0 else 1)), now, 0.4)
        if rng.random() < 0.4:
            hit(kit["kick"], now + swing * length, 0.6)
        beats.append(now + length)
        place += 1
        if place == size:
            place, measure = 0, measure + 1
            downbeats.append(beats[-1])
    return MadeMusic(0.5 * samples / np.abs(samples).max(), np.array(beats), np.array(downbeats))


def _chord(hz: float, seconds: float) -> np.ndarray:
    since = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    overtones = sum(np.sin(2 * np.pi * hz * n * since) / n for n in (1, 1.5, 2, 3, 4))
    return (overtones / 3 * np.exp(-1.5 * since)).astype(np.float32)
