"""A prepared dataset on the Hub: its card, and the push."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from transformers.utils import FEATURE_EXTRACTOR_NAME

from ..charts.packed import replacing
from ..feature_extraction_tabhero import TabHeroFeatureExtractor
from .preparation import DATA, REPORT, PreparationError, feature_extractor
from .schema import SPLITS
from .statistics import PLOT, TABLE, ChartStatistics, format_statistics

CARD = "README.md"
BEGIN, END = "<!-- written by prepare_dataset.py: begin -->", "<!-- written by prepare_dataset.py: end -->"

NEW_CARD = """---
tags:
- music
- clone-hero
- tabhero
---

# {title}

Charts for [Clone Hero](https://clonehero.net) and the features of their audio, to train Tab Hero on.

> [!WARNING]
> Music has owners, and so have charts. Say in the metadata above under which `license` this dataset may be used, and
> do not publish what you have no right to publish: features are made from recordings.

{generated}
"""

GENERATED = """## Content

{totals}

One row is a window of a song's audio: overlapping windows of a song follow one another.

| column | type | |
|---|---|---|
| `song_id` | string | the same for all audios of a song; a song is in one split only |
| `audio` | string | `mix` (the sum of all stems), or the charted stem; `+backing` follows where there is one |
| `artist`, `title` | string | |
| `genre` | int8 | 0 unknown, 1 rock, …: see `tabhero_hf.data.tab_file.GENRES` |
| `window`, `start_frame`, `num_frames` | int32 | which window, and which frames of the song |
| `song_frames` | int32 | frames of the whole song |
| `mel` | binary | float16 `(num_frames, {bands})`, {frame_rate:.2f} frames a second |
| `backing` | binary | with `--audio parts`, all that is played beside the instrument, as `mel`; else null |
| `log_scale` | float32 | with it, natural logarithms of mel power in 1 of a feature, to mix the two by; else null |
| `charts` | list | one for each chart of the audio |

A chart has a `difficulty` (0 easy to 3 expert), an `instrument` (0 lead, 1 bass, 2 rhythm, 3 keys), and of the notes
that begin in the window the `onsets` in seconds from the window's start, the `lanes` as bits, the `modifiers` as bits
(1 HOPO, 2 tap, 4 star power) and the `sustains` in seconds.

## Statistics

Means over charts; every chart is in `statistics.csv`.

{statistics}

![Statistics of the charts]({plot})
"""


def write_card(folder: str | os.PathLike[str], report: dict, rows: Sequence[ChartStatistics]) -> None:
    """
    Writes the card of a dataset, `README.md`. It makes `load_dataset(folder)` work, here and on the Hub.

    A card that is there keeps its text and metadata, but for the part that was written here, and for the metadata that
    say where the files are.

    Args:
        folder: The dataset's.
        report: What [`~tabhero_hf.data.preparation.prepare_library`] says.
        rows: What [`~tabhero_hf.data.statistics.write_statistics`] says.

    Raises:
        PreparationError: A card that is there cannot be read.
        OSError: It cannot be written.
    """
    from huggingface_hub import DatasetCard

    folder = Path(folder)
    generated = f"{BEGIN}\n\n{_generated(report, rows)}\n{END}"
    if (folder / CARD).exists():
        try:
            card = DatasetCard.load(folder / CARD)
        except Exception as error:  # whatever YAML and the metadata's types can raise
            raise PreparationError(f"{folder / CARD}: its metadata cannot be read ({error})") from error
        part = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        if part.search(card.text):
            card.text = part.sub(lambda _: generated, card.text)
        else:
            card.text = f"{card.text.rstrip()}\n\n{generated}\n"
    else:
        card = DatasetCard(NEW_CARD.format(title=folder.resolve().name, generated=generated))
    files = [
        {"split": split, "path": f"{DATA}/{split}/*.parquet"}
        for split in SPLITS
        if any((folder / DATA / split).glob("*.parquet"))
    ]
    # `datasets` caches a local folder by its name, its files' names and this configuration. The description makes
    # another of it whenever something else is in the files.
    description = f"files {_files_digest(folder)}"
    card.data.configs = [{"config_name": "default", "data_files": files, "description": description}]
    with replacing(folder / CARD) as building:
        card.save(building)


def _files_digest(folder: Path) -> str:
    """A digest of the files' names and bytes: nothing less tells one chart from another of the same length."""
    digest = hashlib.sha256()
    for path in sorted((folder / DATA).glob("*/*.parquet")):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(repr((path.relative_to(folder).as_posix(), content)).encode())
    return digest.hexdigest()[:16]


def push(
    folder: str | os.PathLike[str], repo_id: str, revision_tag: str | None = None, private: bool | None = None
) -> str:
    """
    Uploads a dataset to the Hub, in one commit that also removes what is no longer part of it.

    Args:
        folder: The dataset's, with its card.
        repo_id: `organisation/name`; made if it is missing.
        revision_tag: Name of a tag to put on the commit.
        private: Whether a new repository is private; else as the organisation has it.

    Returns:
        The commit's address.

    Raises:
        PreparationError: The name or the tag cannot be used, the tag is there already, or the Hub
            refuses or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        if revision_tag:
            tags = [tag.name for tag in api.list_repo_refs(repo_id, repo_type="dataset").tags]
            if revision_tag in tags:
                raise PreparationError(f"{repo_id} has a tag {revision_tag} already: choose another one")
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=[f"{DATA}/*/*.parquet", CARD, PLOT, TABLE, REPORT, FEATURE_EXTRACTOR_NAME],
            delete_patterns=f"{DATA}/*",
            commit_message="Upload dataset",
        )
        if revision_tag:
            api.create_tag(repo_id, tag=revision_tag, revision=commit.oid, repo_type="dataset")
    except (HTTPError, HFValidationError) as error:
        raise PreparationError(f"cannot be pushed to {repo_id} ({error})") from error
    return commit.commit_url


def published_extractor(dataset: str, revision: str | None = None) -> TabHeroFeatureExtractor | None:
    """
    The feature extractor whose mels a dataset holds.

    Args:
        dataset: Folder, or name on the Hub.
        revision: Branch, tag or commit on the Hub.

    Returns:
        `None` if the dataset does not say.

    Raises:
        OSError: The Hub cannot be reached, or has no such dataset.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if Path(dataset).is_dir():
        path = Path(dataset) / FEATURE_EXTRACTOR_NAME
        if not path.is_file():
            return None
    else:
        try:
            path = hf_hub_download(dataset, FEATURE_EXTRACTOR_NAME, repo_type="dataset", revision=revision)
        except LocalEntryNotFoundError:  # which is one of the others, but says only that the Hub cannot be reached
            raise
        except EntryNotFoundError:
            return None
    return TabHeroFeatureExtractor.from_json_file(path)


def _generated(report: dict, rows: Sequence[ChartStatistics]) -> str:
    extractor = feature_extractor()
    totals = ["| split | songs | charts | hours | notes |", "|---|---|---|---|---|"]
    for split, row in {**report["splits"], "all": report}.items():
        totals.append(f"| {split} | {row['songs']} | {row['charts']} | {row['hours']:.2f} | {row['notes']} |")
    return GENERATED.format(
        totals="\n".join(totals),
        statistics=format_statistics(rows),
        bands=extractor.feature_size,
        frame_rate=extractor.sampling_rate / extractor.hop_length,
        plot=PLOT,
    )
