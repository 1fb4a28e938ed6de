#!/usr/bin/env python
"""
Recordings that nobody charted, with the charts that a model writes of them, as a dataset for scripts/train.py.

    python scripts/label_recordings.py FOLDER runs/recordings      # some ten seconds a song on two cores

Notes begin where the model hears them, not on the beat: what is trained on this learns what can be heard in a window.
Goes on where it was stopped; what is there of other models or instruments, or of other recordings, is removed.
"""

import sys
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from tqdm.auto import tqdm
from transformers import HfArgumentParser, pipeline
from transformers.utils import FEATURE_EXTRACTOR_NAME

from tabhero_hf import AudioToChartPipeline, bundled_checkpoint
from tabhero_hf.audio import load_audio
from tabhero_hf.charts import Difficulty, Instrument
from tabhero_hf.charts.packed import write_bytes
from tabhero_hf.charts.text_files import name_as_text
from tabhero_hf.data.preparation import write_parquet
from tabhero_hf.data.recordings import audio_inside
from tabhero_hf.data.schema import ChartKey, SongIdentity, window_rows, window_schema


@dataclass
class Arguments:
    model: str | None = field(default=None, metadata={"help": "Model folder or Hub name; the bundled one when unset."})
    instruments: list[str] = field(default_factory=lambda: ["lead"], metadata={"help": "Whose charts it writes."})


def main(arguments: list[str] | None = None):
    parser = HfArgumentParser(Arguments, description=__doc__.splitlines()[1])
    parser.add_argument("recordings", type=Path, help="Folder of audio files.")
    parser.add_argument("output", type=Path, help="Folder of the dataset.")
    args = parser.parse_args(arguments)
    try:
        instruments = [Instrument.parse(name) for name in args.instruments]
        charter = pipeline("audio-to-chart", model=args.model or bundled_checkpoint())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    files = audio_inside(args.recordings)
    if not files:
        sys.exit(f"error: there is no audio in {args.recordings}")
    made_by = fingerprint(charter, instruments)
    songs = {blake2b(file.read_bytes(), digest_size=8).hexdigest(): file for file in files}
    folder = args.output / "data" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    targets = {song_id: folder / f"heard-{song_id}-{made_by}.parquet" for song_id in songs}
    for path in folder.glob("heard-*.parquet"):
        if path not in targets.values():
            path.unlink()
    write_bytes(args.output / FEATURE_EXTRACTOR_NAME, charter.feature_extractor.to_json_string().encode())
    for song_id, file in tqdm(songs.items(), desc="labelling", unit="song"):
        if not targets[song_id].exists():
            try:
                write_parquet(labelled(charter, file, song_id, instruments), targets[song_id])
            except ValueError as error:
                tqdm.write(f"left out: {error}", file=sys.stderr)


def fingerprint(charter: AudioToChartPipeline, instruments: list[Instrument]) -> str:
    """16 hexadecimal digits that stand for all that charts depend on."""
    made = blake2b(repr(instruments).encode() + charter.feature_extractor.to_json_string().encode(), digest_size=8)
    for name, values in charter.model.state_dict().items():
        made.update(name.encode() + values.cpu().contiguous().numpy().tobytes())
    return made.hexdigest()


def labelled(charter: AudioToChartPipeline, file: Path, song_id: str, instruments: list[Instrument]):
    """The windows of a recording, as a `pyarrow.Table`."""
    import pyarrow as pa

    waveform = load_audio(file, charter.feature_extractor.sampling_rate)
    written = charter(waveform, instruments=instruments, on_beat=False)["notes"]
    charts = {
        ChartKey(Difficulty.parse(difficulty), Instrument.parse(name)): notes
        for (name, difficulty), notes in written.items()
    }
    song = SongIdentity(song_id, "mix", "", name_as_text(file.stem), 0)
    rows = window_rows(song, charter.feature_extractor.log_mel(waveform), charts, charter.feature_extractor)
    return pa.Table.from_pylist(list(rows), window_schema())


if __name__ == "__main__":
    main()
