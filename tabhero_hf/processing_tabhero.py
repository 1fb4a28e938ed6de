# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""Processor class for Tab Hero: audio to model inputs, generated tokens to the notes of a song."""

import os
from collections.abc import Iterable, Sequence

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .tokenization_tabhero import Note

# Two windows hear one onset up to this many seconds apart: each rounds it to its own 10 ms grid, and may be off by a
# bin. Half the distance of the densest notes a human plays.
SEAM_TOLERANCE = 0.025


class TabHeroProcessor(ProcessorMixin):
    r"""
    A [`TabHeroFeatureExtractor`] and a [`TabHeroTokenizer`] in one, and the stitching of windows to a song.

    Args:
        feature_extractor ([`TabHeroFeatureExtractor`]):
            The feature extractor.
        tokenizer ([`TabHeroTokenizer`]):
            The tokenizer.
    """

    def __init__(self, feature_extractor, tokenizer):
        super().__init__(feature_extractor, tokenizer)

    def __call__(self, audio=None, text=None, notes=None, **kwargs) -> BatchFeature:
        """
        Model inputs of audio, and labels of what is in it.

        Args:
            audio:
                One waveform `(samples,)` or a list of them; see [`TabHeroFeatureExtractor.__call__`].
            text (`str` or `list[str]`, *optional*):
                Tokens as text; becomes `labels` if there is audio, `input_ids` otherwise, as the tokenizer gives them:
                before a loss, as with other processors, `<BOS>` is to be cut off and padding to become -100.
            notes (`list` of notes, *optional*):
                The notes of the one song in `audio`, in seconds; each window gets those within it as `labels`, without
                `<BOS>` and padded with -100.
            kwargs:
                `sampling_rate`, `padding`, `return_tensors` and the like.
        """
        if audio is None and text is None:
            raise ValueError("pass `audio`, `text` or both")
        if notes is not None and (audio is None or text is not None):
            raise ValueError("`notes` belong to one song's `audio`, and stand in the place of `text`")
        return_tensors = kwargs.get("return_tensors")
        inputs = super().__call__(audio=audio, text=text, **kwargs)
        if audio is not None and text is not None:
            inputs["labels"] = inputs.pop("input_ids")
        if notes is not None:
            labels = self._window_labels(notes, inputs)
            inputs.update(BatchFeature({"labels": labels}, tensor_type=return_tensors))
        return inputs

    def _window_labels(self, notes: Iterable[Note], inputs: BatchFeature) -> list[list[int]]:
        notes = list(notes)
        rows = []
        if "attention_mask" not in inputs:
            raise ValueError("where a window's notes end is told by its `attention_mask`: do not turn it off")
        if any(inputs["audio_index"]):
            raise ValueError("`notes` are those of one song, but `audio` has several")
        for start, mask in zip(inputs["window_start"], inputs["attention_mask"], strict=True):
            end = float(start) + self.feature_extractor.frames_to_seconds(int(sum(mask)))
            rows.append(self.tokenizer.encode_notes(notes, float(start), end)[1:])
        longest = max(map(len, rows))
        return [row + [-100] * (longest - len(row)) for row in rows]

    @property
    def model_input_names(self) -> list[str]:
        return [*self.feature_extractor.model_input_names, "window_start", "audio_index", "labels"]

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> list[str]:
        saved_files = super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        self.__dict__.pop("auto_map", None)  # written for the Hub; a loaded processor has none
        return saved_files

    def decode_song(
        self, sequences: Sequence[Iterable[int]], window_start: Sequence[float], num_frames: Sequence[int]
    ) -> list[Note]:
        """
        The notes of a song from the tokens of its windows.

        Args:
            sequences: Generated ids of each window, in the order of the song.
            window_start: Seconds at which each window starts, as the feature extractor returns them.
            num_frames: Mel frames of audio in each window: its attention mask, summed.

        Returns:
            Notes in seconds of the song, in order. See [`stitch_windows`].
        """
        starts = [float(start) for start in window_start]
        ends = [
            start + self.feature_extractor.frames_to_seconds(int(frames))
            for start, frames in zip(starts, num_frames, strict=True)
        ]
        windows = self.tokenizer.batch_decode_notes(sequences, starts)
        return stitch_windows(windows, list(zip(starts, ends, strict=True)))


def stitch_windows(windows: Sequence[list[Note]], spans: Sequence[tuple[float, float]]) -> list[Note]:
    """
    Joins the notes of overlapping windows at the middle of each overlap.

    A note near a seam that both windows heard counts once, on whichever side of the seam either heard it; one that
    only one window heard counts if it lies on that window's side.

    Args:
        windows: Each window's notes, in seconds of the song and in order.
        spans: Start and end of each window in seconds, in order.
    """
    song: list[Note] = []
    for index, notes in enumerate(windows):
        if index == 0:
            song = list(notes)
            continue
        seam = (spans[index][0] + max(spans[index][0], spans[index - 1][1])) / 2
        song = _join(song, notes, seam)
    return song


def _join(before: list[Note], after: list[Note], seam: float) -> list[Note]:
    """All of `before` up to the seam and of `after` from it on, with notes in both near the seam counted once."""
    joined = [note for note in before if note[0] < seam - SEAM_TOLERANCE]
    early = [note for note in before if abs(note[0] - seam) <= SEAM_TOLERANCE]
    late = [note for note in after if abs(note[0] - seam) <= SEAM_TOLERANCE]
    pairs = sorted((abs(a[0] - b[0]), i, j) for i, a in enumerate(early) for j, b in enumerate(late))
    paired_early: set[int] = set()
    paired_late: set[int] = set()
    for distance, i, j in pairs:  # the closest first
        if distance <= SEAM_TOLERANCE and i not in paired_early and j not in paired_late:
            paired_early.add(i)
            paired_late.add(j)
    kept = [note for i, note in enumerate(early) if i in paired_early or note[0] < seam]
    kept += [note for j, note in enumerate(late) if j not in paired_late and note[0] >= seam]
    return joined + sorted(kept) + [note for note in after if note[0] > seam + SEAM_TOLERANCE]


__all__ = ["TabHeroProcessor", "stitch_windows"]
