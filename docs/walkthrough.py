# %% [markdown]
# # From a note to a trained model
#
# What Tab Hero does, step by step, small enough for a laptop: a note becomes tokens, a song becomes a dataset, a model
# is built, trained for a few steps, and read back. Run it as a script (`python docs/walkthrough.py`), or cell by cell
# in an editor that knows `# %%`; `jupytext --to ipynb docs/walkthrough.py` makes a notebook of it.

# %%
import math
import tempfile
from pathlib import Path

import torch
from datasets import load_dataset

from tabhero_hf import (
    TabHeroConfig,
    TabHeroFeatureExtractor,
    TabHeroForConditionalGeneration,
    TabHeroProcessor,
    TabHeroTokenizer,
)

work = Path(tempfile.mkdtemp(prefix="tabhero-walkthrough-"))

# %% [markdown]
# ## 1. A note is four tokens
#
# Time since the note before, lanes, modifiers, sustain: here a green note after 0.5 s, held for a second, and a
# hammered red-and-yellow chord a quarter of a second later.

# %%
tokenizer = TabHeroTokenizer()
notes = [(0.5, (0,), 0, 1.0), (0.75, (1, 2), 1, 0.0)]
ids = tokenizer.encode_notes(notes)
print(tokenizer.convert_ids_to_tokens(ids))
assert tokenizer.decode_notes(ids) == notes

# %% [markdown]
# ## 2. A song is windows of mel frames, with the charts of each
#
# `prepare` does for a folder of songs what `scripts/prepare_dataset.py` does. Here it is one song of 50 s, cut into
# windows of 8 s; so few songs make no validation split, and the training split has to serve as one.

# %%
from tabhero_hf.charts import read_song
from tabhero_hf.charts.notes import Difficulty, Instrument

song = read_song("tests/fixtures/demo_song")
print(len(song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)), "notes for Expert")

# %%
import pyarrow as pa
import pyarrow.parquet as pq

from tabhero_hf.audio import load_audio
from tabhero_hf.data.schema import ChartKey, SongIdentity, window_rows, window_schema

extractor = TabHeroFeatureExtractor(max_frames=689, overlap_frames=86)
mel = extractor.log_mel(load_audio(song.stems, extractor.sampling_rate))
charts = {
    ChartKey(difficulty, instrument): song.chart.to_seconds(instrument, difficulty)
    for instrument, difficulty in song.chart.tracks
}
rows = list(window_rows(SongIdentity("0" * 16, "mix", "Sectoid", "Feelings", 0), mel, charts, extractor))
for split in ("train", "validation"):
    (work / "dataset" / "data" / split).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, window_schema()), work / "dataset" / "data" / split / "feelings.parquet")
dataset = load_dataset(str(work / "dataset"))
print(dataset)

# %% [markdown]
# ## 3. A model of random weights knows nothing
#
# Its loss is that of guessing among 740 tokens.

# %%
torch.manual_seed(0)
config = TabHeroConfig(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4)
model = TabHeroForConditionalGeneration(config)
print(f"{model.num_parameters() / 1e6:.1f} million parameters")

# %%
from tabhero_hf.data.collator import TabHeroCollator
from tabhero_hf.data.windows import ChartWindows

windows = ChartWindows(dataset["train"], extractor)
batch = TabHeroCollator()([windows[i] for i in range(4)])
print({name: tuple(value.shape) for name, value in batch.items()})
with torch.no_grad():
    loss = model(**batch).loss.item()
print(f"loss {loss:.2f}, log(740) is {math.log(740):.2f}")
assert abs(loss - math.log(740)) < 0.2

# %% [markdown]
# ## 4. One step of training

# %%
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
model(**batch).loss.backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()
with torch.no_grad():
    print(f"after one step: {model(**batch).loss.item():.2f}")

# %% [markdown]
# ## 5. A short run
#
# The same with the Trainer, as `scripts/train.py` does it: warm-up, cosine, clipping, checkpoints, evaluation.

# %%
from tabhero_hf.training.arguments import parse_arguments
from tabhero_hf.training.run import train

model.save_pretrained(work / "start")
TabHeroProcessor(extractor, tokenizer).save_pretrained(work / "start")
arguments = {
    "dataset": work / "dataset",
    "model_name_or_path": work / "start",
    "output_dir": work / "run",
    "max_steps": 30,
    "per_device_train_batch_size": 4,
    "learning_rate": 2e-3,
    "logging_steps": 2,
    "eval_steps": 15,
    "save_steps": 15,
    "generation_every": 0,
    "use_cpu": True,
}
trainer = train(*parse_arguments([f"--{name}={value}" for name, value in arguments.items()]))
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(f"loss from {losses[0]:.2f} to {losses[-1]:.2f}")
print("its curve:", work / "run" / "checkpoint-30" / "training_curve.png")
assert losses[-1] < losses[0] - 1

# %% [markdown]
# ## 6. Reading it back
#
# A checkpoint is a model folder: `from_pretrained` loads it, `generate` writes notes, the processor joins windows.

# %%
model = TabHeroForConditionalGeneration.from_pretrained(work / "run").eval()
processor = TabHeroProcessor.from_pretrained(work / "run")
inputs = processor(audio=load_audio(song.stems), sampling_rate=22050, return_tensors="pt")
count = len(inputs["input_features"])
sequences = model.generate(
    input_features=inputs["input_features"],
    attention_mask=inputs["attention_mask"],
    difficulty_ids=torch.full((count,), 3),
    instrument_ids=torch.zeros(count, dtype=torch.long),
    max_new_tokens=100,
)
chart = processor.decode_song(sequences, inputs["window_start"], inputs["attention_mask"].sum(dim=1))
print(f"{len(chart)} notes; after thirty steps they mean little")
