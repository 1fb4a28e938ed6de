# Every target sets up its own environment when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-slow train-smoke checkpoint pitch-head fingering-head fuzz style clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/python scripts/demo.py

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

# From the demo's song to a trained model, its evaluation and its card, in some three minutes. What it is trained on is
# what it is evaluated on: this shows that all parts work together, not what a model can do.
SMOKE := runs/smoke
train-smoke: setup
	rm -rf $(SMOKE)
	$(BIN)/python scripts/prepare_dataset.py tests/fixtures/demo_song $(SMOKE)/demo_song --splits 1,0,0 \
		--max_frames 689 --overlap_frames 172
	$(LAUNCH) scripts/train.py scripts/configs/smoke.yaml
	$(BIN)/python scripts/evaluate.py --model $(SMOKE)/model --songs tests/fixtures/demo_song \
		--other_audio tests/fixtures/other_song.ogg --output_dir $(SMOKE)/evaluation --model_card true

# The bundled checkpoint, further trained: on made songs, the music of Freedoom played by the same band, and the three
# real songs that training may use, all with instrument and backing apart, and with records of other music for backing.
# Needs Debian's fluidsynth, fluid-soundfont-gm, freedoom, nexuiz-music, ufoai-music and fretsonfire-songs-sectoid. Some
# two and a half hours on two processors; goes on where it was stopped.
SHIPPED := runs/shipped
SOUNDFONT := /usr/share/sounds/sf2/FluidR3_GM.sf2
PIECES := /usr/share/games/doom/freedoom1.wad /usr/share/games/doom/freedoom2.wad
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_cpu_threads_per_process $$(nproc) --mixed_precision no
RECORDS := /usr/share/games/nexuiz/data/music.pk3 /usr/share/games/ufoai/base/0music.pk3
REAL := /usr/share/games/fretsonfire/data/songs
PREPARE := $(BIN)/python scripts/prepare_dataset.py
WINDOWS := --audio parts --max_frames 688 --overlap_frames 172
checkpoint: setup
	for made in "69 2000" "62 3000" "80 8000" "58 5000 --midi $(PIECES)" "58 6000 --midi $(PIECES)" \
			"70 9000 --midi $(PIECES)"; do \
		set -- $$made; count=$$1 seed=$$2; shift 2; \
		$(BIN)/python scripts/make_training_songs.py $(SHIPPED)/songs --songs $$count --first_seed $$seed \
			--soundfont $(SOUNDFONT) "$$@" || exit 1; done
	$(PREPARE) $(SHIPPED)/songs $(SHIPPED)/made $(WINDOWS) --splits 0.97,0.03,0
	mkdir -p $(SHIPPED)/mit
	for song in "Escape from chaosland" "Metal madness" "War of freedom"; do \
		ln -sfn "$(REAL)/sectoid/$$song" "$(SHIPPED)/mit/$$song"; done
	$(PREPARE) $(SHIPPED)/mit $(SHIPPED)/real $(WINDOWS) --splits 1,0,0 --align True
	for records in $(RECORDS); do $(BIN)/python -m zipfile -e $$records $(SHIPPED)/recordings || exit 1; done
	$(LAUNCH) scripts/train.py scripts/configs/shipped.yaml \
		--resume_from_checkpoint $$(ls -d $(SHIPPED)/model/checkpoint-* >/dev/null 2>&1 && echo true || echo false)
	$(BIN)/python scripts/bundle_checkpoint.py $(SHIPPED)/model $(SHIPPED)/model/checkpoint-1300 \
		$(SHIPPED)/model/checkpoint-1400 --earlier tabhero_hf/checkpoints/tiny

# Its pitch head, learned anew from made songs and the same records, in some half an hour.
pitch-head: setup
	for records in $(RECORDS); do $(BIN)/python -m zipfile -e $$records $(SHIPPED)/recordings || exit 1; done
	$(BIN)/python scripts/train_pitch_head.py --model tabhero_hf/checkpoints/tiny --output_dir $(SHIPPED)/pitched \
		--notes_dir $(SHIPPED)/pitches --soundfont $(SOUNDFONT) --records $(SHIPPED)/recordings
	$(BIN)/python scripts/bundle_checkpoint.py $(SHIPPED)/pitched

# The head that puts notes on frets by their pitches, learned anew from made songs in some half an hour.
fingering-head: setup
	for records in $(RECORDS); do $(BIN)/python -m zipfile -e $$records $(SHIPPED)/recordings || exit 1; done
	$(BIN)/python scripts/train_fingering_head.py --model tabhero_hf/checkpoints/tiny \
		--output_dir $(SHIPPED)/fingered --notes_dir $(SHIPPED)/fingering --soundfont $(SOUNDFONT) \
		--records $(SHIPPED)/recordings
	$(BIN)/python scripts/bundle_checkpoint.py $(SHIPPED)/fingered

# 200,000 broken files, some ten minutes.
fuzz: setup
	TABHERO_FUZZ_EXAMPLES=50000 $(BIN)/python -m pytest -q tests/charts/test_fuzz.py

style: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build demo_output *.egg-info
