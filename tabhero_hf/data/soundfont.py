"""Recorded instruments: the notes of a made song played by FluidSynth from a General MIDI soundfont.

Debian has both, `fluidsynth` and `fluid-soundfont-gm`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import mido
import numpy as np
import soundfile

from . import synthesis as syn
from .synthetic import DRUM_LEVELS, SHAPES, Note, decibels

# General MIDI programs, from 0.
GUITARS = (24, 25, 26, 27, 27, 27)
MUTED_GUITAR = 28
BASSES = (32, 33, 33, 34, 34, 35, 36, 37, 38)
KEYS = (0, 1, 2, 4, 5, 6, 16, 17, 18, 48, 50, 62, 80, 81)
VOICES = (52, 53, 54, 65, 66, 85)
KITS = (0, 8, 16, 24, 25, 32, 40)
"""Standard, room, power, electronic, TR-808, jazz and brush."""

DRUMS = {
    "kick": (36, 35),
    "snare": (38, 40),
    "hat": (42,),
    "open": (46,),
    "ride": (51, 59),
    "crash": (49, 57),
    "china": (52,),
    "tom0": (48, 50),
    "tom1": (47, 45),
    "tom2": (41, 43),
}
"""General MIDI notes of each drum."""

HIT_SECONDS = 3.0
LATEST_ATTACK = 0.04  # s
TICKS_A_SECOND = 10_000
PATIENCE = 600.0  # s
BEND_RANGE = 12  # semitones
BEND_STEPS = 12
DRUM_CHANNEL = 9

Event = tuple[float, mido.Message]


def check_soundfont(soundfont: str | os.PathLike[str]) -> None:
    """Raise what is missing to play from a soundfont.

    Raises:
        ValueError: `soundfont` is no file, or FluidSynth is not installed.
    """
    if not Path(soundfont).is_file():
        raise ValueError(f"there is no soundfont at {soundfont}")
    if shutil.which("fluidsynth") is None:
        raise ValueError("soundfonts are played by FluidSynth, and there is no program fluidsynth")


def play_guitar(soundfont: str, rng: np.random.Generator, part: Sequence[Note], samples: int) -> np.ndarray:
    """A clean guitar, as its amplifier gets it: picked or, where muted, damped by the palm."""
    program = int(rng.choice(GUITARS))
    damped = [note for note in part if note.muted]
    strings = _play(soundfont, rng, [note for note in part if not note.muted], program, samples)
    strings += _play(soundfont, rng, damped, int(rng.choice([program, MUTED_GUITAR])), samples)
    return strings / (syn.active_rms(strings) + 1e-9)


def play(
    soundfont: str, rng: np.random.Generator, part: Sequence[Note], programs: Sequence[int], samples: int
) -> np.ndarray:
    """A part on one of some instruments: mono float32 of (samples,) at `synthesis.SAMPLE_RATE`, RMS about 1.

    Raises:
        ValueError: FluidSynth cannot play from this soundfont; its words are in the message.
    """
    sound = _play(soundfont, rng, part, int(rng.choice(programs)), samples)
    return sound / (syn.active_rms(sound) + 1e-9)


def draw_kit(soundfont: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The sounds of a recorded drum kit by name, each at its level in the mix, as `synthetic.draw_kit`."""
    hits = _kit(soundfont, int(rng.choice(KITS)))
    kit = {}
    for name, level in DRUM_LEVELS.items():
        sound = syn.equalise(hits[rng.choice(DRUMS[name])], syn.random_curve(rng, 2.5))
        kit[name] = sound * np.float32(decibels(rng, level, 3.0) / (np.abs(sound).max() + 1e-9))
    return kit


@lru_cache(maxsize=len(KITS))
def _kit(soundfont: str, program: int) -> dict[int, np.ndarray]:
    """The sound of each drum of a kit by MIDI note."""
    drums = [drum for choices in DRUMS.values() for drum in choices]
    events: list[Event] = [(0.0, mido.Message("program_change", channel=DRUM_CHANNEL, program=program))]
    for i, drum in enumerate(drums):
        events += [
            (i * HIT_SECONDS, mido.Message("note_on", channel=DRUM_CHANNEL, note=drum, velocity=110)),
            ((i + 0.9) * HIT_SECONDS, mido.Message("note_off", channel=DRUM_CHANNEL, note=drum)),
        ]
    length = int(HIT_SECONDS * syn.SAMPLE_RATE)
    sound = _render(soundfont, events, len(drums) * length)
    hits = [hit[round(_attack(hit) * syn.SAMPLE_RATE) :] for hit in sound.reshape(len(drums), length)]
    return {drum: syn.fade_out(hit.copy(), 0.05) for drum, hit in zip(drums, hits, strict=True)}


@lru_cache(maxsize=128)
def _lateness(soundfont: str, program: int) -> float:
    """Seconds that an instrument takes to sound, by which it has to be played early."""
    pitch = 40 if program in BASSES else 60
    events: list[Event] = [
        (0.0, mido.Message("program_change", program=program)),
        (0.0, mido.Message("note_on", note=pitch, velocity=110)),
        (0.5, mido.Message("note_off", note=pitch)),
    ]
    return _attack(_render(soundfont, events, syn.SAMPLE_RATE))


def _attack(sound: np.ndarray) -> float:
    """Seconds until a sound has half of its first loudness, `LATEST_ATTACK` at most."""
    start = np.abs(sound[: round(2 * LATEST_ATTACK * syn.SAMPLE_RATE)])
    return min(float(np.argmax(start >= 0.5 * start.max())) / syn.SAMPLE_RATE, LATEST_ATTACK)


def _play(soundfont: str, rng: np.random.Generator, part: Sequence[Note], program: int, samples: int) -> np.ndarray:
    if not part:
        return np.zeros(samples, np.float32)
    tuning, spread = rng.normal(0.0, 0.08), rng.uniform(0.0, 0.004)
    # The range of bends is registered parameter 0.
    events: list[Event] = [(0.0, mido.Message("program_change", program=program))]
    events += [
        (0.0, mido.Message("control_change", control=control, value=value))
        for control, value in ((101, 0), (100, 0), (6, BEND_RANGE))
    ]
    early = _lateness(soundfont, program)
    for note in part:
        start = max(note.time - early, 0.0)
        # A moment before the next one, of the same pitch perhaps.
        end = max(start + note.length - 0.004, start + 0.01)
        glides = np.linspace(-note.glide, 0.0, BEND_STEPS) if note.glide else np.zeros(1)
        events += [
            (start + min(0.01 * step, note.length), mido.Message("pitchwheel", pitch=_bend(glide + tuning)))
            for step, glide in enumerate(glides)
        ]
        loudness = note.velocity * (0.6 if note.legato else 1.0) * rng.uniform(0.85, 1.0)
        velocity = int(np.clip(120 * loudness, 1, 127))
        for voice, above in enumerate(SHAPES[note.shape][0]):
            pitch = min(note.root + above, 127)
            strike = min(start + voice * spread, end - 0.005)
            events.append((strike, mido.Message("note_on", note=pitch, velocity=velocity)))
            events.append((end, mido.Message("note_off", note=pitch)))
    return _render(soundfont, events, samples)


def _bend(semitones: float) -> int:
    return int(np.clip(8192 * semitones / BEND_RANGE, -8192, 8191))


def _render(soundfont: str, events: list[Event], samples: int) -> np.ndarray:
    """The sound of some events, all of whose notes are ended: FluidSynth goes on while a note is held."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    now = 0
    for time, message in sorted(events, key=lambda event: event[0]):
        tick = round(time * TICKS_A_SECOND)
        track.append(message.copy(time=tick - now))
        now = tick
    # So much sound at least: FluidSynth stops with the file.
    end = round(samples / syn.SAMPLE_RATE * TICKS_A_SECOND)
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    options = ("-niq", "-R0", "-C0", "-g0.3", "-z64", "-Twav", "-Ofloat", f"-r{syn.SAMPLE_RATE}")
    with TemporaryDirectory() as folder:
        score, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        mido.MidiFile(ticks_per_beat=TICKS_A_SECOND // 2, tracks=[track]).save(score)
        # Only what is played is loaded, and no other soundfont where this one cannot be.
        settings = ("-osynth.dynamic-sample-loading=1", "-osynth.default-soundfont=")
        command = ["fluidsynth", *options, *settings, f"-F{sound}", soundfont, str(score)]
        try:
            played = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise ValueError(f"FluidSynth does not come to an end with {soundfont}") from None
        rendered = np.zeros((0, 2), np.float32)
        if sound.is_file():
            rendered, _ = soundfile.read(sound, frames=samples, dtype="float32")
    # It has no exit status for a file that is no soundfont.
    if not rendered.any():
        raise ValueError(f"FluidSynth cannot play from {soundfont}: {played.stderr.strip()}")
    mono = rendered.mean(axis=1)
    return np.pad(mono, (0, samples - len(mono)))
