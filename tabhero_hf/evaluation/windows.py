"""Free-running scores of a model on windows whose notes are known."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..data.collator import TabHeroCollator
from ..modeling_tabhero import TabHeroForConditionalGeneration
from ..tokenization_tabhero import Note, TabHeroTokenizer
from .metrics import note_f1, onset_f1


def score_windows(
    model: TabHeroForConditionalGeneration, windows: Sequence[dict], batch_size: int = 32, **generate_kwargs
) -> dict[str, float]:
    """
    Charts every window by `generate` and compares with its labels.

    Args:
        model: The model, in evaluation mode.
        windows: Windows as [`TabHeroCollator`] takes them.
        batch_size: Windows decoded at once.
        generate_kwargs: For `generate`; greedy when empty.

    Returns:
        Means over windows of `onset_f1_25`, `onset_f1_50`, `onset_f1_100` (milliseconds) and `note_f1`, and
        `density`, all notes written over all notes in the labels.
    """
    if not len(windows):
        raise ValueError("there are no windows to score")
    rows, written, expected = [], 0, 0
    for reference, estimate in _charted(model, windows, batch_size, generate_kwargs):
        scores = {f"onset_f1_{ms}": onset_f1(reference, estimate, ms / 1000) for ms in (25, 50, 100)}
        rows.append({**scores, "note_f1": note_f1(reference, estimate)})
        written += len(estimate)
        expected += len(reference)
    means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
    return {**means, "density": round(written / max(expected, 1), 4), "windows": len(rows)}


def _charted(
    model: TabHeroForConditionalGeneration, windows: Sequence[dict], batch_size: int, generate_kwargs: dict
) -> Iterator[tuple[list[Note], list[Note]]]:
    tokenizer, collator = TabHeroTokenizer(), TabHeroCollator()
    for start in range(0, len(windows), batch_size):
        batch = collator([windows[i] for i in range(start, min(start + batch_size, len(windows)))])
        labels = batch.pop("labels")
        with torch.inference_mode():
            sequences = model.generate(
                **{name: value.to(model.device) for name, value in batch.items()}, **generate_kwargs
            )
        references = tokenizer.batch_decode_notes(labels.where(labels >= 0, tokenizer.pad_token_id))
        yield from zip(references, tokenizer.batch_decode_notes(sequences), strict=True)
