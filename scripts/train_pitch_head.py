#!/usr/bin/env python
"""
Give a model a head that names the pitches of notes, learned from made songs; one that it has learns on.

    python scripts/train_pitch_head.py --model runs/tiny --output_dir runs/tiny_pitched --records runs/records

The model's other weights stay as they are. What is heard of the songs is kept in `--notes_dir`, so that a run that was
stopped goes on there. Every tenth song is held out: of its notes the share whose pitch is named, and of pairs that
follow each other the share of which it says that the second is lower, as high or higher, as it is.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import HfArgumentParser

from tabhero_hf.modeling_tabhero import TabHeroPitchHead
from tabhero_hf.training.made_notes import INSTRUMENTS, SCENES, HeadArguments
from tabhero_hf.training.pitch import PitchedNotes, hear_songs, train_pitch_head

EVERY = 10


@dataclass
class Arguments(HeadArguments):
    notes_dir: str = field(default="runs/pitch", metadata={"help": "Folder for what is heard of the songs."})
    songs: int = field(default=100, metadata={"help": "How many made songs."})
    first_seed: int = field(default=30_000, metadata={"help": "Seed of the first one."})
    steps: int = field(default=1500, metadata={"help": "Batches of 256 notes."})
    learning_rate: float = field(default=3e-3, metadata={"help": "The highest one."})


def right(head: TabHeroPitchHead, notes: PitchedNotes) -> tuple[float, float]:
    """The share of notes whose pitch is named, and of steps whose direction is."""
    with torch.no_grad():
        logits = head(torch.from_numpy(notes.spectra).float(), torch.from_numpy(notes.instruments))
    named = logits.argmax(dim=1).numpy() + head.LOWEST_PITCH
    return (named == notes.pitches).mean(), (np.sign(np.diff(named)) == np.sign(np.diff(notes.pitches))).mean()


def main():
    (args,) = HfArgumentParser(Arguments, description=__doc__.splitlines()[1]).parse_args_into_dataclasses()
    torch.manual_seed(args.first_seed)
    if args.songs < 2:
        sys.exit("error: of one song nothing can be held out: --songs 2 or more")
    try:
        model, processor, records = args.load()
        seeds = range(args.first_seed, args.first_seed + args.songs)
        songs = hear_songs(Path(args.notes_dir), seeds, args.seconds, args.soundfont, records)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    if model.pitch_head is None:
        model.config.pitch_head = True
        model.pitch_head = TabHeroPitchHead(model.config)
    notes = PitchedNotes.joined([song for i, song in enumerate(songs) if i % EVERY])
    train_pitch_head(model.pitch_head, notes, args.steps, learning_rate=args.learning_rate)
    for sound, where in enumerate(SCENES):
        for instrument, name in enumerate(INSTRUMENTS):
            shares = [
                right(model.pitch_head, song.where((song.sounds == sound) & (song.instruments == instrument)))
                for song in songs[::EVERY]
                if ((song.sounds == sound) & (song.instruments == instrument)).sum() > 1
            ]
            if shares:
                print("{} {}: {:.3f} of pitches, {:.3f} of steps ({} songs)".format(
                    name, where, *np.mean(shares, axis=0), len(shares)
                ))  # fmt: skip
    model.save_pretrained(args.output_dir)
    processor.save_pretrained(args.output_dir)


if __name__ == "__main__":
    main()
