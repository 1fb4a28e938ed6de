"""Small songs of noise, made where a test needs them."""

from pathlib import Path

import numpy as np
import soundfile

from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, TempoMap, Track, write_song

LEAD, EXPERT = Instrument.LEAD, Difficulty.EXPERT


def made_track(key: tuple[Instrument, Difficulty], seconds: float, seed: int = 0) -> Track:
    """Eighth notes at 150 BPM, from 1 s to `seconds`; half as many on Hard."""
    rng = np.random.default_rng([seed, *key])
    step = 96 if key[1] == EXPERT else 192
    ticks = range(480, int(seconds * 480), step)  # 150 BPM and 192 ticks a beat: 480 a second
    return Track(*key, tuple(Note(tick, (int(rng.integers(5)),), 48 * (tick % 480 == 0)) for tick in ticks))


def made_chart(*keys: tuple[Instrument, Difficulty], seconds: float = 4.0, seed: int = 0, **fields) -> Chart:
    tracks = {key: made_track(key, seconds, seed) for key in keys or [(LEAD, EXPERT)]}
    return Chart(TempoMap(192, ((0, 150.0),)), tracks, **fields)


def made_audio(folder: Path, stem: str, seed: int, seconds: float = 5.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.wav"
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 22050))
    soundfile.write(path, samples, 22050, "PCM_16")
    return path


def made_song(path: Path, seed: int, chart: Chart | None = None, stems=("song",), seconds: float = 5.0, **metadata):
    """A song of noise, with the artist `Artist` and the path's name as its title."""
    sources = path.parent.parent / f"audio of {path.parent.name}"
    files = [made_audio(sources / path.name, stem, 100 * seed + i, seconds) for i, stem in enumerate(stems)]
    metadata = {"artist": "Artist", "name": path.stem, **metadata}
    target = write_song(path, chart or made_chart(seed=seed, seconds=seconds - 1), metadata=metadata)
    if path.suffix:
        return write_song(path, chart or made_chart(seed=seed, seconds=seconds - 1), files, metadata=metadata)
    for file in files:
        file.rename(target / file.name)
    return target
