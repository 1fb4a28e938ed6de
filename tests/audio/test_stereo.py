"""What stands in the middle of a recording, and at its sides."""

import numpy as np
import pytest

from tabhero_hf.audio.stereo import middle_and_sides

RNG = np.random.default_rng(0)
DRUMS, GUITAR, OTHER = RNG.standard_normal((3, 22050)).astype(np.float32)


def test_what_is_panned_stands_at_the_sides_alone():
    middle, sides = middle_and_sides(np.stack([DRUMS + GUITAR, DRUMS + OTHER]))
    np.testing.assert_allclose(middle, DRUMS + (GUITAR + OTHER) / 2, atol=1e-6)
    np.testing.assert_allclose(sides, (GUITAR - OTHER) / 2, atol=1e-6)


@pytest.mark.parametrize(("level", "listened"), [(0.0, False), (0.02, False), (0.3, True)])
def test_sides_that_hold_next_to_nothing_are_not_listened_to(level, listened):
    middle, sides = middle_and_sides(np.stack([DRUMS + level * GUITAR, DRUMS - level * GUITAR]))
    np.testing.assert_allclose(middle, DRUMS, atol=1e-6)
    assert (sides is not None) == listened


def test_mono_has_no_sides():
    middle, sides = middle_and_sides(DRUMS)
    assert middle is DRUMS and sides is None
    assert middle_and_sides(np.zeros((2, 0), np.float32))[1] is None
