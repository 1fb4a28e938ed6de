"""
What `benchmark.py generate` measures: decoding of a song by models of random weights that write 4 notes a second and
never end early, beside what this machine allows.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch

from tabhero_hf import TabHeroConfig, TabHeroFeatureExtractor, TabHeroForConditionalGeneration
from tabhero_hf.decoding_tabhero import StepDecoder, WindowBatch
from tabhero_hf.tokenization_tabhero import LAYOUT

STEP_BINS = 25  # 4 notes a second
MAX_TOKENS = 60 * 16  # more than a window of 48 s has, at 4 tokens a note
PLAIN_TOKENS = 40  # as many steps of `generate()` as tell what a step of it costs
LENGTHS = 4, 30, 120  # minutes
clock = time.perf_counter
STREAMS = {"single stream": (1, 1), "song, 1 difficulty": (None, 1), "song, 4 difficulties": (None, 4)}


def made_model(size: str, device: str, dtype: torch.dtype) -> TabHeroForConditionalGeneration:
    """Random weights under a bias that leaves one step between notes, no sustain, and no end but the window's."""
    torch.manual_seed(0)
    model = TabHeroForConditionalGeneration(TabHeroConfig.from_size(size)).eval()
    bias = torch.zeros(model.config.vocab_size)
    bias[LAYOUT.eos_token_id] = -1e4
    bias[LAYOUT.time.start : LAYOUT.time.stop] = bias[LAYOUT.duration.start : LAYOUT.duration.stop] = -1e3
    bias[LAYOUT.time[STEP_BINS]] = bias[LAYOUT.duration[0]] = 0.0
    model.lm_head.bias = torch.nn.Parameter(bias)
    return model.to(device, dtype)


def made_song(minutes: float) -> tuple[dict[str, torch.Tensor], float]:
    """Windows of noise as the extractor cuts a song into, and its seconds."""
    extractor = TabHeroFeatureExtractor()
    frames = int(minutes * 60 * extractor.sampling_rate / extractor.hop_length)
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(frames, extractor.feature_size, generator=generator)
    windows = extractor.pad(
        {"input_features": [mel[start:end].numpy() for start, end in extractor.window_bounds(frames)]},
        padding=True,
        return_tensors="pt",
    )
    return dict(windows), extractor.frames_to_seconds(frames)


def time_done(device: str) -> float:
    """The time, once what is under way on a device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return clock()


def seconds_of(work: Callable[[], object], device: str, repeats: int) -> float:
    """Median of several runs, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        started = clock()
        work()
        times.append(time_done(device) - started)
    return statistics.median(times[1:])


def machine(device: str, dtype: torch.dtype) -> dict[str, float]:
    """Bytes a second that are read from memory, and floating-point operations a second of a large product."""
    buffer = torch.ones(2**26, device=device)
    matrix = torch.randn(2048, 2048, device=device, dtype=dtype)
    return {
        "bytes_per_second": buffer.nbytes / seconds_of(buffer.sum, device, 9),
        "flops_per_second": 2 * 2048**3 / seconds_of(lambda: matrix @ matrix, device, 9),
    }


def cost(model: TabHeroForConditionalGeneration, windows: int, charts: int, positions: int, length: float):
    """Bytes that a step has to read and operations that it has to do, with `length` tokens written."""
    config, size, rows = model.config, model.dtype.itemsize, windows * charts
    decoder = model.model.decoder
    once = {
        id(p) for layer in decoder.layers for p in (layer.encoder_attn.k_proj.weight, layer.encoder_attn.v_proj.weight)
    }
    weights = sum(p.numel() for p in decoder.layers.parameters() if id(p) not in once) + model.lm_head.weight.numel()
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim  # numbers a position
    read = weights + cached * (windows * positions + rows * length)
    done = 2 * rows * (weights + cached * (positions + length))
    return read * size, done


@contextmanager
def watched_steps():
    """Collects the time at which each decoding step begins, and its rows."""
    steps, original = [], WindowBatch._step

    def step(batch, tokens_left):
        steps.append((clock(), len(batch.window_of_row)))
        return original(batch, tokens_left)

    WindowBatch._step = step
    try:
        yield steps
    finally:
        WindowBatch._step = original


@contextmanager
def peak_memory(device: str):
    """Collects the most memory that was in use, in bytes; None where the system does not tell."""
    peak = []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest resident size so far
    yield peak
    if device == "cuda":
        peak.append(torch.cuda.max_memory_allocated())
    elif os.path.exists("/proc/self/status"):
        lines = Path("/proc/self/status").read_text().splitlines()
        peak.append(next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")))


def hardest(charts: int, device: str) -> dict[str, torch.Tensor]:
    """What to ask for: so many difficulties, the hardest, of one instrument."""
    return {
        "difficulty_ids": torch.arange(4 - charts, 4, device=device),
        "instrument_ids": torch.zeros(charts, dtype=torch.long, device=device),
    }


def measure(model, windows: dict[str, torch.Tensor], charts: int, repeats: int, bounds: dict[str, float]) -> dict:
    device = model.device.type
    asked = hardest(charts, device)
    windows = {name: values.to(device) for name, values in windows.items()}
    runs, medians, peaks = [], [], []
    for _ in range(repeats):
        with watched_steps() as steps, peak_memory(device) as peak:
            started = clock()
            ids = model.generate_windows(**windows, **asked, max_new_tokens=MAX_TOKENS)
            seconds = time_done(device) - started
        full = [at for at, rows in steps if rows == steps[0][1]]
        times = [later - earlier for earlier, later in zip(full, full[1:], strict=False)][1:]  # the first one projects
        runs.append(seconds)
        medians.append(statistics.median(times))
        peaks += peak
    step = statistics.median(medians)
    positions = windows["input_features"].shape[1] // model.config.downsample_factor
    rows = len(windows["input_features"])
    read, done = cost(model, rows, charts, positions, len(full) / 2)
    first, last = (cost(model, rows, charts, positions, share * len(steps))[0] for share in (0.05, 0.95))
    bound = max(read / bounds["bytes_per_second"], done / bounds["flops_per_second"])
    written = int((ids != LAYOUT.pad_token_id).sum()) - rows * charts
    return {
        "seconds": statistics.median(runs),
        "tokens": written,
        "tokens_per_second": written / statistics.median(runs),
        "step_milliseconds": 1000 * step,
        "step_bound_milliseconds": 1000 * bound,
        "bound_by": "memory" if bound == read / bounds["bytes_per_second"] else "arithmetic",
        "fraction_of_bound": bound / step,
        "growth_over_window": statistics.median(growth(model, windows, charts, len(steps)) for _ in range(repeats)),
        "growth_of_bytes": last / first - 1,
        "peak_bytes": max(peaks, default=None),
    }


@torch.no_grad()
def growth(model, windows: dict[str, torch.Tensor], charts: int, length: int) -> float:
    """
    How much longer a step of the last tenth of `length` tokens takes than one of the first: medians of such steps in
    turns, so that what else the machine does falls on both.
    """
    device, rows = model.device.type, len(windows["input_features"])
    features, mask = windows["input_features"], windows["attention_mask"]
    bins = model.window_bins(features, {"attention_mask": mask})
    steps = StepDecoder(model, rows * charts)
    batch = WindowBatch(steps, features, mask, *hardest(charts, device).values(), bins, length + 1)
    tenth = length // 10
    early, late = [], []
    for token in range(tenth):
        for first, times in ((0, early), (length - tenth, late)):
            batch.length = first + token
            started = clock()
            batch._step(length)
            times.append(time_done(device) - started)
    return statistics.median(late) / statistics.median(early) - 1


def plain_step(model, windows: dict[str, torch.Tensor], charts: int, **settings) -> float:
    """
    Milliseconds of a step of `generate()` with a row for each chart of each window: its later steps' mean. What
    `settings` of it have to warm up, such as a step that is compiled, is done before.
    """
    device, rows = model.device, len(windows["input_features"]) * charts
    inputs = {name: values.to(device).repeat_interleave(charts, dim=0) for name, values in windows.items()}
    inputs |= {
        "difficulty_ids": torch.full((rows,), 3, device=device),
        "instrument_ids": torch.zeros_like(torch.empty(rows, dtype=torch.long, device=device)),
    }
    times = []
    for tokens in (4, PLAIN_TOKENS):
        if settings:
            model.generate(**inputs, max_new_tokens=tokens, **settings)
        started = clock()
        model.generate(**inputs, max_new_tokens=tokens, **settings)
        times.append(time_done(device.type) - started)
    return 1000 * (times[1] - times[0]) / (PLAIN_TOKENS - 4)


def told_notes(model, windows: dict[str, torch.Tensor], charts: int, repeats: int) -> float:
    """Seconds that the model takes for a song as the pipeline charts it: it is heard first, then notes written."""
    device = model.device.type
    asked = hardest(charts, device)
    windows = {name: windows[name].to(device) for name in ("input_features", "attention_mask")}
    shape = charts, len(windows["input_features"]), int(model.window_bins(None, windows).max())
    onsets, frets = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.long)
    onsets[..., ::STEP_BINS] = True

    def chart():
        model.listen(**windows, **asked)
        model.generate_windows(**windows, **asked, max_new_tokens=MAX_TOKENS, onsets=onsets, frets=frets)

    return seconds_of(chart, device, repeats)


def lengths(size: str, device: str | None = None, dtype: str = "float32"):
    """Prints what songs of several lengths cost, with one difficulty."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = made_model(size, device, getattr(torch, dtype))
    print(f"{size}, {model.num_parameters() / 1e6:.1f} million parameters, {device}, {dtype}, 1 difficulty, 4 notes/s")
    for minutes in LENGTHS:
        windows, seconds = made_song(minutes)
        with peak_memory(device) as peak:
            started = clock()
            model.generate_windows(**windows, **hardest(1, device), max_new_tokens=MAX_TOKENS)
            took = clock() - started
        memory = f"{peak[0] / 1e9:.2f} GB" if peak else "?"
        print(
            f"  {minutes:4} minutes, {len(windows['input_features']):4} windows{took:8.1f} s, "
            f"{1000 * took / seconds:6.1f} ms for each second; {memory}, the song's windows "
            f"{windows['input_features'].nbytes / 1e9:.2f} GB of it",
            flush=True,
        )


def plot(results: dict, path: Path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(STREAMS), figsize=(11, 3.5), sharey=True)
    sizes = list(results["sizes"])
    for axis, name in zip(axes, STREAMS, strict=True):
        measured = [results["sizes"][size][name] for size in sizes]
        axis.bar(sizes, [m["step_milliseconds"] for m in measured], color="tab:blue", label="measured")
        axis.bar(sizes, [m["step_bound_milliseconds"] for m in measured], color="tab:orange", label="bound")
        axis.set(title=name, ylabel="ms a step" if axis is axes[0] else None)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def generate(
    sizes: list[str],
    minutes: float,
    repeats: int,
    output: Path,
    device: str | None = None,
    dtype: str = "float32",
    processor_time: bool = False,
):
    """
    Prints what a song costs at each size, and writes it to `output` as JSON and as a plot. With `processor_time` one
    thread works, and what others do on the machine is left out of its time.
    """
    if processor_time:
        global clock
        clock = time.process_time
        torch.set_num_threads(1)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = getattr(torch, dtype)
    windows, seconds = made_song(minutes)
    bounds = machine(device, kind)
    results = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "dtype": dtype,
        "clock": "processor time" if processor_time else "wall clock",
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
        "song_seconds": seconds,
        "windows": len(windows["input_features"]),
        "repeats": repeats,
        **bounds,
        "sizes": {},
    }
    print(
        f"{results['device']}, {dtype}, {results['clock']}, load {results['load_average']:.1f}: reads "
        f"{bounds['bytes_per_second'] / 1e9:.1f} GB/s, multiplies {bounds['flops_per_second'] / 1e9:.0f} GFLOP/s"
    )
    print(f"{seconds:.0f} s of song in {results['windows']} windows, 4 notes/s; medians of {repeats} runs")
    for size in sizes:
        model = made_model(size, device, kind)
        print(f"{size}, {model.num_parameters() / 1e6:.1f} million parameters")
        measured = results["sizes"][size] = {}
        for name, (rows, charts) in STREAMS.items():
            part = {key: values[:rows] for key, values in windows.items()}
            found = measured[name] = measure(model, part, charts, repeats, bounds)
            memory = f"{found['peak_bytes'] / 1e9:.2f} GB" if found["peak_bytes"] else "?"
            print(
                f"  {name:<21}{found['tokens_per_second']:7.0f} tokens/s  step {found['step_milliseconds']:7.2f} ms, "
                f"bound {found['step_bound_milliseconds']:6.2f} by {found['bound_by']}: "
                f"{100 * found['fraction_of_bound']:3.0f} %; last tenth {100 * found['growth_over_window']:+3.0f} % "
                f"on the first, bytes {100 * found['growth_of_bytes']:+3.0f} %; {memory}"
            )
        one, four, single = (
            measured[name] for name in ("song, 1 difficulty", "song, 4 difficulties", "single stream")
        )
        measured["plain_step_milliseconds"] = plain_step(model, windows, 1)
        told = measured["told_seconds"] = [told_notes(model, windows, charts, repeats) for charts in (1, 4)]
        print(
            f"  seconds per second of song: {one['seconds'] / seconds:.4f} for 1 difficulty "
            f"({seconds / one['seconds']:.1f} x real time), {four['seconds'] / seconds:.4f} for 4 "
            f"({four['seconds'] / one['seconds']:.2f} x the time of 1)"
        )
        print(
            f"  whole song with 4 difficulties: {four['tokens_per_second'] / single['tokens_per_second']:.1f} x the "
            f"single stream; a step of generate(): {measured['plain_step_milliseconds']:.1f} ms, "
            f"{measured['plain_step_milliseconds'] / one['step_milliseconds']:.1f} x ours"
        )
        if device == "cuda":
            # transformers compiles steps of a static cache there, by default to CUDA graphs.
            measured["graph_step_milliseconds"] = plain_step(model, windows, 1, cache_implementation="static")
            print(f"  a step of generate() as a CUDA graph: {measured['graph_step_milliseconds']:.1f} ms")
        print(
            f"  as the pipeline charts it, told when and where: {seconds / told[0]:.1f} x real time for 1 difficulty, "
            f"{seconds / told[1]:.1f} x for 4 ({told[1] / told[0]:.2f} x the time of 1)"
        )
    output.mkdir(parents=True, exist_ok=True)
    (output / "generation.json").write_text(json.dumps(results, indent=2) + "\n")
    plot(results, output / "generation.png")
    print(f"{output / 'generation.json'}, {output / 'generation.png'}")
