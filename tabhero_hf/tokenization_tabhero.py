# Copyright 2026 The Tab Hero authors. Licensed under the MIT License.
"""Tab Hero tokenizer: notes in seconds to token ids and back."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from transformers.tokenization_python import PreTrainedTokenizer

VOCAB_FILES_NAMES = {"vocab_file": "vocab.json"}

Note = tuple[float, tuple[int, ...], int, float]
"""Onset in seconds, lanes struck (0–4 green to orange, 6 open; six-fret: 0–2 white, 3–5 black), modifier bits
(1 HOPO, 2 tap, 4 star power) and sustain in seconds, 0 for none."""

TIME_STEP = 0.01  # seconds in one TIME bin
DURATION_STEP = 0.05  # seconds in one DUR bin
LONGEST = 86_400.0  # seconds: what a broken chart says to be longer would be tokens without end
NUM_TIMES = 501
NUM_DURATIONS = 101
NUM_LANES = 7
LANE_SETS = [lanes for size in range(1, NUM_LANES + 1) for lanes in combinations(range(NUM_LANES), size)]
MODIFIERS = ["NONE", "H", "T", "HT", "S", "HS", "TS", "HTS"]
SPECIAL_TOKENS = ["<PAD>", "<BOS>", "<EOS>"]


@dataclass(frozen=True)
class TokenLayout:
    """Where the groups of tokens lie in the vocabulary; a token's value is its place in its group."""

    time: range = range(3, 504)
    fret: range = range(504, 631)
    modifier: range = range(631, 639)
    duration: range = range(639, 740)
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2
    time_bins_per_duration: int = 5


LAYOUT = TokenLayout()


def held_within(sustain: float, seconds: float) -> float:
    """A sustain that ends with its window, so many seconds after the onset: the grammar lets no more be written."""
    return min(sustain, max(seconds // DURATION_STEP * DURATION_STEP, 0.0))


class TabHeroTokenizer(PreTrainedTokenizer):
    r"""
    Tokenizer of notes. A note, all lanes struck at one time, is four tokens, `TIME FRET MOD DUR`:

    | ids | tokens | meaning |
    |---|---|---|
    | 0 1 2 | `<PAD> <BOS> <EOS>` | |
    | 3 … 503 | `TIME_0 … TIME_500` | time since the previous note, in bins of 10 ms |
    | 504 … 630 | `FRET_0 … FRET_0_1_2_3_4_5_6` | the lanes, by size and then in order |
    | 631 … 638 | `MOD_NONE MOD_H MOD_T … MOD_HTS` | HOPO, tap, star power |
    | 639 … 739 | `DUR_0 … DUR_100` | sustain, in bins of 50 ms |

    The grammar is `<BOS> (TIME+ FRET MOD DUR+)* <EOS>`: another `TIME` may follow `TIME_500` and another `DUR` may
    follow `DUR_100`, and their values add up. `TIME_0` is legal only for the first note. As text, tokens stand
    separated by spaces.

    Args:
        vocab_file (`str`, *optional*):
            A `vocab.json` with tokens and ids; made anew when unset. It must hold the tokens above, in that order.
    """

    vocab_files_names = VOCAB_FILES_NAMES
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | os.PathLike | None = None,
        pad_token: str = "<PAD>",
        bos_token: str = "<BOS>",
        eos_token: str = "<EOS>",
        unk_token: str = "<PAD>",
        **kwargs,
    ):
        self.vocab = {token: token_id for token_id, token in enumerate(_vocabulary())}
        if vocab_file is not None:
            with open(vocab_file, encoding="utf-8") as file:
                if json.load(file) != self.vocab:
                    raise ValueError(f"{vocab_file} is not the note vocabulary of Tab Hero")
        self.ids_to_tokens = {token_id: token for token, token_id in self.vocab.items()}
        super().__init__(
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            special_tokens_pattern="bos_eos",
            token_type_ids_pattern="all_zeros",
            **kwargs,
        )

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        return {**self.vocab, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocab.get(token, self.vocab[str(self.unk_token)])

    def _convert_id_to_token(self, index: int) -> str:
        if index not in self.ids_to_tokens:
            raise ValueError(f"token id {index} is outside the vocabulary (0 to {len(self.vocab) - 1})")
        return self.ids_to_tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        name = (filename_prefix + "-" if filename_prefix else "") + VOCAB_FILES_NAMES["vocab_file"]
        path = os.path.join(save_directory, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.vocab, file, indent=0)
        return (path,)

    def encode_notes(self, notes: Iterable[Note], start: float = 0.0, end: float | None = None) -> list[int]:
        """
        Token ids of the notes in a window, with `<BOS>` and `<EOS>`.

        Every absolute onset is rounded to the 10 ms grid and differences of rounded onsets are written, so that no
        error adds up: each onset comes back within 5 ms, each sustain within 25 ms. Notes that fall into one bin
        become one chord, with the longest sustain and all modifiers.

        Args:
            notes: Notes in seconds of the song, in any order.
            start: The window's start in seconds; the first `TIME` counts from there.
            end: The window's end in seconds, exclusive; what is held beyond it ends with it. No end when unset.

        Raises:
            ValueError: a note whose onset or sustain is negative or over a day, or whose lanes or modifiers do not
                exist; the message gives its place and the reason.
        """
        chords: dict[int, tuple[tuple[int, ...], int, int]] = {}
        for index, note in enumerate(notes):
            onset, lanes, modifiers, sustain = _checked(note, index)
            if onset < start or (end is not None and onset >= end):
                continue
            # A note just before the end is not rounded beyond it.
            time = _round((onset - start) / TIME_STEP)
            if end is not None and time > 0 and time * TIME_STEP >= end - start:
                time -= 1
            duration = _round((sustain if end is None else held_within(sustain, end - onset)) / DURATION_STEP)
            if time in chords:
                others, other_modifiers, other_duration = chords[time]
                lanes = tuple(sorted({*lanes, *others}))
                modifiers, duration = modifiers | other_modifiers, max(duration, other_duration)
            chords[time] = lanes, modifiers, duration

        ids = [LAYOUT.bos_token_id]
        previous = 0
        for time, (lanes, modifiers, duration) in sorted(chords.items()):
            times, durations = _split(time - previous, LAYOUT.time), _split(duration, LAYOUT.duration)
            ids += (*times, LAYOUT.fret[_LANE_SET_INDEX[lanes]], LAYOUT.modifier[modifiers], *durations)
            previous = time
        return [*ids, LAYOUT.eos_token_id]

    def decode_notes(self, token_ids: Iterable[int], start: float = 0.0) -> list[Note]:
        """
        Notes of a token sequence, in order. `<BOS>` and what follows `<EOS>` may be missing; padding is passed over.

        Args:
            token_ids: Token ids: a list, an array or a tensor of one dimension.
            start: Seconds in the song at which the window starts.

        Raises:
            ValueError: an id outside the vocabulary, or a token that the grammar does not allow in its place; the
                message gives the position.
        """
        ids = [int(token_id) for token_id in token_ids]
        notes: list[Note] = []
        time = 0
        index = 0
        while index < len(ids) and ids[index] in (LAYOUT.pad_token_id, LAYOUT.bos_token_id):
            index += 1
        while index < len(ids) and ids[index] not in (LAYOUT.eos_token_id, LAYOUT.pad_token_id):
            step, next_index = self._read_run(ids, index, LAYOUT.time, "TIME")
            if notes and step == 0:
                raise ValueError(f"token {index}: TIME_0 is only legal for the first note")
            fret = self._read(ids, next_index, LAYOUT.fret, "FRET")
            modifier = self._read(ids, next_index + 1, LAYOUT.modifier, "MOD")
            duration, index = self._read_run(ids, next_index + 2, LAYOUT.duration, "DUR")
            time += step
            notes.append((start + time * TIME_STEP, LANE_SETS[fret], modifier, duration * DURATION_STEP))
        for position in range(index, len(ids)):
            if ids[position] not in (LAYOUT.eos_token_id, LAYOUT.pad_token_id):
                raise ValueError(f"token {position}: {self._describe(ids[position])} after the end of the sequence")
        return notes

    def batch_decode_notes(
        self, sequences: Sequence[Iterable[int]], starts: Sequence[float] | None = None
    ) -> list[list[Note]]:
        """[`decode_notes`] of every sequence, each with its own start in seconds."""
        starts = [0.0] * len(sequences) if starts is None else starts
        return [self.decode_notes(ids, float(start)) for ids, start in zip(sequences, starts, strict=True)]

    def _read(self, ids: list[int], index: int, group: range, name: str) -> int:
        if index >= len(ids):
            raise ValueError(f"token {index}: the sequence ends within a note, where {name} is due")
        if ids[index] not in group:
            raise ValueError(f"token {index}: {self._describe(ids[index])} where {name} is due")
        return ids[index] - group.start

    def _read_run(self, ids: list[int], index: int, group: range, name: str) -> tuple[int, int]:
        """The sum of a run of tokens, of which all but the last are the group's largest, and the index behind it."""
        value = total = self._read(ids, index, group, name)
        index += 1
        while value == len(group) - 1 and index < len(ids) and ids[index] in group:
            value = ids[index] - group.start
            total += value
            index += 1
        return total, index

    def _describe(self, token_id: int) -> str:
        return self.ids_to_tokens.get(token_id, f"id {token_id}, which is outside the vocabulary,")


_MODIFIER_BITS = range(len(MODIFIERS))
_LANE_SET_INDEX = {lanes: index for index, lanes in enumerate(LANE_SETS)}


def _vocabulary() -> list[str]:
    return [
        *SPECIAL_TOKENS,
        *(f"TIME_{step}" for step in range(NUM_TIMES)),
        *("FRET_" + "_".join(map(str, lanes)) for lanes in LANE_SETS),
        *(f"MOD_{name}" for name in MODIFIERS),
        *(f"DUR_{step}" for step in range(NUM_DURATIONS)),
    ]


def _round(value: float) -> int:
    """To the nearest integer, halves up: unlike `round`, the same distance for every note of a steady pulse."""
    return int(value + 0.5)


def _split(value: int, group: range) -> list[int]:
    """A value as tokens of a group: as many of the largest as needed, then the rest."""
    if group.start + value < group.stop:
        return [group.start + value]
    largest = len(group) - 1
    count, rest = divmod(value, largest)
    return [group[largest]] * count + ([group[rest]] if rest or not count else [])


def _checked(note: Note, index: int) -> Note:
    """The note with its lanes in order and each once."""
    onset, lanes, modifiers, sustain = note
    if not 0 <= onset <= LONGEST:
        raise ValueError(f"note {index}: onset {onset} is not a time from 0 to {LONGEST:g} s")
    if not 0 <= sustain <= LONGEST:
        raise ValueError(f"note {index}: sustain {sustain} is not a length from 0 to {LONGEST:g} s")
    if type(lanes) is not tuple or lanes not in _LANE_SET_INDEX:
        if not lanes or any(lane not in range(NUM_LANES) for lane in lanes):
            raise ValueError(f"note {index}: lanes {lanes} must be one or more of 0 to {NUM_LANES - 1}")
        lanes = tuple(sorted(set(lanes)))
    if modifiers not in _MODIFIER_BITS:
        raise ValueError(f"note {index}: modifiers {modifiers} must be bits of 1 HOPO, 2 tap and 4 star power")
    return onset, lanes, modifiers, sustain


__all__ = ["TabHeroTokenizer"]
