"""What is heard in the middle of a song and at its sides together."""

import numpy as np
import pytest

from tabhero_hf.hearing import with_sides


def test_both_are_listened_to_where_a_song_is_wide():
    middle = np.array([[0.7, 0.7, 0.7, 0.2, 0.0, 1.0]], dtype=np.float32)
    sides = np.array([[0.7, 0.1, 0.9, 0.9, 0.0, 1.0]], dtype=np.float32)
    heard = with_sides(middle, sides, np.full(6, True))
    assert heard.dtype == np.float32 and np.isfinite(heard).all()
    assert heard[0, 0] == pytest.approx(0.7, abs=0.05)
    assert heard[0, 1] < 0.6 < 0.75 < heard[0, 2] and 0.3 < heard[0, 3] < 0.6
    assert heard[0, 4] < 1e-5 and heard[0, 5] > 1 - 1e-5


def test_silence_at_the_sides_says_nothing():
    middle = np.array([[0.7, 0.7]], dtype=np.float32)
    heard = with_sides(middle, np.full((1, 2), 1e-9, np.float32), np.array([True, False]))
    assert heard[0, 0] < 0.1 and heard[0, 1] == middle[0, 1]
