"""Runs of the training script, as a user starts, kills and resumes them."""

import json
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import AutoProcessor, Trainer, TrainerControl

from tabhero_hf import TabHeroConfig, TabHeroFeatureExtractor, TabHeroForConditionalGeneration, TabHeroProcessor
from tabhero_hf.modeling_tabhero import TabHeroFingeringHead, TabHeroPitchHead
from tabhero_hf.training.arguments import parse_arguments
from tabhero_hf.training.callbacks import GenerationMetrics, StopSignal
from tabhero_hf.training.model_card import add_results
from tabhero_hf.training.run import train

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"


@pytest.fixture
def flags(dataset, small_model, tmp_path):
    """A run of 8 steps that saves and evaluates at every second one."""
    values = {
        "dataset": dataset,
        "model_name_or_path": small_model,
        "output_dir": tmp_path / "run",
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_steps": 2,
        "eval_steps": 2,
        "generation_every": 0,
        "min_frames": 10,
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return lambda **changed: [f"--{name}={value}" for name, value in {**values, **changed}.items()]


def run(flags, launcher=(sys.executable,), patience=None):
    """Runs the script. After `patience` seconds it says what its processes were at, and kills them all."""
    process = subprocess.Popen(
        [*launcher, SCRIPT, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
    )  # fmt: skip
    try:
        output = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            each.send_signal(signal.SIGABRT)  # at which it writes where its threads are
        output = process.communicate()
        warnings.warn(f"{launcher} did not end in {patience} s:\n{output[1][-20_000:]}", stacklevel=2)
    return subprocess.CompletedProcess(process.args, process.returncode, *output)


def history(folder):
    return json.loads((Path(folder) / "trainer_state.json").read_text())["log_history"]


def losses(folder):
    return [entry["loss"] for entry in history(folder) if "loss" in entry]


def test_a_run_leaves_a_model_its_best_and_last_checkpoints_and_what_happened(flags, tmp_path):
    trainer = train(*parse_arguments(flags(generation_every=2, generation_samples=2)))
    folder = tmp_path / "run"
    kept = {path.name for path in folder.glob("*checkpoint*")}
    assert "checkpoint-8" in kept and len(kept) <= 3
    assert (
        Path(trainer.state.best_model_checkpoint).name in kept and Path(trainer.state.best_model_checkpoint).is_dir()
    )
    assert TabHeroForConditionalGeneration.from_pretrained(folder).config.hidden_size == 32
    assert (folder / "processor_config.json").is_file() or (folder / "preprocessor_config.json").is_file()
    table = (folder / "checkpoint-8" / "training_table.md").read_text()
    assert "fret" in table.splitlines()[0] and "onset F1@50" in table.splitlines()[0]
    assert len(table.splitlines()) == 6
    assert (folder / "checkpoint-8" / "training_curve.png").read_bytes().startswith(b"\x89PNG")
    evaluation = next(entry for entry in history(folder) if "eval_fret_accuracy" in entry)
    assert {"eval_time_loss", "eval_modifier_loss", "eval_duration_loss", "eval_token_accuracy"} <= evaluation.keys()


def test_the_last_and_the_best_checkpoints_are_kept(flags, tmp_path):
    train(*parse_arguments(flags(max_steps=12, save_total_limit=3, learning_rate=0.05)))
    losses = {entry["step"]: entry["eval_loss"] for entry in history(tmp_path / "run") if "eval_loss" in entry}
    best = sorted(losses, key=losses.get)
    kept = {int(path.name.split("-")[1]) for path in (tmp_path / "run").glob("checkpoint-*")}
    assert kept == ({12, *best[:3]} if 12 in best[:3] else {12, *best[:2]}) and len(kept) == 3


def test_without_evaluation_the_latest_checkpoints_are_kept(flags, tmp_path):
    train(*parse_arguments(flags(save_total_limit=3, eval_strategy="no", load_best_model_at_end=False)))
    assert {path.name for path in (tmp_path / "run").glob("checkpoint-*")} == {f"checkpoint-{n}" for n in (4, 6, 8)}


def test_a_best_step_that_was_not_saved_is_not_named(flags, tmp_path):
    # Nothing is learned, so that the first evaluation is the best one.
    trainer = train(*parse_arguments(flags(max_steps=4, learning_rate=0.0, eval_steps=1)))
    assert trainer.state.best_global_step == 1
    assert trainer.state.best_model_checkpoint is None


def test_checkpoints_are_pushed_when_they_are_whole(flags, hub):
    strategy = {"push_to_hub": True, "hub_model_id": "tabhero/checkpoints", "hub_strategy": "checkpoint"}
    plain = {"eval_strategy": "no", "load_best_model_at_end": False}
    trainer = train(*parse_arguments(flags(max_steps=4, **strategy, **plain)))
    trainer._finish_current_push()
    files = hub.files("tabhero/checkpoints")
    state = json.loads(files["last-checkpoint/trainer_state.json"])
    assert state["global_step"] in (2, 4)  # a push is left out while one goes on
    assert {"last-checkpoint/optimizer.pt", "last-checkpoint/model.safetensors"} <= files.keys()
    assert not [name for name in files if "unfinished" in name]


def test_a_run_is_pushed_whole_and_loads_from_the_hub(flags, hub, dataset, tmp_path):
    HfApi().create_repo("tabhero/songs", repo_type="dataset")
    HfApi().upload_folder(repo_id="tabhero/songs", repo_type="dataset", folder_path=dataset)
    trainer = train(
        *parse_arguments(flags(dataset="tabhero/songs", max_steps=2, push_to_hub=True, hub_model_id="tabhero/base"))
    )
    model = TabHeroForConditionalGeneration.from_pretrained("tabhero/base")
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert type(AutoProcessor.from_pretrained("tabhero/base")) is TabHeroProcessor
    assert model.generation_config.decoder_start_token_id == 1
    files = hub.files("tabhero/base")
    assert {"modeling_tabhero.py", "processing_tabhero.py", "generation_config.json"} <= files.keys()
    assert not [name for name in files if name.startswith("checkpoint-")]
    card = files["README.md"].decode()
    assert "- tabhero/songs" in card and "# base" in card and 'model="tabhero/base"' in card
    assert "| Decoder | width 32, 1 layers, 2 heads |" in card
    assert "2 steps" in card and "| fret |" in card


def test_the_card_takes_the_results_of_an_evaluation(flags, tmp_path):
    train(*parse_arguments(flags(max_steps=2)))
    folder = tmp_path / "run"
    assert "Not evaluated on songs yet." in (folder / "README.md").read_text()
    scores = {name: {"mean": 0.5, "low": 0.4, "high": 0.6} for name in ("onset_f1_50", "note_f1")}
    group = {"system": "model", "instrument": "lead", "difficulty": "expert", "songs": 3, **scores}
    for times in (1, 2):
        (tmp_path / "report.json").write_text(json.dumps({"facts": {"songs": "A, B"}, "summary": [group]}))
        (tmp_path / "report.md").write_text(f"# Evaluation\n\n- times: {times}\n\n## lead, expert\n\n|a|\n")
        add_results(folder, tmp_path / "report.json")
    card = ModelCard.load(folder / "README.md")
    assert [result.metric_value for result in card.data.eval_results] == [0.5, 0.5]
    assert (
        card.text.count("- times: 2") == 1 and "times: 1" not in card.text and "not evaluated" not in card.text.lower()
    )
    assert "\n### lead, expert\n" in card.text and "\n## Training\n" in card.text
    (folder / "README.md").unlink()
    with pytest.raises(ValueError, match="no README.md"):
        add_results(folder, tmp_path / "report.json")


def test_tensorboard_shows_losses_and_scores(flags, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = tmp_path / "logs"
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(logs)
    try:
        train(*parse_arguments(flags(max_steps=2, report_to="tensorboard", generation_every=1, generation_samples=1)))
    finally:
        del os.environ["TENSORBOARD_LOGGING_DIR"]
    events = EventAccumulator(str(logs)).Reload()
    assert {"train/loss", "train/grad_norm", "eval/fret_loss", "eval/note_f1"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]


def test_trackio_shows_losses(flags, tmp_path):
    from trackio.sqlite_storage import SQLiteStorage

    train(*parse_arguments(flags(max_steps=2, report_to="trackio", project="tabhero", run_name="trial")))
    logged = SQLiteStorage.get_logs("tabhero", "trial")
    assert [entry["train/loss"] for entry in logged if "train/loss" in entry] == losses(tmp_path / "run")


def test_heads_that_learn_by_themselves_are_carried_along(flags, small_model, tmp_path):
    model = TabHeroForConditionalGeneration.from_pretrained(small_model)
    model.config.pitch_head = model.config.fingering_head = True
    model.pitch_head, model.fingering_head = TabHeroPitchHead(model.config), TabHeroFingeringHead(model.config)
    model.save_pretrained(tmp_path / "pitched")
    TabHeroProcessor.from_pretrained(small_model).save_pretrained(tmp_path / "pitched")
    trainer = train(*parse_arguments(flags(model_name_or_path=tmp_path / "pitched", max_steps=2)))
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "pitched", tmp_path / "run"))
    same = {name for name in before if (before[name] == after[name]).all()}
    heads = {name for name in before if name.startswith(("pitch_head", "fingering_head"))}
    assert {name.split(".")[0] for name in heads} == {"pitch_head", "fingering_head"}
    assert heads <= same < before.keys()
    assert trainer.model.config.pitch_head and trainer.model.config.fingering_head


def test_only_what_is_trainable_learns(flags, small_model, tmp_path):
    trainable = ["model.decoder", "fret_pointer"]
    train(*parse_arguments([*flags(model_name_or_path=small_model, max_steps=2), "--trainable", *trainable]))
    before, after = (load_file(folder / "model.safetensors") for folder in (small_model, tmp_path / "run"))
    learned = {name for name in before if (before[name] != after[name]).any()}
    assert learned == {name for name in before if name.startswith(tuple(trainable))}


def test_what_is_trainable_must_be_there(flags):
    with pytest.raises(ValueError, match="begin with 'model.encodr'; there are .*, model.decoder.layers, "):
        train(*parse_arguments([*flags(), "--trainable", "model.encodr"]))


def test_a_head_that_learns_elsewhere_is_not_trained_here(flags, small_model, tmp_path):
    model = TabHeroForConditionalGeneration.from_pretrained(small_model)
    model.config.pitch_head, model.pitch_head = True, TabHeroPitchHead(model.config)
    model.save_pretrained(tmp_path / "pitched")
    TabHeroProcessor.from_pretrained(small_model).save_pretrained(tmp_path / "pitched")
    with pytest.raises(ValueError, match="nothing of .'pitch_head'. is trained here"):
        train(*parse_arguments([*flags(model_name_or_path=tmp_path / "pitched"), "--trainable", "pitch_head"]))


def test_a_new_model_has_a_fret_encoder_that_learns_alone(flags, tmp_path):
    alone = ["--trainable", "model.encoder.fret_encoder"]
    new = {"model_name_or_path": "", "fret_encoder": True, "max_steps": 2}
    trainer = train(*parse_arguments([*flags(**new), *alone]))
    learning = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert learning == {name for name, _ in trainer.model.named_parameters() if ".fret_encoder." in name}
    assert load_file(tmp_path / "run" / "model.safetensors").keys() >= learning
    assert "; a second encoder of this kind for the fret pointer |" in (tmp_path / "run" / "README.md").read_text()
    without = flags(**{**new, "fret_encoder": False, "resume_from_checkpoint": "true"})
    with pytest.raises(ValueError, match="fret_encoder True, but this run's model has False"):
        train(*parse_arguments(without))


def test_a_trained_model_gets_no_fret_encoder_on_the_way(flags, small_model):
    with pytest.raises(ValueError, match="has no fret encoder: `scripts/add_fret_encoder.py` gives it one"):
        train(*parse_arguments(flags(model_name_or_path=small_model, fret_encoder=True)))


def test_decay_leaves_norms_biases_and_embeddings_out(flags):
    trainer = train(*parse_arguments(flags(max_steps=1, save_strategy="no", load_best_model_at_end=False)))
    decayed = set(trainer.get_decay_parameter_names(trainer.model))
    assert "model.decoder.layers.0.self_attn.q_proj.weight" in decayed
    assert not {name for name in decayed if "norm" in name or "embed" in name or name.endswith("bias")}


@pytest.mark.parametrize(
    ("step", "workers"),
    [
        *((step, {}) for step in random.sample(range(3, 9), 2)),
        # Into the next epoch.
        (3, {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "max_steps": 16}),
    ],
    ids=["one step", "another", "persistent workers"],
)
def test_a_killed_run_goes_on_bit_for_bit(flags, tmp_path, step, workers):
    whole = flags(output_dir=tmp_path / "whole", condition_dropout=0.3, label_smoothing_factor=0.1, **workers)
    killed = flags(output_dir=tmp_path / "killed", condition_dropout=0.3, label_smoothing_factor=0.1, **workers)
    train(*parse_arguments(whole))
    process = subprocess.Popen(
        [sys.executable, "-u", SCRIPT, *killed], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    steps = (line for line in process.stdout if "'loss'" in line)
    assert len(list(islice(steps, step))) == step
    process.kill()
    process.communicate()
    train(*parse_arguments([*killed, "--resume_from_checkpoint=true"]))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_several_processes_go_on_in_the_order_of_the_epoch(flags, monkeypatch):
    trainer = train(*parse_arguments(flags(max_steps=1, eval_strategy="no", save_strategy="no",
                                           load_best_model_at_end=False)))  # fmt: skip
    loader = DataLoader(trainer.train_dataset, 2, sampler=trainer._get_train_sampler(), collate_fn=list)
    # As the first of two has it.
    loader = prepare_data_loader(loader, torch.device("cpu"), num_processes=2, process_index=0, put_on_device=False)

    def read(self, epoch, train_dataloader):
        train_dataloader.set_epoch(epoch)
        return [[item["seed"] for item in batch] for batch in train_dataloader]

    monkeypatch.setattr(Trainer, "_run_epoch", read)
    of_epochs = [trainer._run_epoch(epoch=epoch, train_dataloader=loader) for epoch in (0, 2)]
    trainer._get_train_sampler()  # a process that resumes has not read any
    assert trainer._sampler.epoch == 0
    loader.batch_sampler.batch_sampler.sampler = trainer._sampler
    resumed = trainer._run_epoch(epoch=2, train_dataloader=skip_first_batches(loader, 2))
    assert resumed == of_epochs[1][2:] and resumed != of_epochs[0][2:]


def test_all_processes_stop_after_the_step_at_which_one_was_told_to(monkeypatch):
    callback, control = StopSignal(), TrainerControl()
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flag, operation: flag.fill_(1))
    for processes in (1, 2):
        callback.on_step_end(SimpleNamespace(world_size=processes, device="cpu"), None, control)
        assert control.should_save == control.should_training_stop == (processes == 2)


def test_a_model_in_parts_is_not_asked_to_chart():
    windows = [{"input_features": torch.zeros(10, 128)}]
    callback = GenerationMetrics(windows, samples=1, every=1)
    logged = []
    callback.trainer = SimpleNamespace(is_fsdp_enabled=True, log=logged.append)
    for evaluations in (1, 2):
        state = SimpleNamespace(is_world_process_zero=True, log_history=evaluations * [{"eval_loss": 1.0}])
        callback.on_evaluate(None, state, None, model=None)  # which no chart can be asked of
    assert logged == []


def first_step(folder):
    entry = next(entry for entry in history(folder) if "loss" in entry)
    return entry["loss"], entry["grad_norm"]


def test_how_a_batch_is_split_does_not_change_loss_and_gradient(flags, tmp_path):
    # Frets are corrupted by the draw of a whole batch, so not here.
    def of(name, **changed):
        return flags(output_dir=tmp_path / name, max_steps=1, fret_corruption=0, eval_strategy="no",
                     load_best_model_at_end=False, save_strategy="no", **changed)  # fmt: skip

    train(*parse_arguments(of("one", per_device_train_batch_size=8)))
    train(*parse_arguments(of("accumulated", per_device_train_batch_size=4, gradient_accumulation_steps=2)))
    config = SCRIPT.parent / "configs" / "accelerate" / "two_cpu_processes.yaml"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    # Any free port. Once on a busy machine the two waited for each other for over an hour: then they start anew.
    launcher += ["--main_process_port", "0"]
    done = run([*of("two", per_device_train_batch_size=4)], launcher, patience=300)
    if done.returncode == -signal.SIGABRT:
        done = run([*of("two", per_device_train_batch_size=4)], launcher, patience=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("accumulated", "two"):
        assert first_step(tmp_path / name) == pytest.approx(first_step(tmp_path / "one"), rel=1e-5)
    # Two processes were two: one step took them twice as far into the epoch as one process's batch of 4 would go.
    assert history(tmp_path / "two")[0]["epoch"] > 0.15


def test_sigterm_saves_and_says_how_to_go_on(flags, tmp_path):
    endless = flags(max_steps=100_000, save_steps=100_000, eval_strategy="no", load_best_model_at_end=False,
                    dataloader_num_workers=1)  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if "'loss'" in line:
            os.killpg(process.pid, signal.SIGTERM)  # as schedulers do: its workers, too
            break
    output = process.stdout.read()
    assert process.wait() == 0
    assert "--resume_from_checkpoint true" in output
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 1


def test_a_full_disk_keeps_the_last_good_checkpoint(flags, tmp_path, monkeypatch):
    from tabhero_hf.training.trainer import TabHeroTrainer

    saved = TabHeroTrainer._save_rng_state

    def full(self, folder):
        if self.state.global_step == 4:
            raise OSError(28, os.strerror(28))
        saved(self, folder)

    monkeypatch.setattr(TabHeroTrainer, "_save_rng_state", full)
    with pytest.raises(OSError, match="No space left"):
        train(*parse_arguments(flags()))
    assert [path.name for path in (tmp_path / "run").iterdir() if path.is_dir()] == ["checkpoint-2"]


def test_files_that_cannot_be_written_whole_are_an_error_of_the_disk(flags, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # as a disk with so little left
    try:
        with pytest.raises(OSError, match="large|unexpected pos"):
            train(*parse_arguments(flags()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_model_that_is_not_there_is_an_error_and_no_traceback(flags, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *flags(model_name_or_path="runs/typo")])
    with pytest.raises(SystemExit, match=r"(?s)^error: .*Not Found for url: \S*/models/runs/typo/"):
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_file_of_the_dataset_that_is_cut_off_is_named(flags, dataset, tmp_path):
    other = shutil.copytree(dataset, tmp_path / "other")
    last = sorted((other / "data" / "train").iterdir())[-1]
    os.truncate(last, last.stat().st_size // 2)
    with pytest.raises(ValueError, match="cannot be loaded"):
        train(*parse_arguments(flags(dataset=other)))


def test_evaluations_are_counted_on_where_a_run_is_resumed(flags, tmp_path):
    settings = {"generation_every": 2, "generation_samples": 1, "early_stopping_patience": 9}
    train(*parse_arguments(flags(max_steps=2, **settings)))
    state_file = tmp_path / "run" / "checkpoint-2" / "trainer_state.json"
    state = json.loads(state_file.read_text())
    state["stateful_callbacks"]["Patience"]["attributes"]["early_stopping_patience_counter"] = 7
    state["best_metric"] = 0.0  # which nothing reaches
    state_file.write_text(json.dumps(state))
    trainer = train(*parse_arguments(flags(resume_from_checkpoint="true", **settings)))
    # Of the evaluations after steps 2, 4, 6 and 8 the second is charted freely, and is the last but two.
    charted = [entry["step"] for entry in trainer.state.log_history if "eval_note_f1" in entry]
    assert charted == [4]
    assert trainer.state.global_step == 6


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dataset": "/nowhere"}, "cannot be loaded"),
        ({"difficulties": 1}, "none of the"),
        ({"resume_from_checkpoint": "true"}, "no checkpoint to resume from"),
        ({"resume_from_checkpoint": "/nowhere"}, "is no checkpoint"),
        ({"size": "huge", "model_name_or_path": ""}, "unknown size 'huge'"),
        ({"eval_split_name": "test"}, "has no test split"),
        ({"curriculum_epochs": 2, "random_start": False}, "need `random_start`"),
        ({"recordings": "/music"}, "has no backing .*: prepare it with --audio parts"),
        ({"recordings": "/music", "remix": False}, "--recordings needs --remix"),
    ],
)
def test_bad_input_is_one_clear_error(flags, changed, reason):
    with pytest.raises(ValueError, match=reason):
        train(*parse_arguments(flags(**changed)))


def test_features_of_another_kind_are_for_new_models_alone(flags, dataset, tmp_path):
    other = shutil.copytree(dataset, tmp_path / "other")
    (other / "preprocessor_config.json").write_text(TabHeroFeatureExtractor(hop_length=512).to_json_string())
    with pytest.raises(ValueError, match="was prepared with hop_length 512, but .* hears 256"):
        train(*parse_arguments(flags(dataset=other)))
    new = flags(dataset=other, model_name_or_path="", size="tiny", max_steps=1, save_strategy="no", eval_strategy="no")
    trainer = train(*parse_arguments([*new, "--load_best_model_at_end=false"]))
    assert trainer.model.config.hop_length == trainer.processing_class.feature_extractor.hop_length == 512


def test_a_vocabulary_of_another_size_is_refused(flags, small_model, tmp_path):
    other = shutil.copytree(small_model, tmp_path / "other")
    model = TabHeroForConditionalGeneration.from_pretrained(other)
    model.resize_token_embeddings(741)
    model.save_pretrained(other)
    with pytest.raises(ValueError, match="the model is for 741 token ids, but its processor makes 740"):
        train(*parse_arguments(flags(model_name_or_path=other)))


def test_a_checkpoint_of_another_size_is_refused(flags, small_model, tmp_path):
    train(*parse_arguments(flags(max_steps=2)))
    resumed = flags(model_name_or_path="", size="tiny", resume_from_checkpoint="true")
    with pytest.raises(ValueError, match="checkpoint-2 has hidden_size 32, but this run's model has 256"):
        train(*parse_arguments(resumed))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    other = shutil.copytree(small_model, tmp_path / "other")
    TabHeroForConditionalGeneration(TabHeroConfig(**sizes)).save_pretrained(other)
    with pytest.raises(ValueError, match="checkpoint-2 has num_key_value_heads 2, but this run's model has 1"):
        train(*parse_arguments(flags(model_name_or_path=other, resume_from_checkpoint="true")))


def test_a_run_is_not_started_over_another(flags, tmp_path):
    train(*parse_arguments(flags(max_steps=2)))
    with pytest.raises(ValueError, match="go on with --resume_from_checkpoint true"):
        train(*parse_arguments(flags()))


def test_a_loss_that_is_not_finite_stops_the_run(flags):
    with pytest.raises(FloatingPointError, match="the loss is nan after step"):
        train(*parse_arguments(flags(learning_rate=1e30, max_grad_norm=1e30, warmup_steps=0)))


def test_a_yaml_file_with_an_unknown_name_is_refused(tmp_path):
    (tmp_path / "run.yaml").write_text("learning_rat: 1\n")
    with pytest.raises(ValueError, match="run.yaml: no such arguments: learning_rat"):
        parse_arguments([str(tmp_path / "run.yaml")])


def test_a_files_mappings_and_nulls_are_taken_as_they_are(tmp_path):
    (tmp_path / "run.yaml").write_text("lr_scheduler_kwargs: {min_lr_rate: 0.2}\nmax_train_samples: null\n")
    _, data, args = parse_arguments([str(tmp_path / "run.yaml")])
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.2} and data.max_train_samples is None
    (tmp_path / "run.yaml").write_text("save_total_limit: null\n")
    with pytest.raises(ValueError, match="run.yaml: save_total_limit has to have a value"):
        parse_arguments([str(tmp_path / "run.yaml")])


def test_half_precision_of_another_kind_may_be_asked_for(monkeypatch):
    monkeypatch.setattr("tabhero_hf.training.arguments.bf16_by_hardware", lambda: True)
    _, _, args = parse_arguments(["--fp16=true"])
    assert args.fp16 and not args.bf16


def test_flags_go_over_the_files_values():
    path = SCRIPT.parent / "configs" / "small.yaml"
    model, _, args = parse_arguments([str(path), "--learning_rate=1e-3"])
    assert (model.size, args.learning_rate, args.adam_beta2, args.max_grad_norm) == ("small", 1e-3, 0.95, 1.0)


def test_a_yaml_file_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "nowhere.yaml"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert caught.value.code == "error: [Errno 2] No such file or directory: 'nowhere.yaml'"
