"""
A folder of songs to a dataset on disk: `data/<split>/<song_id>-<audio>.parquet`, the settings of the features beside
it, and `report.json`.

Each song is prepared on its own, by [`prepare_song`], in whatever process and on whatever machine, into the hidden
folder `.prepared`: Parquet files first, then one JSON file that says the song is finished. Files appear whole or not
at all, so a run may be killed at any moment, and the next one does what is unfinished. When all songs are done, what
belongs to the dataset is linked from there to `data`: duplicates are found, and all of `data` follows from the songs
and the settings alone, to the byte, whoever prepared what and when.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from transformers.utils import FEATURE_EXTRACTOR_NAME

from ..audio.alignment import chart_lag
from ..audio.loading import AudioError, audio_duration, load_audio
from ..charts.check import check
from ..charts.errors import ChartError
from ..charts.library import song_paths
from ..charts.notes import Chart, Difficulty, Instrument, SecondsNote, Track
from ..charts.packed import File, open_content, replacing, write_bytes
from ..charts.song_folder import Song, read_song
from ..charts.tempo import TempoMap
from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import TIME_STEP
from .schema import FEATURE_FIELDS, SCHEMA_VERSION, SPLITS, ChartKey, Parts, SongIdentity, window_rows, window_schema
from .tab_file import GENRES

DATA, STAGING, REPORT = "data", ".prepared", "report.json"
METADATA_KEY = b"tabhero"
"""Where a Parquet file's metadata hold what [`audio_facts`] says, as JSON."""

INSTRUMENTS = (Instrument.LEAD, Instrument.BASS, Instrument.RHYTHM, Instrument.KEYS)
"""What models chart."""

INSTRUMENT_STEMS = {
    Instrument.LEAD: "guitar",
    Instrument.BASS: "bass",
    Instrument.RHYTHM: "rhythm",
    Instrument.KEYS: "keys",
}
MIX = "mix"
BACKING = "+backing"

MAX_BROKEN_NOTES = 0.1
"""A chart with a larger share of notes that came apart (`brokenNote`) was not written by hand and ear."""

STAGE_VERSION = 2
"""Songs that an earlier version of what follows has prepared are prepared anew."""

MAX_NOTES_OUTSIDE = 0.1
"""A chart with a larger share of notes outside the audio belongs to another recording."""

BEAT_DIVISIONS, MAX_NOTES_OFF_BEAT = 24, 0.5
"""A chart at the default tempo with a larger share of notes off these divisions was never set to the music's tempo."""

# Bits of a mel's low mantissa are noise, but those above are not: the fastest level takes 15 % off real music, in 1 ms
# a window, and higher ones take off no more.
PARQUET_OPTIONS = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": False,
    "write_statistics": False,
    "version": "2.6",
    "row_group_size": 16,
}

GENRE_WORDS = {
    "metal": ("metal", "djent", "grindcore", "deathcore", "metalcore"),
    "punk": ("punk", "hardcore", "emo"),
    "hiphop": ("hip hop", "hiphop", "rap", "trap"),
    "reggae": ("reggae", "ska", "dub"),
    "country": ("country", "bluegrass"),
    "blues": ("blues", "r&b"),
    "jazz": ("jazz", "fusion", "swing"),
    "classical": ("classical", "orchestral", "baroque"),
    "indie": ("indie",),
    "alternative": ("alternative", "grunge", "shoegaze"),
    "electronic": ("electronic", "electro", "edm", "techno", "house", "trance", "dubstep", "dance", "synthwave"),
    "folk": ("folk", "acoustic"),
    "pop": ("pop", "disco", "j pop", "k pop"),
    "rock": ("rock", "surf"),
}
"""Words of a song's genre and the genre they speak for; the first one found counts, the special before the general."""


class PreparationError(ValueError):
    """The songs, the settings or the folder to write to are not what they have to be."""


@dataclass(frozen=True)
class PreparationSettings:
    """
    What is taken of each song.

    Args:
        difficulties, instruments: Which charts; their names in any case, or members.
        audio: What they are charted to: `mix`, the sum of all stems; `stem`, the instrument's own one, without which a
            chart is skipped; `auto`, the instrument's own one where there is one, else the sum; `parts`, the
            instrument's own one and, beside it, the sum of all others, for training to mix.
        align: Move each audio's charts to where its onsets are, see [`~tabhero_hf.audio.alignment.chart_lag`].
        min_notes: A chart with fewer is skipped.
        min_duration, max_duration: Seconds; a shorter or longer song is skipped.
        splits: Shares of training, validation and test.
        max_frames, overlap_frames: Mel frames of a window, and those that it shares with the next one.

    Raises:
        PreparationError: One of them makes no sense.
    """

    difficulties: tuple[Difficulty, ...] = tuple(Difficulty)
    instruments: tuple[Instrument, ...] = INSTRUMENTS
    audio: Literal["mix", "stem", "auto", "parts"] = "auto"
    align: bool = False
    min_notes: int = 1
    min_duration: float = 0.0
    max_duration: float = float("inf")
    splits: tuple[float, float, float] = (0.9, 0.05, 0.05)
    max_frames: int = 4096
    overlap_frames: int = 256

    def __post_init__(self):
        try:
            for name, kind in (("difficulties", Difficulty), ("instruments", Instrument)):
                members = {kind.parse(value) for value in getattr(self, name)}
                object.__setattr__(self, name, tuple(sorted(members)))
        except ValueError as error:
            raise PreparationError(str(error)) from None
        object.__setattr__(self, "splits", tuple(self.splits))
        if not self.difficulties or not self.instruments:
            raise PreparationError("name at least one difficulty and one instrument")
        if not set(self.instruments) <= set(INSTRUMENTS):
            known = ", ".join(instrument.name.lower() for instrument in INSTRUMENTS)
            raise PreparationError(f"models chart the instruments {known}, no others")
        if self.audio not in ("mix", "stem", "auto", "parts"):
            raise PreparationError(f"audio is mix, stem, auto or parts, not {self.audio!r}")
        if self.min_notes < 1:
            raise PreparationError(f"a chart has at least 1 note: min_notes cannot be {self.min_notes}")
        if not 0 <= self.min_duration < self.max_duration:
            raise PreparationError(
                f"min_duration ({self.min_duration}) must be at least 0 and less than max_duration "
                f"({self.max_duration})"
            )
        if len(self.splits) != len(SPLITS) or not (min(self.splits) >= 0 and abs(sum(self.splits) - 1) <= 1e-6):
            raise PreparationError(f"splits are three shares that sum to 1, not {self.splits}")

        if not 0 <= self.overlap_frames < self.max_frames:
            raise PreparationError(
                f"overlap_frames ({self.overlap_frames}) must be at least 0 and less than max_frames "
                f"({self.max_frames})"
            )

    @property
    def extractor(self) -> TabHeroFeatureExtractor:
        """The one whose features and windows the dataset has."""
        return feature_extractor(self.max_frames, self.overlap_frames)

    def split_of(self, song_id: str) -> str:
        """The split of a song, for all recordings and charts of it, unless they hang together with others: it is
        the same however many others there are."""
        place, bound = int(song_id[:8], 16) / 2**32, 0.0
        for split, share in zip(SPLITS, self.splits):
            bound += share
            if place < bound:
                return split
        return max(zip(self.splits, SPLITS))[1]  # the shares sum to a little less than 1

    def song_settings(self) -> dict:
        """What of this makes a difference to a song that is prepared, and all else that does."""
        settings = {name: value for name, value in asdict(self).items() if name != "splits"}
        return settings | {"layout": layout_facts(self.extractor)}


@dataclass(frozen=True)
class PreparedChart:
    """A chart of a prepared audio; `digest` is of its notes."""

    difficulty: int
    instrument: int
    notes: int
    digest: str

    @property
    def key(self) -> ChartKey:
        return ChartKey(self.difficulty, self.instrument)

    @property
    def name(self) -> str:
        """As reports call it: `expert lead`."""
        return f"{Difficulty(self.difficulty).name} {Instrument(self.instrument).name}".lower()


@dataclass(frozen=True)
class PreparedAudio:
    """An audio of a song with its charts; `content` is the hash of its files, `size` that of its Parquet file."""

    name: str
    content: str
    seconds: float
    size: int
    charts: tuple[PreparedChart, ...]


@dataclass(frozen=True)
class Remark:
    """Something of a song that was left out: a chart, or notes of it."""

    chart: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """A song of which Parquet files were written, one for each of its audios."""

    song_id: str
    audios: tuple[PreparedAudio, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A song of which nothing was taken; `settled` where another try would end in the same way."""

    reason: str
    remarks: tuple[Remark, ...] = ()
    settled: bool = field(default=True, compare=False)


Result = Prepared | Skipped
Task = tuple[Path, Path, PreparationSettings]
"""The arguments of [`prepare_song`]."""
Engine = Callable[[Sequence[Task]], Iterator[tuple[int, Result]]]
"""Calls [`prepare_song`] with each task and yields its number and result, in any order."""


# One song


def prepare_song(path: Path, stage: Path, settings: PreparationSettings) -> Result:
    """
    Prepares a song, in any process.

    Args:
        path: As [`~tabhero_hf.charts.read_song`] takes it.
        stage: Beginning of the names of the files to write: `<stage>-<audio>.parquet` for each audio, and in the end
            `<stage>.json`, the result, unless another try may end otherwise.

    Raises:
        OSError: A file cannot be written. One that cannot be read is the result's reason.
    """
    try:
        song_id, tables, remarks = _read(path, settings)
        result = None
    except _Left as left:
        result = Skipped(left.reason, left.remarks)
    except (ChartError, AudioError) as error:
        # What the system refuses today, tomorrow it may not.
        result = Skipped(_within(path, str(error)), settled=not isinstance(error.__cause__, OSError))
    except Exception as error:  # one strange song must not end the preparation of ten thousand
        result = Skipped(_within(path, f"{type(error).__name__}: {error}"), settled=False)
    if result is None:
        audios = []
        for audio, table in tables:
            written = staged_file(stage, audio.name)
            write_parquet(table, written)
            audios.append(PreparedAudio(**{**vars(audio), "size": written.stat().st_size}))
        result = Prepared(song_id, tuple(audios), remarks)
    if not isinstance(result, Skipped) or result.settled:
        write_bytes(_index_file(stage), json.dumps(asdict(result)).encode())
    return result


class _Left(Exception):
    """Nothing is taken of a song."""

    def __init__(self, reason: str, remarks: Iterable[Remark] = ()):
        super().__init__(reason)
        self.reason, self.remarks = reason, tuple(remarks)


def _read(path: Path, settings: PreparationSettings) -> tuple[str, list, tuple[Remark, ...]]:
    """A song's id, its audios as [`PreparedAudio`] and table, and what was left out."""
    song = read_song(path)
    if not song.stems:
        raise _Left("no audio")
    wanted = [
        key
        for key, track in sorted(song.chart.tracks.items())
        if track.notes and track.instrument in settings.instruments and track.difficulty in settings.difficulties
    ]
    if not wanted:
        raise _Left("none of the asked charts")
    duration = audio_duration(song.stems)
    if not settings.min_duration <= duration <= settings.max_duration:
        raise _Left(f"{duration:.1f} s long")

    remarks, charted = [], {}
    broken = broken_charts(song.chart)
    for key in wanted:
        files = audio_of(song, key[0], settings.audio)
        if reason := broken.get(key) or (None if files else f"no stem of its own ({INSTRUMENT_STEMS[key[0]]})"):
            remarks.append(Remark(_name(key), reason))
        else:
            charted.setdefault(files, []).append(key)

    digests = {file: _file_digest(file) for file in song.stems} if charted else {}
    artist, title = (song.metadata.get(key, "").strip() for key in ("artist", "name"))
    song_id = _song_id(artist, title, sorted(digests.values()))
    identity = SongIdentity(song_id, "", artist, title, genre_number(song.metadata.get("genre", "")))
    tables = []
    for (name, files), waveform, backing in decoded(song.stems, charted, settings.audio == "parts"):
        if not waveform.any():
            remarks += [Remark(_name(key), f"its audio ({name}) is silent") for key in charted[name, files]]
            continue
        seconds = len(waveform) / feature_extractor().sampling_rate
        played = {key: song.chart.to_seconds(*key) for key in charted[name, files]}
        lag = _lag(waveform, played.values()) if settings.align else 0.0
        charts = {}
        for key, notes in played.items():
            notes = [(onset + lag, *rest) for onset, *rest in notes]
            # A tick as near as can be to the first sample may lie before it.
            kept = [(max(onset, 0.0), *rest) for onset, *rest in notes if -TIME_STEP / 2 < onset < seconds]
            outside = len(notes) - len(kept)
            if outside > MAX_NOTES_OUTSIDE * len(notes):
                remarks.append(Remark(_name(key), f"{outside} of {len(notes)} notes are outside the audio"))
            elif len(kept) < settings.min_notes:
                remarks.append(Remark(_name(key), f"{len(kept)} notes, fewer than {settings.min_notes}"))
            else:
                charts[ChartKey(int(key[1]), int(key[0]))] = kept
                if outside:
                    remarks.append(Remark(_name(key), f"{outside} notes before or after the audio were left out"))
        if not charts:
            continue
        if backing is not None:
            name += BACKING
        audio = PreparedAudio(
            name,
            digest(*sorted(digests[file] for file in files)),
            seconds,
            0,
            tuple(PreparedChart(*key, len(notes), _notes_digest(notes)) for key, notes in sorted(charts.items())),
        )
        facts = audio_facts(waveform, song.chart)
        table = window_table(identity._replace(audio=name), waveform, charts, facts, settings.extractor, backing)
        tables.append((audio, table))
    if not tables:
        raise _Left("none of its charts can be used", remarks)
    return song_id, tables, tuple(remarks)


def audio_of(song: Song, instrument: Instrument, audio: str) -> tuple[str, tuple[File, ...]] | None:
    """
    The audio that an instrument is charted to: its name and the stems to sum.

    The bass has the rhythm stem where it has none of its own and no rhythm guitar is charted.

    Args:
        audio: `mix`, `stem`, `auto` or `parts`, see [`PreparationSettings`].

    Returns:
        `None` where the instrument has to have a stem and has none.
    """
    if audio != MIX:
        stems = {os.path.splitext(file.name)[0].lower(): file for file in song.stems}
        names = [INSTRUMENT_STEMS[instrument]]
        if instrument == Instrument.BASS and not any(
            track.notes for track in song.chart.tracks.values() if track.instrument == Instrument.RHYTHM
        ):
            names.append(INSTRUMENT_STEMS[Instrument.RHYTHM])
        for name in names:
            if name in stems:
                return name, (stems[name],)
    return None if audio in ("stem", "parts") else (MIX, tuple(song.stems))


def decoded(
    stems: Sequence[File], asked: Iterable[tuple[str, tuple[File, ...]]], apart: bool = False
) -> Iterator[tuple[tuple[str, tuple[File, ...]], np.ndarray, np.ndarray | None]]:
    """
    The asked audios as mono float32 `(samples,)`: single stems in their order, then the sum. With `apart`, each single
    stem comes with the sum of all others, else with `None`, and every stem is decoded once.

    Raises:
        AudioError: A stem cannot be decoded.
    """
    single = {files[0]: (name, files) for name, files in asked if name != MIX}
    mixed = next(((name, files) for name, files in asked if name == MIX), None)
    sampling_rate = feature_extractor().sampling_rate
    total = np.zeros(0, dtype=np.float32)
    for file in stems:
        if not mixed and file not in single:
            continue
        waveform = load_audio([file], sampling_rate)
        if file in single:
            others = [other for other in stems if other != file] if apart else []
            yield single[file], waveform, load_audio(others, sampling_rate) if others else None
        if mixed:
            total = np.pad(total, (0, max(0, len(waveform) - len(total))))
            total[: len(waveform)] += waveform
    if mixed:
        yield mixed, total, None


def _lag(waveform: np.ndarray, charts: Iterable[list[SecondsNote]]) -> float:
    """Of the chart with most notes, as it is the nearest to what is played."""
    onsets = np.array([note[0] for note in max(charts, key=len)])
    return chart_lag(onsets, waveform, feature_extractor().sampling_rate)


def broken_charts(chart: Chart) -> dict[tuple[Instrument, Difficulty], str]:
    """
    The charts that would teach a model something wrong, and why.

    Of the rules of [`~tabhero_hf.charts.check`] only these make a chart broken, as all others (missing sections or
    star power, small gaps after sustains, chords that a difficulty should not have) are met in good charts by hand:

    - `difficultyNotReduced`: Expert's notes under the name of an easier difficulty. Notes that are struck whenever
      those of a harder difficulty are, on whatever lanes, are no level of their own either.
    - `brokenNote`, if more than a tenth of the notes: chords that came apart.
    - `isDefaultBPM`, if most notes are off the beat as well: nobody ever set this chart to the music. (A song at 120
      BPM has its notes on the beat.)
    """
    problems = check(chart)
    unset_tempo = any(problem.rule == "isDefaultBPM" for problem in problems)
    of_tracks = Counter((problem.instrument, problem.difficulty, problem.rule) for problem in problems)
    broken = {}
    for key, track in chart.tracks.items():
        apart = of_tracks[*key, "brokenNote"]
        if of_tracks[*key, "difficultyNotReduced"]:
            broken[key] = "its notes are Expert's, none is left out (difficultyNotReduced)"
        elif copied := _harder_of_same_onsets(chart, track):
            broken[key] = f"struck whenever {copied.name.lower()} is, none is left out"
        elif apart > MAX_BROKEN_NOTES * len(track.notes):
            broken[key] = f"{apart} of {len(track.notes)} notes come right after another (brokenNote)"
        elif unset_tempo and track.notes and _share_off_beat(track, chart.tempo_map) > MAX_NOTES_OFF_BEAT:
            broken[key] = "at 120 BPM throughout, with notes off the beat (isDefaultBPM)"
    return broken


def _harder_of_same_onsets(chart: Chart, track: Track) -> Difficulty | None:
    onsets = {note.tick for note in track.notes}
    for difficulty in Difficulty:
        harder = chart.tracks.get((track.instrument, difficulty)) if difficulty > track.difficulty else None
        if harder and onsets == {note.tick for note in harder.notes}:
            return difficulty
    return None


def _share_off_beat(track: Track, tempo_map: TempoMap) -> float:
    """The share of notes that are half a tick or more from every 24th of a quarter note."""
    places = np.array([note.tick for note in track.notes]) * BEAT_DIVISIONS / tempo_map.resolution
    ticks_off = np.abs(places - np.rint(places)) * tempo_map.resolution / BEAT_DIVISIONS
    return float((ticks_off > 0.5).mean())


def genre_number(text: str) -> int:
    """The number of [`~tabhero_hf.data.tab_file.GENRES`] that a song's genre, in its charter's words, is nearest."""
    words = " ".join("".join(c if c.isalnum() or c == "&" else " " for c in text.lower()).split())
    if not words or words in GENRES:
        return GENRES.index(words or "unknown")
    for genre, signs in GENRE_WORDS.items():
        # Genres end in these words, as in "nu metal" and "britpop"; "rap" in the middle of a word is another one.
        if any(f"{sign} " in f"{words} " for sign in signs):
            return GENRES.index(genre)
    return GENRES.index("other")


def window_table(
    song: SongIdentity,
    waveform: np.ndarray,
    charts: dict[ChartKey, list[SecondsNote]],
    facts: dict[str, float],
    extractor: TabHeroFeatureExtractor,
    backing: np.ndarray | None = None,
):
    """The rows of an audio, and of what is played beside it, as a `pyarrow.Table` that says how they were made."""
    import pyarrow as pa

    mel, parts = (extractor.log_mel(waveform), None) if backing is None else mels_apart(waveform, backing, extractor)
    metadata = {METADATA_KEY: json.dumps({**layout_facts(extractor), **facts}, sort_keys=True).encode()}
    schema = window_schema().with_metadata(metadata)
    return pa.Table.from_pylist(list(window_rows(song, mel, charts, extractor, parts)), schema=schema)


def mels_apart(
    waveform: np.ndarray, backing: np.ndarray, extractor: TabHeroFeatureExtractor
) -> tuple[np.ndarray, Parts]:
    """The features of two sounds, each `(samples,)`, on the scale that their sum's features have."""
    samples = max(len(waveform), len(backing))
    sounds = [np.pad(sound, (0, samples - len(sound))) for sound in (waveform, backing)]
    peak = max(np.abs(sum(sounds)).max(), 1e-9)
    one, other, both = (
        np.log(np.maximum(extractor.mel(sound / peak), extractor.log_floor)) for sound in (*sounds, sum(sounds))
    )
    mean, scale = both.mean(dtype=np.float64), max(float(both.std(dtype=np.float64)), 1e-6)
    return (one - mean) / scale, Parts((other - mean) / scale, scale)


def layout_facts(extractor: TabHeroFeatureExtractor) -> dict:
    """What makes the rows of one dataset alike."""
    return {
        "schema_version": SCHEMA_VERSION,
        "features": {name: getattr(extractor, name) for name in FEATURE_FIELDS},
        "windows": {"max_frames": extractor.max_frames, "overlap_frames": extractor.overlap_frames},
    }


def audio_facts(waveform: np.ndarray, chart: Chart) -> dict[str, float]:
    """
    What of an audio and its charts is not in the rows, for the statistics.

    Returns:
        `loudness`, the root mean square in dB below full scale; `spectral_centroid` in Hz, the mean frequency weighted
        by magnitude, averaged over every fourth of the frames of `n_fft` samples that lie side by side; and `tempo` in
        BPM, the average from the first to the last note of all charts.
    """
    import scipy.fft

    extractor = feature_extractor()
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    frames = waveform[: len(waveform) // extractor.n_fft * extractor.n_fft].reshape(-1, extractor.n_fft)[::4]
    frequencies = np.fft.rfftfreq(extractor.n_fft, 1 / extractor.sampling_rate)
    magnitude = np.abs(scipy.fft.rfft(frames * extractor.window))
    total = magnitude.sum(axis=1)
    heard = total > 1e-3  # silence has no centre
    centroids = np.einsum("fb,b->f", magnitude[heard], frequencies) / total[heard]

    ticks = [note.tick for track in chart.tracks.values() for note in track.notes]
    first, last = chart.tempo_map.seconds([min(ticks), max(max(ticks), min(ticks) + 1)])
    beats = max(max(ticks) - min(ticks), 1) / chart.tempo_map.resolution
    facts = {
        "loudness": 10 * np.log10(max(power, 1e-12)),
        "spectral_centroid": centroids.mean() if len(centroids) else 0.0,
        "tempo": 60 * beats / (last - first),
    }
    return {name: round(float(value), 3) for name, value in facts.items()}


def write_parquet(table, path: Path) -> None:
    """Writes a `pyarrow.Table` under its name at once, the same bytes each time."""
    import pyarrow.parquet as pq

    with replacing(path) as building:
        pq.write_table(table, building, **PARQUET_OPTIONS)


@cache
def feature_extractor(max_frames: int = 4096, overlap_frames: int = 256) -> TabHeroFeatureExtractor:
    """The one of a dataset with such windows; its features are the same for all."""
    return TabHeroFeatureExtractor(max_frames=max_frames, overlap_frames=overlap_frames)


def _name(key: tuple[Instrument, Difficulty]) -> str:
    return f"{key[1].name.lower()} {key[0].name.lower()}"


def _within(path: Path, text: str) -> str:
    """A message without the way to the song, which is another one on the next machine."""
    return text.replace(f"{path}{os.sep}", "").replace(str(path), path.name)


def digest(*parts: str) -> str:
    """16 hexadecimal digits that stand for these texts."""
    return blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def _song_id(artist: str, title: str, digests: Sequence[str]) -> str:
    """Half of it names the song, by artist and title or else by its audio; the other half these files of it."""
    names = ["".join(filter(str.isalnum, text.casefold())) for text in (artist, title)]
    return digest(*(names if all(names) else digests))[:8] + digest(artist, title, *digests)[:8]


def _file_digest(file: File) -> str:
    made = blake2b(digest_size=16)
    with open_content(file) as stream:
        while block := stream.read(2**20):
            made.update(block)
    return made.hexdigest()


def _notes_digest(notes: Sequence[SecondsNote]) -> str:
    """Of times rounded to 0.1 ms: a chart that was converted to another format is still the same."""
    return digest(
        *(f"{round(onset * 1e4)} {lanes} {bits} {round(sustain * 1e4)}" for onset, lanes, bits, sustain in notes)
    )


# All songs


def prepare_library(
    songs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: PreparationSettings,
    engine: Engine | None = None,
    progress: bool = False,
) -> dict:
    """
    Prepares all songs below a folder, or what an earlier run that was interrupted has left of them.

    `out/data` then holds exactly what the settings take of these songs: what was there of others is removed. Where
    that is nothing, all stays as it was.

    Args:
        songs: The folder.
        out: Folder of the dataset; made if it is missing.
        engine: Of [`~tabhero_hf.data.engines`]; without one, songs are prepared one by one in this process.
        progress: Whether to show a progress bar.

    Returns:
        The report, as in `out/report.json`: number of `songs`, `charts`, `hours` of audio and `notes`, also by split,
        difficulty and instrument; songs that were `skipped` and `remarks` on charts that were, each with the path in
        the folder and the reason.

    Raises:
        PreparationError: There is no such folder, no song in it, `out` is in the way, or a worker process died.
        OSError: Something cannot be written.
    """
    from tqdm import tqdm

    songs, out = Path(songs), Path(out)
    if find_spec("pyarrow") is None:  # before hours of decoding
        raise PreparationError("datasets need: pip install tabhero-hf[train]")
    if not songs.is_dir():
        raise PreparationError(f"{songs}: no such folder")
    paths = song_paths(songs)
    if not paths:
        raise PreparationError(f"{songs}: no songs in it (folders with notes.chart or notes.mid, .sng, .zip)")
    staging = out / STAGING
    if any((out / DATA).glob("*")) and not staging.exists():
        raise PreparationError(f"{out / DATA} is there already, and no earlier run has made it: choose another folder")
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PreparationError(f"{out}: cannot be written to ({error.strerror})") from error

    names = [path.relative_to(songs).as_posix().encode(errors="backslashreplace").decode() for path in paths]
    stages = [staging / _stage_name(name, path, settings) for name, path in zip(names, paths)]
    results = [_finished(stage) for stage in stages]
    pending = [number for number, result in enumerate(results) if result is None]
    tasks = [(paths[number].absolute(), stages[number].absolute(), settings) for number in pending]
    with tqdm(total=len(paths), initial=len(paths) - len(pending), unit="song", disable=not progress) as bar:
        for task, result in (engine or _one_by_one)(tasks):
            results[pending[task]] = result
            bar.update()

    report = _assemble(out, dict(zip(names, zip(stages, results))), settings)
    if not report["charts"]:
        return report
    _tidy(staging, stages, results)
    write_bytes(out / FEATURE_EXTRACTOR_NAME, settings.extractor.to_json_string().encode())
    write_bytes(out / REPORT, (json.dumps(report, indent=2) + "\n").encode())
    return report


def _one_by_one(tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
    for number, task in enumerate(tasks):
        yield number, prepare_song(*task)


def _stage_name(name: str, path: Path, settings: PreparationSettings) -> str:
    """Names a song's files in the staging folder after all that they follow from, short of reading the song."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        stats = [(os.fsencode(file.name).hex(), file.stat()) for file in files]
        state = [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]
    except OSError as error:
        state = error.errno
    return digest(json.dumps([STAGE_VERSION, name, state, settings.song_settings()], sort_keys=True))


def _index_file(stage: Path) -> Path:
    return stage.with_name(f"{stage.name}.json")


def staged_file(stage: Path, audio: str) -> Path:
    """The Parquet file of an audio in the staging folder."""
    return stage.with_name(f"{stage.name}-{audio}.parquet")


def _finished(stage: Path) -> Result | None:
    """The result of a song that an earlier run has finished, and whose files are whole."""
    try:
        fields = json.loads(_index_file(stage).read_text())
        fields["remarks"] = tuple(Remark(**remark) for remark in fields["remarks"])
        if "reason" in fields:
            return Skipped(**fields)
        for audio in fields["audios"]:
            audio["charts"] = tuple(PreparedChart(**chart) for chart in audio["charts"])
        fields["audios"] = tuple(PreparedAudio(**audio) for audio in fields["audios"])
        result = Prepared(**fields)
        whole = all(staged_file(stage, audio.name).stat().st_size == audio.size for audio in result.audios)
        return result if whole else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _assemble(out: Path, results: dict[str, tuple[Path, Result]], settings: PreparationSettings) -> dict:
    """Makes `data` what the results say, by the order of the songs' paths, and the report on it."""
    seen, placed, totals = {}, set(), _Totals()
    skipped, remarks = [], []
    splits = _splits({song: result for song, (_, result) in results.items() if isinstance(result, Prepared)}, settings)
    for song, (stage, result) in sorted(results.items()):
        remarks += [{"path": song, **asdict(remark)} for remark in result.remarks]
        if isinstance(result, Skipped):
            skipped.append({"path": song, "reason": result.reason})
            continue
        split, taken, repeated = splits[song], False, []
        for audio in result.audios:
            charts = []
            for chart in audio.charts:
                first = seen.setdefault((audio.content, chart.key, chart.digest), song)
                if first == song:
                    charts.append(chart)
                else:
                    repeated.append({"path": song, "chart": chart.name, "reason": f"the same as in {first}"})
            if charts:
                names = _file_names(out / DATA / split, result.song_id, audio.name)
                target = next(path for path in names if path not in placed)
                _place(staged_file(stage, audio.name), target, [chart.key for chart in charts], len(audio.charts))
                totals.add(split, audio.seconds, charts)
                placed.add(target)
                taken = True
        if taken:
            totals.add_song(split)
            remarks += repeated
        else:
            skipped.append({"path": song, "reason": repeated[0]["reason"]})
    for path in (out / DATA).glob("**/*") if placed else ():
        if path.is_file() and path not in placed:
            path.unlink()
    return {**totals.summary(), "skipped": skipped, "remarks": remarks}


def _splits(songs: dict[str, Prepared], settings: PreparationSettings) -> dict[str, str]:
    """The split of each song. Those of one name or charted to one audio, and so on from one to the next, are in one
    split: that of the least id among them."""
    names, first_with, edges = sorted(songs, key=lambda name: songs[name].song_id), {}, []
    for number, name in enumerate(names):
        for tie in (songs[name].song_id[:8], *(audio.content for audio in songs[name].audios)):
            edges.append((number, first_with.setdefault(tie, number)))
    ends = np.array(edges, dtype=int).reshape(-1, 2).T
    groups = connected_components(coo_array((np.ones(len(edges)), ends), shape=(len(names),) * 2), directed=False)[1]
    _, least, groups = np.unique(groups, return_index=True, return_inverse=True)
    return {name: settings.split_of(songs[names[least[group]]].song_id) for name, group in zip(names, groups)}


def _file_names(folder: Path, song_id: str, audio: str) -> Iterator[Path]:
    """Names for a song's audio; one that several songs' folders chart, each in its own way, has the later ones."""
    yield folder / f"{song_id}-{audio}.parquet"
    for number in count(2):
        yield folder / f"{song_id}-{audio}-{number}.parquet"


def _place(staged: Path, target: Path, keys: list[ChartKey], charts: int) -> None:
    """Puts a staged file, with these of its charts alone, where it belongs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(keys) < charts:
        write_parquet(_with_charts(staged, keys), target)
    elif not (target.exists() and target.samefile(staged)):
        building = target.with_name(f".{uuid.uuid4().hex}")
        try:
            os.link(staged, building)
        except OSError:  # not all file systems can
            shutil.copyfile(staged, building)
        os.replace(building, target)


def _with_charts(path: Path, keys: list[ChartKey]):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = table.schema.get_field_index("charts")
    kept = [
        [chart for chart in charts if (chart["difficulty"], chart["instrument"]) in keys]
        for charts in table["charts"].to_pylist()
    ]
    return table.set_column(column, table.field(column), pa.array(kept, type=table.field(column).type))


def _tidy(staging: Path, stages: list[Path], results: list[Result]) -> None:
    """Removes what belongs to no song of this run: of others, of earlier states, or of writers that were killed."""
    kept = set()
    for stage, result in zip(stages, results):
        kept.add(_index_file(stage))
        if isinstance(result, Prepared):
            kept.update(staged_file(stage, audio.name) for audio in result.audios)
    for path in staging.iterdir():
        if path not in kept:
            path.unlink(missing_ok=True)


class _Totals:
    """Sums up what a dataset holds."""

    def __init__(self):
        self.splits = {split: Counter(songs=0, charts=0, seconds=0.0, notes=0) for split in SPLITS}
        self.difficulties, self.instruments = {}, {}

    def add_song(self, split: str):
        self.splits[split]["songs"] += 1

    def add(self, split: str, seconds: float, charts: list[PreparedChart]):
        self.splits[split]["seconds"] += seconds
        for chart in charts:
            difficulty = self.difficulties.setdefault(chart.difficulty, Counter())
            instrument = self.instruments.setdefault(chart.instrument, Counter())
            for counter in (self.splits[split], difficulty, instrument):
                counter.update(charts=1, notes=chart.notes)

    def summary(self) -> dict:
        def rounded(counter: Counter) -> dict:
            return {
                "songs": counter["songs"],
                "charts": counter["charts"],
                "hours": round(counter["seconds"] / 3600, 3),
                "notes": counter["notes"],
            }

        return {
            **rounded(sum(self.splits.values(), Counter())),
            "splits": {split: rounded(counter) for split, counter in self.splits.items()},
            "difficulties": {Difficulty(k).name.lower(): dict(v) for k, v in sorted(self.difficulties.items())},
            "instruments": {Instrument(k).name.lower(): dict(v) for k, v in sorted(self.instruments.items())},
        }


def format_report(report: dict) -> str:
    """A report for a person to read."""
    lines = ["            songs  charts   hours     notes"]
    for name, row in {"all": report, **report["splits"]}.items():
        lines.append(f"{name:<12}{row['songs']:>5}{row['charts']:>8}{row['hours']:>8.2f}{row['notes']:>10}")
    for group in ("difficulties", "instruments"):
        for name, row in report[group].items():
            lines.append(f"{name:<17}{row['charts']:>8}{'':>8}{row['notes']:>10}")
    for title, entries in (("skipped songs", report["skipped"]), ("remarks", report["remarks"])):
        if entries:
            lines.append(f"{title}: {len(entries)}")
            lines += [f"  {', '.join(filter(None, (e['path'], e.get('chart'))))}: {e['reason']}" for e in entries]
    return "\n".join(lines)
