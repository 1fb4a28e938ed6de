#!/usr/bin/env python
"""
From a folder of songs to a dataset, on disk and on the Hub.

    python scripts/prepare_dataset.py songs/ out/                       # prepare, or go on where a run was stopped
    python scripts/prepare_dataset.py songs/ out/ --difficulties expert hard --instruments lead --audio stem
    python scripts/prepare_dataset.py songs/ out/ --push_to_hub ORG/NAME --revision_tag v1
    python scripts/prepare_dataset.py stats out/                        # table and plot of what the charts are like

`datasets.load_dataset("out/")` and `load_dataset("ORG/NAME")` read it.
"""

import sys
from dataclasses import dataclass, field
from typing import Literal

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers import HfArgumentParser

from tabhero_hf.data.engines import DaskEngine, LocalEngine
from tabhero_hf.data.preparation import (
    PreparationError,
    PreparationSettings,
    format_report,
    prepare_library,
)
from tabhero_hf.data.publishing import push, write_card
from tabhero_hf.data.statistics import format_statistics, write_statistics


@dataclass
class Arguments:
    difficulties: list[str] = field(
        default_factory=lambda: ["easy", "medium", "hard", "expert"], metadata={"help": "Which charts to take."}
    )
    instruments: list[str] = field(
        default_factory=lambda: ["lead", "bass", "rhythm", "keys"], metadata={"help": "Which charts to take."}
    )
    audio: Literal["auto", "mix", "stem", "parts"] = field(
        default="auto",
        metadata={
            "help": "mix: the sum of all stems; stem: the instrument's own; auto: that, or else the sum; parts: the "
            "instrument's own with the sum of the others beside it, which training mixes."
        },
    )
    align: bool = field(default=False, metadata={"help": "Move charts to the audio's onsets, by 0.1 s at most."})
    min_notes: int = field(default=1, metadata={"help": "Fewest notes of a chart."})
    min_duration: float = field(default=0.0, metadata={"help": "Shortest song, in seconds."})
    max_duration: float = field(default=float("inf"), metadata={"help": "Longest song, in seconds."})
    splits: str = field(default="0.9,0.05,0.05", metadata={"help": "Shares of train, validation and test."})
    max_frames: int = field(default=4096, metadata={"help": "Mel frames of a window, 86.13 a second."})
    overlap_frames: int = field(default=256, metadata={"help": "Mel frames that a window shares with the next one."})
    workers: int | None = field(default=None, metadata={"help": "Processes; all processors if not given."})
    engine: Literal["local", "dask"] = field(
        default="local", metadata={"help": "Where songs are prepared: this machine's processes, or a Dask cluster."}
    )
    scheduler: str | None = field(
        default=None, metadata={"help": "Address of the Dask cluster; without one, it is started on this machine."}
    )
    push_to_hub: str | None = field(default=None, metadata={"help": "ORG/NAME of the dataset to push to."})
    revision_tag: str | None = field(default=None, metadata={"help": "Tag to put on what is pushed."})
    private: bool = field(default=False, metadata={"help": "Make a new dataset on the Hub private."})


def main():
    try:
        if sys.argv[1:2] == ["stats"]:
            stats()
        else:
            prepare()
    except (PreparationError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")


def prepare():
    parser = HfArgumentParser(Arguments, description=__doc__.splitlines()[1])
    parser.add_argument("songs", help="Folder of songs: folders, .sng and .zip files.")
    parser.add_argument("out", help="Folder of the dataset.")
    args, folders = parser.parse_args_into_dataclasses()
    settings = PreparationSettings(
        difficulties=args.difficulties,
        instruments=args.instruments,
        audio=args.audio,
        align=args.align,
        min_notes=args.min_notes,
        min_duration=args.min_duration,
        max_duration=args.max_duration,
        splits=shares(args.splits),
        max_frames=args.max_frames,
        overlap_frames=args.overlap_frames,
    )
    if args.scheduler and args.engine != "dask":
        raise PreparationError("a scheduler is for --engine dask")
    if args.revision_tag and not args.push_to_hub:
        raise PreparationError("a revision tag is for --push_to_hub")
    if args.push_to_hub:
        check_repo_id(args.push_to_hub)
    engine = LocalEngine(args.workers) if args.engine == "local" else DaskEngine(args.scheduler, args.workers)

    report = prepare_library(folders.songs, folders.out, settings, engine, progress=True)
    print(format_report(report))
    if not report["charts"]:
        raise PreparationError("no chart could be used")
    write_card(folders.out, report, write_statistics(folders.out))
    if args.push_to_hub:
        print(push(folders.out, args.push_to_hub, args.revision_tag, args.private or None))


def stats():
    parser = HfArgumentParser([], prog=f"{sys.argv[0]} stats", description="Table and plot of a dataset's charts.")
    parser.add_argument("out", help="Folder of the dataset.")
    out = parser.parse_args(sys.argv[2:]).out
    print(format_statistics(write_statistics(out)))


def shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in text.split(","))
    except ValueError:
        raise PreparationError(f"splits are three numbers like 0.9,0.05,0.05, not {text!r}") from None


def check_repo_id(name: str):
    """Before songs are prepared for hours."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise PreparationError(f"{name} cannot be a dataset's name ({error})") from None


if __name__ == "__main__":
    main()
