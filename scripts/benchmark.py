#!/usr/bin/env python
"""
How fast things are on this machine.

    python scripts/benchmark.py charts      # reading and writing a 4-minute chart of 5,000 notes
    python scripts/benchmark.py data        # preparing 50 songs of 8 charts, and reading them in training; minutes
    python scripts/benchmark.py train       # steps of a model in training, and what loading its batches costs
    python scripts/benchmark.py generate    # charting a 4-minute song with models of all sizes; minutes
    python scripts/benchmark.py lengths     # songs of up to two hours, with the tiny model unless told; minutes
    python scripts/benchmark.py preview     # a page of an hour's song in Chromium
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from tabhero_hf.charts import (
    Chart,
    Difficulty,
    Instrument,
    Kind,
    Note,
    Phrase,
    Song,
    TempoMap,
    Track,
    check,
    format_chart,
    format_midi,
    parse_chart,
    parse_midi,
)

MINUTES, NOTES, RESOLUTION, BPM = 4, 5000, 480, 180
REPEATS, COUNTED = 15, 3
WINDOW_FRAMES, BATCH, WARM_UP_STEPS, STEPS = 1024, 8, 3, 15


def median_milliseconds(work: Callable[[], object]) -> float:
    work()  # the first run imports what is needed
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def made_chart() -> Chart:
    """A chart of 5,000 notes in 4 minutes: chords, sustains, all kinds, and a tempo change each measure."""
    rng = np.random.default_rng(0)
    ticks = np.sort(rng.choice(np.arange(0, MINUTES * BPM * RESOLUTION, 60), NOTES, replace=False)).tolist()
    notes = []
    for tick, room in zip(ticks, np.diff([*ticks, ticks[-1] + RESOLUTION]).tolist(), strict=True):
        lanes = tuple(sorted(rng.choice(5, size=rng.choice([1, 1, 2, 3]), replace=False).tolist()))
        notes.append(Note(tick, lanes, room - 60 if room > 240 else 0, Kind(int(rng.integers(3)))))
    tempos = tuple((measure * 4 * RESOLUTION, BPM + rng.normal()) for measure in range(MINUTES * BPM // 4))
    track = Track(Instrument.LEAD, Difficulty.EXPERT, tuple(notes))
    return Chart(TempoMap(RESOLUTION, tempos), {(Instrument.LEAD, Difficulty.EXPERT): track})


def charts():
    chart = made_chart()
    dot_chart, midi = format_chart(chart).encode(), format_midi(chart)
    print(f"a chart of {NOTES} notes in {MINUTES} minutes; median of {REPEATS} runs")
    for name, work in {
        f"read .chart ({len(dot_chart) // 1000} kB)": lambda: parse_chart(dot_chart),
        f"read .mid ({len(midi) // 1000} kB)": lambda: parse_midi(midi),
        "write .chart": lambda: format_chart(chart),
        "write .mid": lambda: format_midi(chart),
        "check": lambda: check(chart),
    }.items():
        print(f"  {name:<24}{median_milliseconds(work):8.1f} ms")


def write_library(folder: Path, songs: int):
    """Songs of 4 minutes with 8 charts each, to one noise that comes and goes."""
    from tabhero_hf.audio.transcoding import write_ogg

    rng = np.random.default_rng(0)
    samples = MINUTES * 60 * 44100
    loudness = np.repeat(rng.uniform(0.01, 0.2, MINUTES * 60 * 6), 44100 // 6)
    noise = rng.normal(size=(samples, 2)) * loudness[:, None]
    folder.mkdir()
    write_ogg(folder / "noise.ogg", noise, 44100)
    sixteenths = np.arange(0, MINUTES * BPM * RESOLUTION, RESOLUTION // 4)
    for song in range(songs):
        tracks = {}
        for instrument in (Instrument.LEAD, Instrument.BASS):
            for difficulty, notes in zip(Difficulty, (400, 700, 1100, 1700), strict=True):
                ticks = np.sort(rng.choice(sixteenths, notes, replace=False)).tolist()
                struck = [Note(tick, (int(rng.integers(5)),)) for tick in ticks]
                tracks[instrument, difficulty] = Track(instrument, difficulty, tuple(struck))
        (folder / f"{song:03}").mkdir()
        (folder / f"{song:03}" / "notes.chart").write_text(
            format_chart(Chart(TempoMap(RESOLUTION, ((0, BPM),)), tracks))
        )
        (folder / f"{song:03}" / "song.ogg").hardlink_to(folder / "noise.ogg")
    (folder / "noise.ogg").unlink()


def data(songs: int):
    import datasets

    from tabhero_hf import TabHeroFeatureExtractor
    from tabhero_hf.audio.loading import load_audio
    from tabhero_hf.data.preparation import PreparationSettings, prepare_library
    from tabhero_hf.data.windows import ChartWindows, stream_windows

    datasets.disable_progress_bars()

    def rate(windows: Iterable[dict]) -> str:
        started = time.process_time()
        count = sum(1 for _ in windows)
        seconds = time.process_time() - started
        return f"{count / seconds:8.0f} windows/s  {1000 * seconds / count:6.2f} ms a window"

    extractor = TabHeroFeatureExtractor()
    with tempfile.TemporaryDirectory(prefix="tabhero-benchmark-") as folder:
        library, out = Path(folder) / "songs", Path(folder) / "dataset"
        write_library(library, songs)
        print(f"{songs} songs of {MINUTES} minutes x 8 charts; one process, in seconds of processor time")
        started = time.process_time()
        waveform = load_audio([library / "000" / "song.ogg"], extractor.sampling_rate)
        decoded = time.process_time()
        extractor.log_mel(waveform)
        done = time.process_time()
        print(f"  features                  {60 * MINUTES / (done - decoded):8.0f} x real time")
        print(f"  decoding and features     {60 * MINUTES / (done - started):8.0f} x real time")

        started = time.process_time()
        report = prepare_library(library, out, PreparationSettings(splits=(1.0, 0.0, 0.0)))
        minutes = (time.process_time() - started) / 60
        assert report["charts"] == 8 * songs, report
        print(f"  preparation               {songs / minutes:8.1f} songs/minute")

        rows = datasets.load_dataset(str(out), split="train", cache_dir=f"{folder}/cache")
        mels = 2 * extractor.feature_size * sum(rows.filter(lambda n: n == 0, input_columns="window")["song_frames"])
        size = sum(file.stat().st_size for file in (out / "data").rglob("*.parquet"))
        hours = songs * MINUTES / 60
        print(
            f"  on disk                   {size / hours / 1e6:8.1f} MB/hour of audio, {size / mels:.3f} x float16 mels"
        )

        print("reading windows of 4096 frames with labels, one worker")
        streamed = datasets.load_dataset(str(out), split="train", streaming=True, cache_dir=f"{folder}/cache")
        for name, random_start in {"memory-mapped": False, "random starts": True}.items():
            windows = ChartWindows(rows, extractor, min_frames=4096, random_start=random_start)
            order = np.random.default_rng(0).permutation(len(windows))[:1000].tolist()
            print(f"  {name:<20}{rate(windows[index] for index in order)}")
        print(f"  {'streamed':<20}{rate(islice(stream_windows(streamed, extractor, min_frames=4096), 1000))}")


def train(songs: int, size: str):
    import datasets
    import torch
    from generation_benchmark import machine
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration
    from tabhero_hf.data.collator import BackgroundNoise, RandomEqualizer, SpecAugment, TabHeroCollator
    from tabhero_hf.data.preparation import PreparationSettings, prepare_library
    from tabhero_hf.data.windows import ChartWindows
    from tabhero_hf.training.arguments import TabHeroTrainingArguments, bf16_by_hardware
    from tabhero_hf.training.trainer import TabHeroTrainer

    class TimedTrainer(TabHeroTrainer):
        """Notes of each batch the seconds that it took to load, when that began, its tokens and their share."""

        batches, samples = [], []

        def get_batch_samples(self, *args):
            started = time.perf_counter()
            samples, count = super().get_batch_samples(*args)
            if samples:
                labels = samples[0]["labels"]
                tokens = (labels != -100).sum().item()
                self.batches.append((time.perf_counter() - started, started, tokens, tokens / labels.numel()))
                self.samples = [*self.samples, samples[0]][-COUNTED:]
            return samples, count

        def count_operations(self) -> float:
            """Of forward and backward pass, the mean of the last batches."""
            operations = 0
            for sample in self.samples:
                # Attention as two products, which is what gets counted.
                with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                    self.training_step(self.model, sample)
                operations += counter.get_total_flops()
            return operations / len(self.samples)

    datasets.disable_progress_bars()
    settings = PreparationSettings(splits=(1.0, 0.0, 0.0), max_frames=WINDOW_FRAMES)
    with tempfile.TemporaryDirectory(prefix="tabhero-benchmark-") as folder:
        write_library(Path(folder) / "songs", songs)
        prepare_library(Path(folder) / "songs", Path(folder) / "dataset", settings)
        rows = datasets.load_dataset(f"{folder}/dataset", split="train", cache_dir=f"{folder}/cache")
        windows = ChartWindows(rows, settings.extractor, min_frames=WINDOW_FRAMES, random_start=True)
        config = TabHeroConfig.from_size(size, encoder_layers=2, listening_loss_weight=1.0)
        trainer = TimedTrainer(
            model=TabHeroForConditionalGeneration(config),
            args=TabHeroTrainingArguments(
                output_dir=f"{folder}/run",
                max_steps=WARM_UP_STEPS + STEPS + 1,
                per_device_train_batch_size=BATCH,
                bf16=bf16_by_hardware(),
                use_cpu=not torch.cuda.is_available(),
                eval_strategy="no",
                save_strategy="no",
                load_best_model_at_end=False,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=windows,
            data_collator=TabHeroCollator(
                augment=[BackgroundNoise(probability=0.3), RandomEqualizer(), SpecAugment()], fret_corruption=0.4
            ),
        )
        precision = "bf16" if trainer.args.bf16 else "float32"
        print(f"{size}, {trainer.model.num_parameters() / 1e6:.1f} million parameters, {precision}")
        print(f"{BATCH} windows of {WINDOW_FRAMES} frames a step; medians of {STEPS} steps")
        trainer.train()
    loading, started, tokens, filled = np.array(trainer.batches).T
    seconds = np.diff(started)[WARM_UP_STEPS:]
    loading, tokens, filled = (values[WARM_UP_STEPS:-1] for values in (loading, tokens, filled))
    kind = torch.bfloat16 if trainer.args.bf16 else torch.float32
    rate = trainer.count_operations() / np.median(seconds)
    best = machine(trainer.args.device.type, kind)["flops_per_second"]
    print(f"  step                      {1000 * np.median(seconds):8.0f} ms")
    print(f"  operations                {rate / 1e9:8.0f} GFLOP/s")
    print(f"  of a large product's      {100 * rate / best:8.0f} %, which are {best / 1e9:.0f} GFLOP/s")
    print(f"  tokens                    {np.median(tokens / seconds):8.0f} /s")
    print(f"  padding                   {100 * (1 - filled.mean()):8.1f} % of all tokens")
    print(f"  loading, in one process   {1000 * np.median(loading):8.1f} ms")
    print(f"  loading's share           {100 * np.median(loading / seconds):8.1f} % of a step")


def generate(args: argparse.Namespace):
    import generation_benchmark

    generation_benchmark.generate(
        args.sizes.split(","),
        args.minutes,
        args.repeats,
        args.output,
        device=args.device,
        dtype=args.dtype,
        processor_time=args.processor_time,
    )


def lengths(size: str, device: str | None, dtype: str):
    import generation_benchmark

    generation_benchmark.lengths(size, device, dtype)


FRAMES_OF_TEN_SECONDS = """() => new Promise((resolve) => {
    let frames = 0;
    const started = performance.now();
    const count = () => {
        frames++;
        if (performance.now() - started < 10000) return requestAnimationFrame(count);
        const seconds = (performance.now() - started) / 1000;
        const before = performance.now();
        for (let i = 0; i < 200; i++) tabhero.draw();
        resolve([frames / seconds, (performance.now() - before) / 200]);
    };
    requestAnimationFrame(count);
})"""


def preview():
    import soundfile
    from playwright.sync_api import sync_playwright

    from tabhero_hf.preview import write_preview

    rng, hour, key = np.random.default_rng(0), 3600, (Instrument.LEAD, Difficulty.EXPERT)
    ticks = range(480, hour * 480, 48)  # ten notes a second
    notes = tuple(
        Note(tick, tuple(sorted(rng.choice(5, rng.choice([1, 2, 3]), replace=False).tolist())), 36 * (tick % 5 == 0))
        for tick in ticks
    )
    phrases = tuple(Phrase(tick, 1920) for tick in range(480, hour * 480, 9600))
    chart = Chart(TempoMap(192, ((0, 150.0),)), {key: Track(*key, notes, phrases)})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        audio, path = Path(folder) / "song.ogg", Path(folder) / "page.html"
        with soundfile.SoundFile(audio, "w", 22050, 1, "VORBIS", format="OGG") as out:
            for _ in range(hour):
                out.write(rng.normal(0, 0.1, 22050))
        started = time.perf_counter()
        write_preview(Song(chart, {"name": "An hour"}, [audio]), path)
        seconds = time.perf_counter() - started
        print(f"an hour of {len(notes)} notes: {path.stat().st_size / 1e6:.0f} MB, written in {seconds:.1f} s")
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(path.as_uri(), timeout=0)
        page.evaluate("tabhero.seek(1800)")
        page.keyboard.press("Space")
        rate, milliseconds = page.evaluate(FRAMES_OF_TEN_SECONDS)
        print(f"  {rate:.1f} frames/s; a frame takes {milliseconds:.2f} ms to draw")
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["charts", "data", "train", "generate", "lengths", "preview"])
    parser.add_argument("--songs", type=int, help="songs to make (50 for `data`, 4 for `train`)")
    parser.add_argument("--size", default="tiny", help="model to train, or to chart long songs with (%(default)s)")
    parser.add_argument("--sizes", default="tiny,small,base,large", help="models to generate with (%(default)s)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length of the song to chart (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs that `generate` takes medians of (%(default)s)")
    parser.add_argument("--device", help="cpu or cuda; the latter where there is one when unset")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (%(default)s)")
    parser.add_argument(
        "--processor_time", action="store_true", help="`generate` in one thread, timed apart from what else is running"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), help="for JSON and plot (%(default)s)")
    args = parser.parse_args()
    benchmarks = {
        "charts": charts,
        "data": lambda: data(args.songs or 50),
        "train": lambda: train(args.songs or 4, args.size),
        "generate": lambda: generate(args),
        "lengths": lambda: lengths(args.size, args.device, args.dtype),
        "preview": preview,
    }
    benchmarks[args.what]()


if __name__ == "__main__":
    main()
