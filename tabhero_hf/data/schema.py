"""What a prepared dataset holds: one row for each window of a song's audio, with all charts of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import NUM_LANES, Note

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
SPLITS = ("train", "validation", "test")

# The fields of the feature extractor on which the mels depend: a model has to be given the same.
FEATURE_FIELDS = ("feature_size", "sampling_rate", "hop_length", "n_fft", "log_floor")


class ChartKey(NamedTuple):
    """Difficulty (0 easy to 3 expert) and instrument (0 lead, 1 bass, 2 rhythm, 3 keys) of a chart."""

    difficulty: int
    instrument: int


class SongIdentity(NamedTuple):
    """What is the same in all rows of a song's audio.

    Args:
        song_id: 16 hexadecimal digits, the same for all audios of a song.
        audio: which audio the charts are charted to: `mix`, a stem such as `guitar`, or a stem with all others beside
            it, `guitar+backing`.
        artist, title: of the song.
        genre: a number of [`~tabhero_hf.data.tab_file.GENRES`].
    """

    song_id: str
    audio: str
    artist: str
    title: str
    genre: int


class Parts(NamedTuple):
    """
    What can be mixed with an instrument's mel: features on the same scale, that of the two together.

    Args:
        backing: log-mel of all else `(frames, feature_size)`.
        log_scale: natural logarithms of power in 1 of the features.
    """

    backing: np.ndarray
    log_scale: float


def mix_mels(mel: np.ndarray, parts: Parts, gain: float = 0.0) -> np.ndarray:
    """
    Features of the sum of two sounds, from their features: powers add, whatever their phases.

    Args:
        mel: of the one `(frames, feature_size)`.
        parts: the other.
        gain: of the one, in decibels.
    """
    scale = np.float32(parts.log_scale)
    louder = mel * scale + np.float32(gain * np.log(10) / 10)
    return np.logaddexp(louder, parts.backing * scale) / scale


def window_schema() -> pa.Schema:
    """
    The columns of a window:

    - `song_id`, `audio`, `artist`, `title`, `genre`: see [`SongIdentity`].
    - `window`, `start_frame`, `num_frames`: which window of the song it is, and which mel frames. Windows of one
      song's audio follow one another.
    - `song_frames`: frames of the whole song.
    - `mel`: the log-mel frames, float16, frame-major, `(num_frames, feature_size)`.
    - `backing`: those of the song's other stems, for training to mix with `mel` at any gain (see [`Parts`]); null
      where `mel` is all there is.
    - `log_scale`: natural logarithms of power in 1 of `mel` and `backing`; null without `backing`.
    - `charts`: for each chart `difficulty`, `instrument`, and the notes with onset in the window: `onsets` in seconds
      from the window's start, `lanes` as bits (lane `i` as `2 ** i`), `modifiers` as bits (1 HOPO, 2 tap, 4 star
      power) and `sustains` in seconds.
    """
    import pyarrow as pa

    chart = {
        "difficulty": pa.int8(),
        "instrument": pa.int8(),
        "onsets": pa.list_(pa.float32()),
        "lanes": pa.list_(pa.int16()),
        "modifiers": pa.list_(pa.int8()),
        "sustains": pa.list_(pa.float32()),
    }
    return pa.schema(
        {
            "song_id": pa.string(),
            "audio": pa.string(),
            "artist": pa.string(),
            "title": pa.string(),
            "genre": pa.int8(),
            "window": pa.int32(),
            "start_frame": pa.int32(),
            "num_frames": pa.int32(),
            "song_frames": pa.int32(),
            "mel": pa.binary(),
            "backing": pa.binary(),
            "log_scale": pa.float32(),
            "charts": pa.list_(pa.struct(chart)),
        }
    )


def window_rows(
    song: SongIdentity,
    mel: np.ndarray,
    charts: Mapping[ChartKey, Sequence[Note]],
    extractor: TabHeroFeatureExtractor,
    parts: Parts | None = None,
) -> Iterator[dict]:
    """
    The windows of a song's audio as rows of [`window_schema`].

    Args:
        song: Whose windows they are.
        mel: The whole audio's features `(frames, feature_size)`.
        charts: Notes in seconds of each chart, ascending.
        extractor: Gives the bounds of the windows.
        parts: What the features can be mixed with, of as many frames.
    """
    mel = np.ascontiguousarray(mel, dtype=np.float16)
    backing = None if parts is None else np.ascontiguousarray(parts.backing, dtype=np.float16)
    onsets = {key: np.array([note[0] for note in notes]) for key, notes in charts.items()}
    for window, (first, end) in enumerate(extractor.window_bounds(len(mel))):
        start, stop = extractor.frames_to_seconds(first), extractor.frames_to_seconds(end)
        rows = []
        for key in sorted(charts):
            low, high = np.searchsorted(onsets[key], (start, stop)).tolist()
            rows.append({**key._asdict(), **note_columns(charts[key][low:high], start)})
        yield {
            **song._asdict(),
            "window": window,
            "start_frame": first,
            "num_frames": end - first,
            "song_frames": len(mel),
            "mel": mel[first:end].tobytes(),
            "backing": None if backing is None else backing[first:end].tobytes(),
            "log_scale": None if parts is None else parts.log_scale,
            "charts": rows,
        }


def note_columns(notes: Sequence[Note], start: float) -> dict[str, list]:
    """Notes as the columns of a chart, onsets counted from `start` seconds."""
    return {
        "onsets": [onset - start for onset, _, _, _ in notes],
        "lanes": [sum(1 << lane for lane in lanes) for _, lanes, _, _ in notes],
        "modifiers": [modifiers for _, _, modifiers, _ in notes],
        "sustains": [sustain for _, _, _, sustain in notes],
    }


LANES_OF_BITS = [tuple(lane for lane in range(NUM_LANES) if bits >> lane & 1) for bits in range(2**NUM_LANES)]


def chart_notes(chart: Mapping[str, Sequence], shift: float = 0.0) -> list[Note]:
    """The notes of a chart's columns, `shift` seconds later."""
    columns = zip(chart["onsets"], chart["lanes"], chart["modifiers"], chart["sustains"], strict=True)
    return [(onset + shift, LANES_OF_BITS[lanes], bits, sustain) for onset, lanes, bits, sustain in columns]
