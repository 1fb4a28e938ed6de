#!/usr/bin/env python
"""
Trains the head by which a model puts notes on frets, on made songs, and writes the model with it.

    python scripts/train_fingering_head.py --model tabhero_hf/checkpoints/tiny --output_dir runs/fingered \
        --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --records runs/shipped/recordings

It needs a model that names pitches, see train_pitch_head.py. Of the songs that are heard, every eighth is held out; of
those the share of notes on the right frets is printed.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import HfArgumentParser

from tabhero_hf import TabHeroForConditionalGeneration
from tabhero_hf.modeling_tabhero import TabHeroFingeringHead
from tabhero_hf.training.fingering import HeardCharts, hear_charted_songs, train_fingering_head, write_songs
from tabhero_hf.training.made_notes import INSTRUMENTS, SCENES, HeadArguments

EVERY = 8


@dataclass
class Arguments(HeadArguments):
    notes_dir: str = field(default="runs/fingering", metadata={"help": "Folder for the notes of the songs."})
    heard: int = field(default=64, metadata={"help": "How many made songs are rendered and heard."})
    songs: int = field(default=6000, metadata={"help": "How many others are composed and charted alone."})
    first_seed: int = field(default=50_000, metadata={"help": "Seed of the first one."})
    seconds: float | None = field(default=60.0, metadata={"help": "As of scripts/make_training_songs.py."})
    steps: int = field(default=800, metadata={"help": "Batches of 16 passages."})


def right(model: TabHeroForConditionalGeneration, chart: HeardCharts) -> float:
    """The share of a chart's notes that are on the right frets."""
    told = map(torch.from_numpy, (chart.pitch_odds, chart.fret_odds, chart.seconds, chart.beats))
    likely = model.finger_notes(*told, int(chart.difficulties[0]), int(chart.instruments[0]))
    return float((likely.argmax(dim=1).numpy() == chart.frets).mean())


def main():
    (args,) = HfArgumentParser(Arguments, description=__doc__.splitlines()[1]).parse_args_into_dataclasses()
    torch.manual_seed(args.first_seed)
    if args.heard < 2:
        sys.exit("error: of one song nothing can be held out: --heard 2 or more")
    try:
        model, processor, records = args.load(fingering_head=False)  # it gets a new one, maybe of another size
        if model.pitch_head is None or model.fret_pointer is None:
            raise ValueError(f"{args.model} names no pitches, or hears no frets: see scripts/train_pitch_head.py")
        model.config.fingering_head = True
        model.fingering_head = TabHeroFingeringHead(model.config)
        first, folder = args.first_seed + args.heard, Path(args.notes_dir)
        heard = hear_charted_songs(
            folder / "heard", range(args.first_seed, first), args.model, model, args.seconds, args.soundfont, records
        )
        written = write_songs(folder / "written", range(first, first + args.songs), args.seconds)
        sounds = [song for i, song in enumerate(heard) if i % EVERY]
        train_fingering_head(model.fingering_head, written, sounds, args.steps, seed=args.first_seed)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    charts = [chart for song in heard[::EVERY] for chart in song.by_chart()]
    for sound, where in enumerate(SCENES):
        for instrument, name in enumerate(INSTRUMENTS):
            shares = [
                right(model, chart)
                for chart in charts
                if chart.sounds[0] == sound and chart.instruments[0] == instrument
            ]
            if shares:
                print(f"{name} {where}: {np.mean(shares):.3f} of notes on the right frets ({len(shares)} charts)")
    model.save_pretrained(args.output_dir)
    processor.save_pretrained(args.output_dir)


if __name__ == "__main__":
    main()
