"""Audio in, charts out: `pipeline("audio-to-chart")`."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers.pipelines.base import Pipeline

from .arranging import arrange, climb_onsets, count_broken_rules, find_frets, find_onsets, measure_confidence
from .arranging.repeats import INDEPENDENT, find_repeats, pool
from .arranging.snapping import LOW_CONFIDENCE
from .audio.beats import Beats, track_beats
from .audio.harmony import chroma_between
from .audio.likeness import compare_notes
from .audio.loading import load_audio
from .audio.stereo import FRAME, middle_and_sides, wide_frames
from .charts import Difficulty, Instrument, TempoMap
from .charts.measures import Measures
from .charts.mend import with_aligned_meters
from .configuration_tabhero import TabHeroConfig
from .generation_tabhero import TabHeroToldNotesLogitsProcessor
from .hearing import GUITARS, hear_charts, places_of_bins, with_sides
from .tokenization_tabhero import LANE_SETS, TIME_STEP

SILENCE = 1e-4  # a peak of -80 dBFS: below it there is no music, only dither
WINDOW_BATCH_SIZE = 32  # of `generate()`; greedy decoding chooses its own


class AudioToChartPipeline(Pipeline):
    """
    Charts songs for the difficulties and instruments asked for.

    ```python
    >>> import tabhero_hf
    >>> from transformers import pipeline

    >>> charter = pipeline("audio-to-chart")
    >>> result = charter("song.ogg", difficulties=["expert", "easy"], instruments=["lead"])
    >>> result["notes"]["lead", "expert"][0]
    (1.02, (0, 2), 0, 0.0)
    ```

    A song is a path to an audio file, a list of stems in a dictionary `{"stems": [paths]}`, a song folder, a waveform
    at the model's sampling rate, `(samples,)` or left and right `(2, samples)`, or a dictionary `{"array": samples,
    "sampling_rate": Hz}`. Call parameters:

    - `difficulties`, `instruments` (`list`, default all four and `["lead"]`): names or numbers.
    - `window_batch_size` (`int`): windows, each for one difficulty and instrument, decoded at once. As many as half of
      the free memory holds, and at most 64, when unset; 32 with `generate_kwargs`.
    - `monitor_progress` (`Callable[[int, int], None]`): called after each such batch with how many of how many windows
      are decoded.
    - `generate_kwargs` (`dict`): for `generate()`, such as `num_beams` or `do_sample`. Without any the model's
      `generate_windows()` decodes, greedily and many times as fast. Of several `num_return_sequences` the one is
      kept, window by window, whose tokens are the likeliest on average, less a part for notes that break the rules of
      `arranging/`.
    - `on_beat` (`bool`, default `True`): whether notes are heard on the song's beat, where it has one, or wherever the
      model hears them.
    - `bpm` (`float`): the song's tempo, where it is known; else it is found in the audio.
    - `offset` (`float`): a second of audio at which a measure begins, where it is known; else it is found, too.
    - `tempo_map` ([`~tabhero_hf.charts.TempoMap`]): the song's map, where it is known; `offset` (default 0) is then
      the second of audio that its tick 0 is at.

    Of a stereo song guitars are heard at its sides as well as in its middle.

    A model with an onset head hears the whole song first: notes begin where what it hears and the song's own rhythm
    make them likely, see [`~tabhero_hf.arranging.find_onsets`], those of an easier chart at some of the harder one's.
    With a fret head they are on the frets that what it hears and how notes sound beside each other make likely, see
    [`~tabhero_hf.arranging.find_frets`], and with `do_sample` on frets drawn by that. Its decoder writes what is left
    of them, or all of them for a model without such heads.

    Returns for each song a dictionary with `notes`, for each `(instrument, difficulty)` by name the notes in seconds
    as the model heard them (see [`TabHeroTokenizer`]); `chart`, what [`~tabhero_hf.arranging.arrange`] makes of them,
    a [`~tabhero_hf.charts.Chart`] on the song's own beat; `confidence`, 0 to 1 for each quarter note of its map, or
    `None` where the map was given; and `measure_confidence`, by instrument how sure the notes of each measure are, see
    [`~tabhero_hf.arranging.measure_confidence`]: of the hardest difficulty asked for, and by what made its onsets
    likely; empty for a model without an onset head.

    Raises:
        ValueError: a model of another kind, an unknown difficulty or instrument, or audio that cannot be used
            ([`~tabhero_hf.audio.AudioError`] names the file).
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False
    _pipeline_calls_generate = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        model_type = self.model.config.model_type
        if model_type != TabHeroConfig.model_type:
            raise ValueError(f"audio-to-chart needs a {TabHeroConfig.model_type} model, not a {model_type} one")

    def __call__(self, songs, *args, batch_size=None, **kwargs):
        if (batch_size or self._batch_size or 1) > 1:
            raise ValueError(
                "songs are charted one by one: `window_batch_size` is how many windows are decoded at once"
            )
        return super().__call__(songs, *args, **kwargs)

    def _sanitize_parameters(
        self,
        difficulties=None,
        instruments=None,
        window_batch_size=None,
        monitor_progress=None,
        generate_kwargs=None,
        on_beat=None,
        bpm=None,
        tempo_map=None,
        offset=None,
        **unknown,
    ):
        if unknown:
            raise TypeError(f"unknown parameters of audio-to-chart: {', '.join(sorted(unknown))}")
        preprocess = {"bpm": bpm, "tempo_map": tempo_map, "offset": offset, "on_beat": on_beat}
        preprocess = {name: value for name, value in preprocess.items() if value is not None}
        forward = {}
        if difficulties is not None:
            preprocess["difficulties"] = _parse_all(Difficulty, difficulties)
        if instruments is not None:
            preprocess["instruments"] = _parse_all(Instrument, instruments)
            charted = [instrument.name.lower() for instrument in Instrument][: self.model.config.num_instruments]
            for instrument in preprocess["instruments"]:
                if instrument.name.lower() not in charted:
                    raise ValueError(f"the model charts {', '.join(charted)}, not {instrument.name.lower()}")
        if window_batch_size is not None:
            if window_batch_size < 1:
                raise ValueError(f"`window_batch_size` must be at least 1, got {window_batch_size}")
            forward["window_batch_size"] = window_batch_size
        if monitor_progress is not None:
            forward["monitor_progress"] = monitor_progress
        if generate_kwargs is not None:
            forward["generate_kwargs"] = generate_kwargs
        return preprocess, forward, {}

    def preprocess(
        self,
        song,
        difficulties: Sequence[Difficulty] = tuple(Difficulty),
        instruments: Sequence[Instrument] = (Instrument.LEAD,),
        bpm: float | None = None,
        tempo_map: TempoMap | None = None,
        offset: float | None = None,
        on_beat: bool = True,
    ) -> dict:
        rate = self.feature_extractor.sampling_rate
        waveform, sides = middle_and_sides(self._waveform(song))
        inputs = self.feature_extractor(waveform, sampling_rate=rate, return_tensors="pt")
        if tempo_map is None:
            beats = track_beats(waveform, rate, bpm=bpm, offset=offset)
        else:
            beats = Beats(with_aligned_meters(tempo_map), offset or 0.0, None)
        return {
            **inputs,
            "waveform": waveform,
            "sides": sides,
            "beats": beats,
            "on_beat": on_beat and (beats.confidence is None or bool((beats.confidence >= LOW_CONFIDENCE).any())),
            "asked": [(instrument, difficulty) for instrument in instruments for difficulty in difficulties],
        }

    def _waveform(self, song) -> np.ndarray:
        sampling_rate = self.feature_extractor.sampling_rate
        if isinstance(song, (str, os.PathLike)):
            return load_audio(song, sampling_rate, stereo=True)
        if isinstance(song, dict) and "stems" in song:
            return load_audio(song["stems"], sampling_rate, stereo=True)
        if isinstance(song, np.ndarray):
            song = {"array": song, "sampling_rate": sampling_rate}
        if isinstance(song, dict) and {"array", "sampling_rate"} <= song.keys():
            return _resampled(np.asarray(song["array"], dtype=np.float32), song["sampling_rate"], sampling_rate)
        raise TypeError(
            "a song is a path, a waveform, {'stems': [paths]} or {'array': samples, 'sampling_rate': Hz}, "
            f"not {type(song).__name__}"
        )

    def _forward(
        self,
        inputs: dict,
        window_batch_size: int | None = None,
        monitor_progress: Callable[[int, int], None] | None = None,
        generate_kwargs: dict | None = None,
    ):
        generate_kwargs = self._prepare_generate_kwargs(generate_kwargs or {})
        if np.abs(inputs["waveform"]).max() < SILENCE:
            return {**inputs, "sequences": []}
        settings = self._get_set_generation_params(generate_kwargs)
        instruments, difficulties = torch.tensor(inputs["asked"], device=self.device).T
        audio = {name: inputs[name] for name in ("input_features", "attention_mask")}
        # What is sampled is on frets drawn as its tokens are: told the same ones, one draw would be as the other.
        temperature = (settings.get("temperature") or 1.0) if settings.get("do_sample") else 0.0
        probabilities, onsets, frets = self._listen(inputs, audio, difficulties, instruments, temperature)
        heard = {**inputs, "onset_probabilities": probabilities}
        if self.model.decodes_greedily(**generate_kwargs):
            written = self.model.generate_windows(
                **audio,
                difficulty_ids=difficulties,
                instrument_ids=instruments,
                max_new_tokens=generate_kwargs.get("max_new_tokens"),
                batch_size=window_batch_size,
                monitor_progress=monitor_progress,
                onsets=onsets,
                frets=frets,
            )
            return {**heard, "sequences": written.flatten(0, 1).tolist()}

        num_windows, sequences = len(inputs["input_features"]), []
        num_candidates = settings.get("num_return_sequences") or 1
        rows = torch.cartesian_prod(torch.arange(len(difficulties)), torch.arange(num_windows)).to(self.device)
        for charts, windows in (batch.T for batch in rows.split(window_batch_size or WINDOW_BATCH_SIZE)):
            told = [None if notes is None else notes[charts, windows] for notes in (onsets, frets)]
            processors = [] if onsets is None else [TabHeroToldNotesLogitsProcessor(*told)]
            written = self.model.generate(
                **{name: values[windows] for name, values in audio.items()},
                difficulty_ids=difficulties[charts],
                instrument_ids=instruments[charts],
                **{**generate_kwargs, "logits_processor": [*processors, *generate_kwargs.get("logits_processor", [])]},
                return_dict_in_generate=True,
                output_scores=num_candidates > 1,
            )
            sequences += self._best(written, difficulties[charts], num_candidates).tolist()
            if monitor_progress is not None:
                monitor_progress(len(sequences), len(rows))
        return {**heard, "sequences": sequences}

    def _listen(
        self,
        inputs: dict,
        audio: dict,
        difficulties: torch.LongTensor,
        instruments: torch.LongTensor,
        temperature: float,
    ) -> tuple[list[np.ndarray] | None, torch.BoolTensor | None, torch.LongTensor | None]:
        """
        How likely a note is in each bin of the song, for each chart; the bins of its windows that notes begin in, and
        which `FRET` token each of them has, `(charts, windows, bins)`. `None` for what the model cannot tell.
        """
        heard, heard_frets = self.model.listen(**audio, difficulty_ids=difficulties, instrument_ids=instruments)
        if heard is None:
            return None, None, None
        starts, beats, asked = inputs["window_start"].tolist(), inputs["beats"], inputs["asked"]
        rate = self.feature_extractor.sampling_rate
        places = places_of_bins(starts, heard.shape[2], round(len(inputs["waveform"]) / rate / TIME_STEP))
        songs = heard.cpu().numpy()[:, *places]
        guitars = [chart for chart, (instrument, _) in enumerate(asked) if instrument in GUITARS]
        # Where there is no beat peaks count, which two who hear a note some bins apart would blur.
        if inputs["sides"] is not None and inputs["on_beat"] and guitars:
            beside = self.feature_extractor(inputs["sides"], sampling_rate=rate, return_tensors="pt")
            at_sides, _ = self.model.listen(
                beside["input_features"],
                audio["attention_mask"],
                difficulty_ids=difficulties[guitars],
                instrument_ids=instruments[guitars],
            )
            wide = wide_frames(inputs["waveform"], inputs["sides"], rate)
            bins = (np.arange(songs.shape[1]) * TIME_STEP * rate / FRAME).astype(np.int64).clip(max=len(wide) - 1)
            songs[guitars] = with_sides(songs[guitars], at_sides.cpu().numpy()[:, *places], wide[bins])
        found = [
            find_onsets(song, beats.tempo_map, beats.offset, difficulty, on_beat=inputs["on_beat"])
            for song, (_, difficulty) in zip(songs, asked, strict=True)
        ]
        climbed = climb_onsets({key: song.ticks for key, song in zip(asked, found, strict=True)}, beats.tempo_map)
        ticks = [climbed[key] for key in asked]
        seconds = [beats.tempo_map.seconds(chart) + beats.offset for chart in ticks]
        onsets, frets, chosen = torch.zeros_like(heard, dtype=torch.bool), None, None
        if heard_frets is not None:
            frets = torch.zeros_like(heard, dtype=torch.long)
            chosen = self._choose_frets(inputs, heard_frets, ticks, seconds, places, temperature)
        for chart in range(len(asked)):
            for window, start in enumerate(starts):
                bins = np.rint((seconds[chart] - start) / TIME_STEP).astype(np.int64)
                inside = (bins >= 0) & (bins < onsets.shape[2])
                onsets[chart, window, bins[inside]] = True
                if frets is not None:
                    frets[chart, window, bins[inside]] = torch.from_numpy(chosen[chart][inside]).to(frets.device)
        return [song.probability for song in found], onsets, frets

    def _choose_frets(
        self,
        inputs: dict,
        heard: torch.HalfTensor,
        ticks: list[np.ndarray],
        seconds: list[np.ndarray],
        places: tuple[np.ndarray, np.ndarray],
        temperature: float,
    ) -> list[np.ndarray]:
        """
        Which `FRET` token each note of each chart has, by what is heard of them, `(charts, windows, positions,
        num_fret_tokens)`, their pitches and what the model makes of those, if it does, how they sound beside each
        other, and their rhythm; at a `temperature` above 0 by chance as well.
        """
        instruments = [instrument for instrument, _ in inputs["asked"]]
        notes = hear_charts(
            self.model,
            inputs["waveform"],
            inputs["attention_mask"],
            heard,
            places,
            instruments,
            seconds,
            sides=inputs["sides"],
        )
        chosen, above = [None] * len(notes), {}  # of each instrument: the next harder chart
        for chart in sorted(range(len(notes)), key=lambda chart: -inputs["asked"][chart][1]):
            instrument, difficulty = inputs["asked"][chart]
            beats = ticks[chart] / inputs["beats"].tempo_map.resolution
            spectra, likely, pitches = notes[chart]
            if pitches is not None and getattr(self.model, "fingering_head", None) is not None:
                repeats = find_repeats(pitches, beats)
                told = map(torch.from_numpy, (pool(pitches, repeats, INDEPENDENT), likely, seconds[chart], beats))
                likely = pool(self.model.finger_notes(*told, difficulty, instrument).cpu().numpy(), repeats)
            if temperature:
                likely = perturb(likely, temperature)
            compared, harder = compare_notes(spectra, pitches), None
            if instrument in above:
                _, own, its = np.intersect1d(ticks[chart], ticks[above[instrument]], return_indices=True)
                harder = np.full(len(beats), -1)
                harder[own] = chosen[above[instrument]][its]
            chosen[chart] = find_frets(likely, LANE_SETS, seconds[chart], beats, compared, difficulty, harder)
            above[instrument] = chart
        return chosen

    def _best(self, written, difficulties: torch.LongTensor, num_candidates: int) -> torch.LongTensor:
        """Of each row's candidates the likeliest, where a note that breaks a rule costs as if one token were e^-4."""
        if num_candidates == 1:
            return written.sequences
        log_probs = self.model.compute_transition_scores(
            written.sequences, written.scores, getattr(written, "beam_indices", None), normalize_logits=True
        )
        tokens = written.sequences[:, 1 : 1 + log_probs.shape[1]]
        is_written = tokens != self.model.generation_config.pad_token_id
        likelihood = log_probs.masked_fill(~is_written, 0).sum(dim=1) / is_written.sum(dim=1)
        charts = self.processor.tokenizer.batch_decode_notes(written.sequences, [0.0] * len(written.sequences))
        broken = [
            count_broken_rules(playable_notes(notes), Difficulty(difficulty)) / max(len(notes), 1)
            for notes, difficulty in zip(charts, difficulties.repeat_interleave(num_candidates).tolist(), strict=True)
        ]
        score = likelihood - likelihood.new_tensor(broken)
        return written.sequences.view(-1, num_candidates, written.sequences.shape[1])[
            torch.arange(len(difficulties)), score.view(-1, num_candidates).argmax(dim=1)
        ]

    def postprocess(self, outputs: dict) -> dict:
        asked, sequences, beats = outputs["asked"], outputs["sequences"], outputs["beats"]
        starts = outputs["window_start"].tolist()
        frames = outputs["attention_mask"].sum(dim=1).tolist()
        notes = {}
        for index, key in enumerate(asked):
            windows = sequences[index * len(starts) : (index + 1) * len(starts)]
            song = self.processor.decode_song(windows, starts, frames) if windows else []
            notes[key] = playable_notes(song)
        sound, level = _sound_of_measures(outputs["waveform"], self.feature_extractor.sampling_rate, beats)
        chart = arrange(notes, beats.tempo_map, beats.offset, beats.confidence, sound, level)
        names = {
            (instrument.name.lower(), difficulty.name.lower()): song
            for (instrument, difficulty), song in notes.items()
        }
        measures, sure = Measures(beats.tempo_map), {}
        for instrument, hardest in dict(sorted(asked)).items() if outputs.get("onset_probabilities") else ():
            onsets = np.array([note[0] for note in chart.to_seconds(instrument, hardest)])
            probabilities = outputs["onset_probabilities"][asked.index((instrument, hardest))]
            sure[instrument.name.lower()] = measure_confidence(onsets, probabilities, measures, beats.offset)
        return {"notes": names, "chart": chart, "confidence": beats.confidence, "measure_confidence": sure}


def perturb(likely: np.ndarray, temperature: float) -> np.ndarray:
    """
    Probabilities `(notes, choices)` with Gumbel noise on their logarithms: the likeliest of each note is a draw from
    what it was at that temperature, and those of all notes together are much like one ([Papandreou and Yuille,
    2011](https://doi.org/10.1109/ICCV.2011.6126242)). Drawn by torch's own generator.
    """
    log_likely = torch.from_numpy(likely).double().log()
    noise = -torch.empty_like(log_likely).exponential_().log()
    return (log_likely + temperature * noise).softmax(dim=-1).numpy()


def _sound_of_measures(waveform: np.ndarray, sampling_rate: int, beats: Beats) -> tuple[np.ndarray, np.ndarray]:
    """Chroma and level of each measure up to the end of the audio."""
    measures = Measures(beats.tempo_map)
    last = measures.at(max(int(beats.tempo_map.ticks(len(waveform) / sampling_rate - beats.offset)), 0))
    lines = [measures.line(measure) for measure in range(last + 2)]
    return chroma_between(waveform, sampling_rate, beats.tempo_map.seconds(lines) + beats.offset)


def _resampled(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """A mono or stereo waveform at another sampling rate."""
    if samples.ndim != 1 and (samples.ndim != 2 or len(samples) != 2):
        raise ValueError(f"audio must be of shape (samples,) or (2, samples), got shape {samples.shape}")
    if from_rate == to_rate or not samples.size:
        return samples
    import soxr

    return np.ascontiguousarray(soxr.resample(samples.T, from_rate, to_rate).T)


def playable_notes(notes: list) -> list:
    """Notes as a five-fret guitar has them: without the sixth lane of six-fret guitars, and open notes alone."""
    playable = []
    for onset, lanes, modifiers, sustain in notes:
        fretted = tuple(sorted({min(lane, 4) for lane in lanes if lane < 6}))
        playable.append((onset, fretted or (6,), modifiers, sustain))
    return playable


def _parse_all(kind: type[Difficulty] | type[Instrument], values) -> list:
    values = [values] if isinstance(values, (str, int)) else list(values)
    if not values:
        raise ValueError(f"no {kind.__name__.lower()} asked for")
    return list(dict.fromkeys(kind.parse(value) for value in values))


__all__ = ["AudioToChartPipeline"]
