#!/usr/bin/env python
"""
Make songs to train on: song folders with stems and charts, for `scripts/prepare_dataset.py`.

    python scripts/make_training_songs.py songs/ --songs 500
    python scripts/make_training_songs.py songs/ --songs 500 --first_seed 500     # as many others
    python scripts/make_training_songs.py played/ --songs 100 --midi pieces/       # what others wrote, played anew

The same seed makes the same song. A run that was stopped goes on with the songs that are not there.
"""

import sys
from dataclasses import dataclass, field

from transformers import HfArgumentParser

from tabhero_hf.charts import Instrument
from tabhero_hf.data.composition import FEATURED
from tabhero_hf.data.made_library import make_library
from tabhero_hf.data.midi_scores import midi_pieces, midi_score


@dataclass
class Arguments:
    songs: int = field(default=100, metadata={"help": "How many."})
    first_seed: int = field(default=0, metadata={"help": "Seed of the first one; the others have those after it."})
    seconds: float | None = field(
        default=None, metadata={"help": "Least length of a song; from 1 to 4 minutes if not given."}
    )
    featured: str | None = field(
        default=None,
        metadata={
            "help": "The instrument that composed songs are about; drawn for each if not given, keys one time in ten.",
            "choices": [instrument.name.lower() for instrument in FEATURED],
        },
    )
    workers: int | None = field(default=None, metadata={"help": "Processes; all processors if not given."})
    soundfont: str | None = field(
        default=None, metadata={"help": "General MIDI soundfont (.sf2) to play some of the stems from, by FluidSynth."}
    )
    midi: list[str] | None = field(
        default=None,
        metadata={
            "help": "MIDI files, folders of them, or Doom archives (.wad) to be played in turn, each time in another "
            "tempo, key and sound, instead of composed songs. Those that cannot be played are named and left out."
        },
    )


def playable(pieces: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Those of which a score can be made."""
    kept = []
    for title, data in pieces:
        try:
            midi_score(data, title, seed=0)
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            kept.append((title, data))
    if not kept:
        raise ValueError("none of these pieces can be played")
    return kept


def main():
    parser = HfArgumentParser(Arguments, description=__doc__.splitlines()[1])
    parser.add_argument("folder", help="Folder to write the song folders to.")
    args, folders = parser.parse_args_into_dataclasses()
    try:
        pieces = playable(midi_pieces(args.midi)) if args.midi else ()
        make_library(
            folders.folder,
            args.songs,
            args.first_seed,
            args.seconds,
            args.workers,
            args.soundfont,
            pieces,
            Instrument[args.featured.upper()] if args.featured else None,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
