"""A folder of ``.tab`` files as a dataset of windows."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from ..tokenization_tabhero import TabHeroTokenizer
from .schema import SCHEMA_VERSION, ChartKey, SongIdentity, window_rows, window_schema
from .tab_file import TabFile, TabFileError, read_tab

if TYPE_CHECKING:
    from datasets import DatasetDict

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
ROWS_IN_MEMORY = 32  # while they are written


class SkippedTab(NamedTuple):
    """A file of which nothing was taken, and why."""

    path: Path
    reason: str


class TabSong(NamedTuple):
    """
    The charts of one audio.

    Args:
        identity: `song_id` is the number in the files or, where they have none, the mel's hash.
        mel_file: One of the files, for the mel that all of them hold.
        mel_hash: Of that mel.
        charts: Note tokens of each chart.
    """

    identity: SongIdentity
    mel_file: str
    mel_hash: str
    charts: dict[ChartKey, list[int]]


def dataset_from_tab_folder(
    folder: str | os.PathLike[str], extractor: TabHeroFeatureExtractor | None = None
) -> tuple[DatasetDict, list[SkippedTab]]:
    """
    Windows of the songs in a folder of `.tab` files, for [`ChartWindows`], in the cache of `datasets`.

    Charts with one mel share its windows. Files that `manifest.json`, if there is one, lists as `val` become the split
    `validation`, and all others `train`. Times that the original floored stay as they are, and a warning says how many
    files may have them: their notes come ever earlier than in the song.

    Args:
        folder: With the `.tab` files; folders in it are not looked into.
        extractor: Says how windows are cut, and which mels fit. Default settings when unset.

    Returns:
        The splits with columns as in [`~tabhero_hf.data.schema.window_schema`], and the files that were skipped:
        broken ones, those with other mels than the extractor's, and second charts of an audio, difficulty and
        instrument.

    Raises:
        ValueError: no file can be used, or the manifest is broken.
    """
    from datasets import Dataset, DatasetDict, Features

    folder = Path(folder)
    extractor = extractor or TabHeroFeatureExtractor()
    held_out = _held_out(folder / MANIFEST)
    files: dict[str, list[Path]] = {"train": [], "validation": []}
    for path in sorted(folder.glob("*.tab")):
        files["validation" if path.stem in held_out else "train"].append(path)

    splits, skipped = {}, []
    for split, paths in files.items():
        songs, unused = _scan(paths, extractor)
        skipped += unused
        if songs:
            # datasets finds what it has made before by these arguments.
            made_of = {"songs": songs, "extractor": extractor.to_dict(), "version": SCHEMA_VERSION}
            splits[split] = Dataset.from_generator(
                _rows,
                features=Features.from_arrow_schema(window_schema()),
                gen_kwargs=made_of,
                split=split,
                writer_batch_size=ROWS_IN_MEMORY,
            )
    if not splits:
        reasons = "".join(f"\n  {path.name}: {reason}" for path, reason in skipped[:3])
        raise ValueError(f"{folder}: no .tab file that can be used{reasons}")
    return DatasetDict(splits), sorted(skipped)


def _held_out(manifest: Path) -> set[str]:
    """Names, without suffix, of the files for validation."""
    if not manifest.exists():
        return set()
    try:
        names = json.loads(manifest.read_bytes())["val"]
        if not isinstance(names, list):
            raise TypeError(f"{type(names).__name__} instead of a list")
        return {name.removesuffix(".tab") for name in names}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{manifest}: no list of names as `val` ({error!r})") from error


def _scan(paths: Iterable[Path], extractor: TabHeroFeatureExtractor) -> tuple[list[TabSong], list[SkippedTab]]:
    """The songs of some files, by the first file of each, and the files that cannot be used."""
    tokenizer = TabHeroTokenizer()
    songs: dict[tuple[int, str], TabSong] = {}
    audios: dict[str, int] = {}
    skipped, floored = [], 0
    for path in paths:
        try:
            tab = _fitting(read_tab(path), extractor)
            tokenizer.decode_notes(tab.tokens)
        except (TabFileError, ValueError) as error:
            reason = error.reason if isinstance(error, TabFileError) else str(error)
            skipped.append(SkippedTab(path, reason))
            continue
        mel_hash = blake2b(tab.mel.tobytes(), digest_size=8).hexdigest()
        if (tab.song_id, mel_hash) not in songs:
            song_id = f"{tab.song_id:016x}" if tab.song_id else mel_hash
            audios[song_id] = audios.get(song_id, 0) + 1
            audio = "mix" if audios[song_id] == 1 else f"mix-{audios[song_id]}"
            identity = SongIdentity(song_id, audio, artist="", title="", genre=tab.genre)
            songs[tab.song_id, mel_hash] = TabSong(identity, str(path.absolute()), mel_hash, {})
        charts = songs[tab.song_id, mel_hash].charts
        key = ChartKey(int(tab.difficulty), int(tab.instrument))
        if key in charts:
            skipped.append(SkippedTab(path, "another chart of the same audio, difficulty and instrument"))
            continue
        charts[key] = tab.tokens.tolist()
        floored += tab.floored_times
    if floored:
        logger.warning("%d charts may have floored times, which come ever earlier than the song's notes", floored)
    return list(songs.values()), skipped


def _fitting(tab: TabFile, extractor: TabHeroFeatureExtractor) -> TabFile:
    has = (tab.mel.shape[1], tab.sample_rate, tab.hop_length)
    needed = (extractor.feature_size, extractor.sampling_rate, extractor.hop_length)
    if has != needed:
        raise TabFileError(f"mel bands, sampling rate and hop length are {has}, not {needed}")
    return tab


def _rows(songs: list[TabSong], extractor: dict, version: int) -> Iterator[dict]:
    feature_extractor, tokenizer = TabHeroFeatureExtractor.from_dict(extractor), TabHeroTokenizer()
    for song in songs:
        charts = {key: tokenizer.decode_notes(tokens) for key, tokens in song.charts.items()}
        yield from window_rows(song.identity, read_tab(song.mel_file).mel, charts, feature_extractor)
