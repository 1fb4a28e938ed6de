"""A model that cannot learn a few windows by heart cannot learn anything."""

import pyarrow as pa
import pytest
from datasets import Dataset
from transformers import set_seed

from tabhero_hf import TabHeroConfig, TabHeroFeatureExtractor, TabHeroForConditionalGeneration
from tabhero_hf.audio import load_audio
from tabhero_hf.charts import Difficulty, Instrument, read_song
from tabhero_hf.data.collator import TabHeroCollator
from tabhero_hf.data.schema import ChartKey, SongIdentity, window_rows, window_schema
from tabhero_hf.data.windows import ChartWindows
from tabhero_hf.evaluation.windows import score_windows
from tabhero_hf.training.arguments import TabHeroTrainingArguments
from tabhero_hf.training.trainer import TabHeroTrainer

WINDOWS = 8


@pytest.fixture
def real_windows(demo_song) -> ChartWindows:
    """The human Expert chart of a recording, in windows of 5 s."""
    song = read_song(demo_song)
    extractor = TabHeroFeatureExtractor(max_frames=430, overlap_frames=0)
    mel = extractor.log_mel(load_audio(song.stems, extractor.sampling_rate))
    charts = {ChartKey(3, 0): song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)}
    rows = list(window_rows(SongIdentity("0" * 16, "mix", "", "", 0), mel, charts, extractor))[:WINDOWS]
    return ChartWindows(Dataset(pa.Table.from_pylist(rows, window_schema())), extractor)


def test_eight_real_windows_are_learned_by_heart(real_windows, tmp_path):
    set_seed(0)
    model = TabHeroForConditionalGeneration(
        TabHeroConfig(
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            encoder_layers=1,
            listening_loss_weight=1.0,
        )
    )
    model.generation_config.max_new_tokens = 400
    args = TabHeroTrainingArguments(
        output_dir=str(tmp_path),
        max_steps=200,
        per_device_train_batch_size=WINDOWS,
        learning_rate=3e-3,
        save_strategy="no",
        eval_strategy="no",
        load_best_model_at_end=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = TabHeroTrainer(
        model=model,
        args=args,
        train_dataset=real_windows,
        eval_dataset=real_windows,
        data_collator=TabHeroCollator(),
    )
    trainer.train()
    assert trainer.evaluate()["eval_token_accuracy"] >= 0.99
    scores = score_windows(model.eval(), real_windows)
    assert scores["windows"] == WINDOWS and scores["note_f1"] >= 0.95
