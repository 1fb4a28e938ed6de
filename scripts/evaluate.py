#!/usr/bin/env python
"""
Score a model on songs with human charts, free-running from their audio, beside charts that need no model.

    python scripts/evaluate.py --songs /usr/share/games/fretsonfire/data/songs
    python scripts/evaluate.py --model runs/tiny/final --songs tests/fixtures/demo_song \
        --other_audio tests/fixtures/other_song.ogg

Songs are folders, `.sng` and `.zip` files, or folders of these. Writes `report.md`, `report.json` (every score of
every song) and `report.png`, and prints the first. docs/evaluation.md says what the scores and the rows mean.
"""

import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm
from transformers import HfArgumentParser, pipeline

from tabhero_hf import bundled_checkpoint
from tabhero_hf.audio import load_audio
from tabhero_hf.charts import Chart, ChartError, Difficulty, Instrument, read_song
from tabhero_hf.charts.library import song_paths
from tabhero_hf.charts.packed import File
from tabhero_hf.data.preparation import audio_of
from tabhero_hf.evaluation.baselines import (
    LibrosaOnsets,
    blind_clicks,
    chart,
    eighth_notes,
    fitted_eighth_notes,
    most_common_lanes,
    near_silence,
    other_half,
    tune_onsets,
)
from tabhero_hf.evaluation.metrics import score_chart
from tabhero_hf.evaluation.report import write_report
from tabhero_hf.tokenization_tabhero import Note
from tabhero_hf.training.model_card import CARD, add_results

Key = tuple[str, str]
"""Instrument and difficulty by name."""


@dataclass
class Arguments:
    songs: list[str] = field(metadata={"help": "Song folders, .sng or .zip files, or folders of these."})
    model: str | None = field(default=None, metadata={"help": "Model folder or Hub name; else the bundled one."})
    difficulties: list[str] = field(default_factory=lambda: ["expert"], metadata={"help": "easy medium hard expert"})
    instruments: list[str] = field(default_factory=lambda: ["lead"], metadata={"help": "lead bass rhythm keys"})
    audio: Literal["mix", "stem"] = field(
        default="mix", metadata={"help": "What is heard: all stems, or that of the one instrument asked for."}
    )
    max_seconds: float | None = field(default=None, metadata={"help": "Score the first so many seconds alone."})
    num_beams: int | None = field(default=None, metadata={"help": "Beams; else as the model's generation settings."})
    window_batch_size: int = field(default=32, metadata={"help": "Windows decoded at once."})
    other_audio: str | None = field(
        default=None, metadata={"help": "Audio of another song to let the model hear; else that of the next song."}
    )
    model_card: bool = field(default=False, metadata={"help": "Put the results into the card in the model's folder."})
    output_dir: str = field(default="runs/evaluation", metadata={"help": "Folder of the report."})
    seed: int = field(default=0, metadata={"help": "Seed of chance levels and bootstrap."})


@dataclass
class HeardSong:
    """A song: what humans wrote for it, and what everything that listens does."""

    name: str
    chart: Chart
    stems: list[File]
    human: dict[Key, list[Note]]
    seconds: float = 0.0
    heard: dict[Key, list[Note]] = field(default_factory=dict)
    model: dict[Key, list[Note]] = field(default_factory=dict)
    silence: dict[Key, list[Note]] = field(default_factory=dict)
    onsets: LibrosaOnsets | None = None
    fitted: np.ndarray | None = None


class ModelCharter:
    """The model, and how long it takes."""

    def __init__(self, args: Arguments, tracks: list[Key]):
        self.pipeline = pipeline("audio-to-chart", model=args.model or bundled_checkpoint())
        self.sampling_rate = self.pipeline.feature_extractor.sampling_rate
        self.settings = {
            "instruments": list(dict.fromkeys(instrument for instrument, _ in tracks)),
            "difficulties": list(dict.fromkeys(difficulty for _, difficulty in tracks)),
            "window_batch_size": args.window_batch_size,
            "generate_kwargs": {} if args.num_beams is None else {"num_beams": args.num_beams},
        }
        self.spent = self.heard = 0.0

    def __call__(self, waveform: np.ndarray) -> tuple[dict[Key, list[Note]], dict[Key, list[Note]]]:
        """Notes as they are heard, and as they stand in the chart."""
        started = time.perf_counter()
        result = self.pipeline(waveform, **self.settings)
        self.spent += time.perf_counter() - started
        self.heard += waveform.shape[-1] / self.sampling_rate
        charts = {names(track): result["chart"].to_seconds(*track) for track in result["chart"].tracks}
        return result["notes"], {track: charts.get(track, []) for track in result["notes"]}


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    try:
        evaluate(args)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def evaluate(args: Arguments):
    if min(args.window_batch_size, 1 if args.num_beams is None else args.num_beams) < 1:
        raise ValueError("--window_batch_size and --num_beams are 1 or more")
    asked = [
        (Instrument.parse(instrument), Difficulty.parse(difficulty))
        for instrument in args.instruments
        for difficulty in args.difficulties
    ]
    if args.audio == "stem" and len(args.instruments) > 1:
        raise SystemExit("a stem is of one instrument: ask for one, or for the mix")
    if args.model_card and not (args.model and (Path(args.model) / CARD).is_file()):
        raise SystemExit(f"--model_card needs a --model folder with a {CARD}")
    songs = read_songs(args.songs, asked, args.max_seconds, args.audio)
    tracks = [track for track in map(names, asked) if any(track in song.human for song in songs)]
    if not tracks:
        raise SystemExit("no song has a chart of what is asked for")
    charter = ModelCharter(args, tracks)
    other = None
    if args.other_audio:
        other = load_audio(args.other_audio, charter.sampling_rate, stereo=True)
        other = other[:, : samples(args.max_seconds, charter)]
    songs = [song for song in tqdm(songs, unit="song") if listen(song, charter, args.max_seconds)]
    if other is not None:
        _, other = charter(other)

    rows = [row for track in tracks for row in score_track(track, songs, other, args.seed)]
    if not rows:
        raise SystemExit("no song that could be heard has a chart of what is asked for")
    facts = {
        "songs": ", ".join(song.name for song in songs),
        "model": args.model or f"{Path(bundled_checkpoint()).name}, the bundled checkpoint",
        "decoding": f"{args.num_beams} beams" if args.num_beams else "the model's generation settings",
        "librosa": "tuned on half of the songs, scored on the other" if len(songs) > 1 else "its own settings",
        "audio": (f"the first {args.max_seconds:g} s" if args.max_seconds else "whole songs") + f", {args.audio}",
        "seconds of compute for a second of song and all tracks": round(charter.spent / charter.heard, 3),
        "peak memory of this process in MB": round(peak_memory()),
        **density_order(tracks, songs),
    }
    write_report(args.output_dir, rows, facts, args.seed)
    print((Path(args.output_dir) / "report.md").read_text(encoding="utf-8"))
    print(f"{args.output_dir}/report.md, report.json, report.png")
    if args.model_card:
        add_results(Path(args.model), Path(args.output_dir) / "report.json")


def read_songs(
    paths: list[str], asked: list[tuple[Instrument, Difficulty]], max_seconds: float | None, audio: str
) -> list[HeardSong]:
    """The songs with a chart, and an audio, of what is asked for; says which cannot be read."""
    songs = []
    for path in map(Path, paths):
        for found in song_paths(path) if path.is_dir() else [path]:
            try:
                song = read_song(found)
            except (ChartError, OSError) as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            human = {
                names(track): cut(song.chart.to_seconds(*track), max_seconds)
                for track in asked
                if track in song.chart.tracks
            }
            human = {track: notes for track, notes in human.items() if notes}
            heard = audio_of(song, asked[0][0], audio)
            if human and not heard:
                print(f"left out: {found.name}: no stem of its own", file=sys.stderr)
            if human and heard:
                songs.append(HeardSong(found.name, song.chart, list(heard[1]), human))
    return songs


def listen(song: HeardSong, charter: ModelCharter, max_seconds: float | None) -> bool:
    """Lets the model and the baselines hear a song; says so and returns False if its audio cannot be used."""
    try:
        stereo = load_audio(song.stems, charter.sampling_rate, stereo=True)[:, : samples(max_seconds, charter)]
    except ValueError as error:
        print(f"left out: {song.name}: {error}", file=sys.stderr)
        return False
    waveform = stereo.mean(axis=0)
    song.seconds = len(waveform) / charter.sampling_rate
    song.heard, song.model = charter(stereo)
    _, song.silence = charter(near_silence(len(waveform)))
    song.onsets = LibrosaOnsets(waveform, charter.sampling_rate)
    song.fitted = fitted_eighth_notes(waveform, charter.sampling_rate)
    return True


def score_track(track: Key, songs: list[HeardSong], other: dict[Key, list[Note]] | None, seed: int) -> list[dict]:
    """Scores of the model and of every baseline on each song that has the track."""
    songs = [song for song in songs if track in song.human]
    halves = [[songs[i] for i in other_half(parity, len(songs))] for parity in range(2)]
    settings = [tune_onsets([(song.onsets, song.human[track]) for song in half]) for half in halves]
    lanes = [most_common_lanes([song.human[track] for song in half]) for half in halves]
    rows = []
    for index, song in enumerate(songs):
        fret = lanes[index % 2]
        true_eighths = eighth_notes(song.chart.tempo_map, song.seconds, song.chart.offset)
        systems = {
            "model": song.model[track],
            "model, before arranging": song.heard[track],
            "model, silence": song.silence[track],
        }
        if other or len(songs) > 1:
            heard = other or songs[(index + 1) % len(songs)].model
            systems["model, another song's audio"] = cut(heard[track], song.seconds)
        systems["librosa onsets"] = chart(song.onsets.times(settings[index % 2]), fret)
        systems["clicks, 5 per second"] = chart(blind_clicks(song.seconds), fret)
        systems["eighths, fitted tempo"] = chart(song.fitted, fret)
        systems["eighths, true tempo (oracle)"] = chart(true_eighths, fret)
        systems["the human's onsets, one lane"] = chart([note[0] for note in song.human[track]], fret)
        systems["the human chart"] = song.human[track]
        for system, notes in systems.items():
            scores = score_chart(
                song.human[track],
                notes,
                tempo_map=song.chart.tempo_map,
                offset=song.chart.offset,
                instrument=Instrument.parse(track[0]),
                difficulty=Difficulty.parse(track[1]),
                seed=seed,
            )
            key = {"system": system, "instrument": track[0], "difficulty": track[1], "song": song.name}
            rows.append({**key, **scores})
    return rows


def density_order(tracks: list[Key], songs: list[HeardSong]) -> dict[str, str]:
    """Of how many songs the model's harder charts have more notes, for instruments with several difficulties."""
    facts = {}
    for instrument in dict.fromkeys(instrument for instrument, _ in tracks):
        of_it = [track for track in tracks if track[0] == instrument]
        of_it.sort(key=lambda track: Difficulty.parse(track[1]))
        if len(of_it) > 1:
            counts = [[len(song.model[track]) for track in of_it] for song in songs]
            ordered = sum(all(a < b for a, b in zip(row, row[1:])) for row in counts)
            facts[f"songs whose harder {instrument} charts have more notes"] = f"{ordered} of {len(songs)}"
    return facts


def names(track: tuple[Instrument, Difficulty]) -> Key:
    return track[0].name.lower(), track[1].name.lower()


def cut(notes: list[Note], seconds: float | None) -> list[Note]:
    """The notes before a time, their sustains up to it."""
    if seconds is None:
        return notes
    return [
        (onset, lanes, bits, min(sustain, seconds - onset)) for onset, lanes, bits, sustain in notes if onset < seconds
    ]


def samples(seconds: float | None, charter: ModelCharter) -> int | None:
    return None if seconds is None else round(seconds * charter.sampling_rate)


def peak_memory() -> float:
    """Megabytes that this process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
