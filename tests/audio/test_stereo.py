"""What stands in the middle of a recording, and at its sides."""

import numpy as np
import pytest

from tabhero_hf.audio.stereo import FRAME, middle_and_sides, wide_frames

RNG = np.random.default_rng(0)
DRUMS, GUITAR, OTHER = RNG.standard_normal((3, 22050)).astype(np.float32)


def test_what_is_panned_stands_at_the_sides_alone():
    middle, sides = middle_and_sides(np.stack([DRUMS + GUITAR, DRUMS + OTHER]))
    np.testing.assert_allclose(middle, DRUMS + (GUITAR + OTHER) / 2, atol=1e-6)
    np.testing.assert_allclose(sides, (GUITAR - OTHER) / 2, atol=1e-6)


@pytest.mark.parametrize(("level", "listened"), [(0.0, False), (0.02, False), (0.15, False), (0.3, True)])
def test_sides_that_hold_next_to_nothing_are_not_listened_to(level, listened):
    middle, sides = middle_and_sides(np.stack([DRUMS + level * GUITAR, DRUMS - level * GUITAR]))
    np.testing.assert_allclose(middle, DRUMS, atol=1e-6)
    assert (sides is not None) == listened


def test_mono_has_no_sides():
    middle, sides = middle_and_sides(DRUMS)
    np.testing.assert_array_equal(middle, DRUMS)
    assert sides is None
    # Nor has nothing, or a channel that is the other one turned over.
    middle, sides = middle_and_sides(np.zeros((2, 0), np.float32))
    assert middle.shape == (0,) and sides is None
    middle, sides = middle_and_sides(np.stack([DRUMS, -DRUMS]))
    np.testing.assert_array_equal(middle, DRUMS)
    assert sides is None


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_what_plays_in_one_channel_alone_is_mono(level):
    for channels in ([DRUMS, level * GUITAR], [level * GUITAR, DRUMS]):
        middle, sides = middle_and_sides(np.stack(channels))
        np.testing.assert_array_equal(middle, DRUMS)
        assert sides is None
    middle, sides = middle_and_sides(np.stack([DRUMS, 0.2 * GUITAR]))
    np.testing.assert_allclose(middle, (DRUMS + 0.2 * GUITAR) / 2, atol=1e-6)
    assert sides is not None


@pytest.mark.parametrize(("level", "left"), [(0.05, True), (0.15, False)])
def test_a_middle_of_next_to_nothing_is_no_middle(level, left):
    channels = np.stack([GUITAR + level * DRUMS, level * DRUMS - GUITAR])
    middle, sides = middle_and_sides(channels)
    np.testing.assert_allclose(middle, channels[0] if left else level * DRUMS, atol=1e-6)
    assert (sides is None) == left


def test_a_recording_is_wide_where_there_is_something_at_its_sides():
    sides = np.repeat([0.3, 0.0, 0.3, 0.0], [8 * 22050, 8 * 22050, 8 * 22050, 100]).astype(np.float32)
    middle = np.ones_like(sides)
    sides[4 * 22050 : 4 * 22050 + 11025] = 0  # a rest
    wide = np.repeat(wide_frames(middle, sides, 22050), FRAME)
    assert len(wide) - FRAME < len(sides) <= len(wide)
    assert wide[: 7 * 22050].all() and not wide[10 * 22050 : 14 * 22050].any() and wide[17 * 22050 :].all()
