# Every target sets up its own environment when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-slow train-smoke checkpoint decoder fret-encoder pitch-head fingering-head fuzz style clean

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

# The bundled checkpoint, further trained in two stages, as it was last: on made songs and the three real songs that
# training may use, all with instrument and backing apart, and with records of other music for backing; then with as many
# keys as all else. Needs Debian's fluidsynth, fluid-soundfont-gm, nexuiz-music, ufoai-music and
# fretsonfire-songs-sectoid. Some hour and a half on two processors; goes on where it was stopped.
SHIPPED := runs/shipped
SOUNDFONT := /usr/share/sounds/sf2/FluidR3_GM.sf2
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_cpu_threads_per_process $$(nproc) --mixed_precision no
RECORDS := /usr/share/games/nexuiz/data/music.pk3 /usr/share/games/ufoai/base/0music.pk3
UNPACK_RECORDS = for records in $(RECORDS); do $(BIN)/python -m zipfile -e $$records $(SHIPPED)/recordings || exit 1; done
REAL := /usr/share/games/fretsonfire/data/songs
MAKE_SONGS := $(BIN)/python scripts/make_training_songs.py --soundfont $(SOUNDFONT)
PREPARE := $(BIN)/python scripts/prepare_dataset.py --audio parts --max_frames 689 --overlap_frames 172 --splits 1,0,0
TRAIN := $(LAUNCH) scripts/train.py scripts/configs/shipped.yaml
BUNDLE := $(BIN)/python scripts/bundle_checkpoint.py
# Whether a run has begun.
resumes = $$(ls -d $(1)/checkpoint-* >/dev/null 2>&1 && echo true || echo false)
# So many links to each file of a dataset, in another one.
link_turns = for turn in $$(seq $(1)); do for rows in $(2)/data/train/*.parquet; do \
	cp -fl $$rows $(3)/data/train/$$turn-$$(basename $$rows) || exit 1; done; done
checkpoint: setup
	mkdir -p $(SHIPPED)/mit && cp -rnT tabhero_hf/checkpoints/tiny $(SHIPPED)/earlier
	$(MAKE_SONGS) $(SHIPPED)/keys_songs --songs 40 --first_seed 11000 --featured keys
	$(MAKE_SONGS) $(SHIPPED)/songs --songs 46 --first_seed 13000
	$(PREPARE) $(SHIPPED)/keys_songs $(SHIPPED)/keys_made
	$(PREPARE) $(SHIPPED)/songs $(SHIPPED)/songs_made
	for song in "Escape from chaosland" "Metal madness" "War of freedom"; do \
		ln -sfn "$(REAL)/sectoid/$$song" "$(SHIPPED)/mit/$$song"; done
	$(PREPARE) $(SHIPPED)/mit $(SHIPPED)/real --align True
	$(UNPACK_RECORDS)
	for stage in made made_for_keys; do \
		mkdir -p $(SHIPPED)/$$stage/data/train && cp $(SHIPPED)/songs_made/*.json $(SHIPPED)/$$stage || exit 1; done
	cp -fl $(SHIPPED)/*_made/data/train/*.parquet $(SHIPPED)/made/data/train
	cp -fl $(SHIPPED)/*_made/data/train/*-keys+backing.parquet $(SHIPPED)/songs_made/data/train/*-guitar+backing.parquet \
		$$(ls $(SHIPPED)/songs_made/data/train/*-bass+backing.parquet | head -14) \
		$$(ls $(SHIPPED)/songs_made/data/train/*-rhythm+backing.parquet | head -14) $(SHIPPED)/made_for_keys/data/train
	$(TRAIN) --resume_from_checkpoint $(call resumes,$(SHIPPED)/model)
	$(BUNDLE) $(addprefix $(SHIPPED)/model/checkpoint-,1700 1600 1500) --earlier $(SHIPPED)/earlier
	cp -rnT tabhero_hf/checkpoints/tiny $(SHIPPED)/between
	$(TRAIN) --model_name_or_path $(SHIPPED)/between --dataset $(SHIPPED)/made_for_keys --second_dataset_turns 15 \
		--output_dir $(SHIPPED)/keys_model --max_steps 1300 --learning_rate 6e-4 \
		--resume_from_checkpoint $(call resumes,$(SHIPPED)/keys_model)
	$(BUNDLE) $(addprefix $(SHIPPED)/keys_model/checkpoint-,1300 1200 1100) \
		--earlier $(SHIPPED)/between --earlier_share 0.25

# Its decoder, trained further with the encoder as it is, as it was last: on the same records as it charts them itself, on
# pieces charted by pitch, and on the songs of `make checkpoint`, which goes before. Some two hours on two processors; goes on
# where it was stopped. To train it once more, or from other weights, remove before_decoder and decoder first.
BEFORE_DECODER := $(SHIPPED)/before_decoder
DECODER_DATA := $(SHIPPED)/for_decoder
DECODER_SONGS := $(SHIPPED)/songs_for_decoder
decoder: setup
	$(UNPACK_RECORDS)
	cp -rnT tabhero_hf/checkpoints/tiny $(BEFORE_DECODER)
	cmp tabhero_hf/checkpoints/tiny/model.safetensors $(BEFORE_DECODER)/model.safetensors
	$(BIN)/python scripts/label_recordings.py $(SHIPPED)/recordings $(SHIPPED)/heard --model $(BEFORE_DECODER)
	$(BIN)/python scripts/render_pieces.py $(SHIPPED)/pieces --pieces 30000
	mkdir -p $(DECODER_DATA)/data/train $(DECODER_SONGS)/data/train
	cp -f $(SHIPPED)/pieces/*.json $(DECODER_DATA)
	cp -f $(SHIPPED)/songs_made/*.json $(DECODER_SONGS)
	cp -fl $(SHIPPED)/pieces/data/train/*.parquet $(DECODER_DATA)/data/train
	cp -fl $(SHIPPED)/songs_made/data/train/*.parquet $(DECODER_SONGS)/data/train
	$(call link_turns,4,$(SHIPPED)/heard,$(DECODER_DATA))
	$(call link_turns,40,$(SHIPPED)/real,$(DECODER_SONGS))
	$(LAUNCH) scripts/train.py scripts/configs/decoder.yaml --resume_from_checkpoint $(call resumes,$(SHIPPED)/decoder)
	$(BUNDLE) $(SHIPPED)/decoder/checkpoint-4700

# The encoder by which its decoder hears frets, trained further, as it was last, on more pieces and on the records as the whole
# model charts them. To follow `make checkpoint`, which trains all at once, and `make decoder`. Some two hours on two
# processors; goes on where it was stopped. To train it once more, or from other weights, remove before_fret_encoder and
# fret_encoder first.
BEFORE_FRETS := $(SHIPPED)/before_fret_encoder
FRETS_DATA := $(SHIPPED)/for_fret_encoder
FRETS_RECORDS := $(SHIPPED)/heard_for_fret_encoder
fret-encoder: setup
	$(UNPACK_RECORDS)
	cp -rnT tabhero_hf/checkpoints/tiny $(BEFORE_FRETS)
	cmp tabhero_hf/checkpoints/tiny/model.safetensors $(BEFORE_FRETS)/model.safetensors
	$(BIN)/python scripts/label_recordings.py $(SHIPPED)/recordings $(FRETS_RECORDS) --model $(BEFORE_FRETS)
	$(BIN)/python scripts/render_pieces.py $(SHIPPED)/more_pieces --pieces 18500 --first_seed 30000
	rm -rf $(FRETS_DATA) && mkdir -p $(FRETS_DATA)/data/train
	cp -f $(SHIPPED)/more_pieces/*.json $(FRETS_DATA)
	cp -fl $(SHIPPED)/more_pieces/data/train/*.parquet $(FRETS_DATA)/data/train
	$(call link_turns,2,$(FRETS_RECORDS),$(FRETS_DATA))
	$(LAUNCH) scripts/train.py scripts/configs/fret_encoder.yaml \
		--resume_from_checkpoint $(call resumes,$(SHIPPED)/fret_encoder)
	$(BUNDLE) $(addprefix $(SHIPPED)/fret_encoder/checkpoint-,3500 3250 3000) --fret_encoder_scale 2

# Its pitch head learns on, from made songs and the same records, in some ten minutes.
pitch-head: setup
	$(UNPACK_RECORDS)
	$(BIN)/python scripts/train_pitch_head.py --model tabhero_hf/checkpoints/tiny --output_dir $(SHIPPED)/pitched \
		--notes_dir $(SHIPPED)/pitches --soundfont $(SOUNDFONT) --records $(SHIPPED)/recordings \
		--seconds 60
	$(BUNDLE) $(SHIPPED)/pitched

# The head that puts notes on frets by their pitches, learned anew from made songs in some half an hour.
fingering-head: setup
	$(UNPACK_RECORDS)
	$(BIN)/python scripts/train_fingering_head.py --model tabhero_hf/checkpoints/tiny \
		--output_dir $(SHIPPED)/fingered --notes_dir $(SHIPPED)/fingering --soundfont $(SOUNDFONT) \
		--records $(SHIPPED)/recordings
	$(BUNDLE) $(SHIPPED)/fingered

# 200,000 broken files, some ten minutes.
fuzz: setup
	TABHERO_FUZZ_EXAMPLES=50000 $(BIN)/python -m pytest -q tests/charts/test_fuzz.py

style: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build demo_output *.egg-info
