import pytest

from tabhero_hf.charts import hopo_threshold, natural_hopos


@pytest.mark.parametrize(
    ("resolution", "settings", "midi", "threshold"),
    [
        (192, {}, False, 65),
        (480, {}, False, 162),
        (480, {}, True, 161),
        (480, {"eighthnote_hopo": "1"}, False, 241),
        (480, {"eighthnote_hopo": "1", "hopo_frequency": "170"}, True, 170),
        (480, {"eighthnote_hopo": "0", "hopo_frequency": "0"}, True, 161),
        (480, {"hopo_frequency": "-1"}, True, 161),
        (480, {"hopo_frequency": "soon"}, True, 161),
    ],
)
def test_threshold(resolution, settings, midi, threshold):
    assert hopo_threshold(resolution, settings, midi=midi) == threshold


GREEN, RED, YELLOW, BLUE = 1, 2, 4, 8


def naturals(ticks, masks, **rule):
    return natural_hopos(ticks, masks, 65, **rule).tolist()


def test_threshold_is_inclusive_and_first_note_is_a_strum():
    assert naturals([0, 65, 131], [GREEN, RED, YELLOW]) == [False, True, False]


def test_same_note_again_is_a_strum():
    assert naturals([0, 10, 20], [GREEN, GREEN, RED]) == [False, False, True]


def test_chords_are_strums():
    assert naturals([0, 10, 20], [GREEN, RED | YELLOW, BLUE]) == [False, False, True]


def test_member_of_the_previous_chord_is_a_strum_in_midi_only():
    notes = [0, 10], [GREEN | RED, RED]
    assert naturals(*notes) == [False, True]
    assert naturals(*notes, midi=True) == [False, False]
