import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabhero_hf.charts import Chart, ChartError, Difficulty, Instrument, Kind, Note, Phrase, TempoMap, Track

MAP = TempoMap(480, ((0, 120.0), (1920, 97.3)))


def track(notes):
    return Track.from_seconds(notes, MAP)


@pytest.mark.parametrize("value", ["expert", " Expert ", 3, Difficulty.EXPERT])
def test_difficulty_by_name_number_or_itself(value):
    assert Difficulty.parse(value) is Difficulty.EXPERT


@pytest.mark.parametrize("value", ["insane", 4, -1, None])
def test_unknown_difficulty_lists_the_known(value):
    with pytest.raises(ValueError, match="easy, medium, hard, expert"):
        Difficulty.parse(value)


def test_instruments_are_numbered_as_the_model_numbers_them():
    assert [Instrument.parse(name) for name in ("lead", "bass", "rhythm", "keys")] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "arguments", [(-1, (0,)), (0, ()), (0, (7,)), (0, (1, 0)), (0, (0, 0)), (0, (0,), -1), (0, (0, 1), 5, 0, (1, 2))]
)
def test_impossible_notes_are_refused(arguments):
    with pytest.raises(ChartError):
        Note(*arguments)


def test_two_notes_at_one_tick_are_no_track():
    with pytest.raises(ChartError, match="tick 5"):
        Track(Instrument.LEAD, Difficulty.EASY, (Note(5, (0,)), Note(5, (1,))))


def test_notes_of_one_tick_become_a_chord():
    chord = track([(0.5, (2,), 0, 0.1), (0.5001, (0,), 1, 0.25)]).notes
    assert chord == (Note(480, (0, 2), 240, Kind.HOPO),)


def test_tap_beats_hopo():
    assert track([(0.0, (0,), 3, 0.0)]).notes[0].kind is Kind.TAP


def test_order_of_notes_does_not_matter():
    notes = [(1.0, (1,), 0, 0.0), (0.5, (0,), 0, 0.0)]
    assert track(notes) == track(notes[::-1])


def test_sustain_shorter_than_half_a_tick_is_none():
    assert [note.sustain for note in track([(0.0, (0,), 0, 0.0005), (1.0, (0,), 0, 0.0006)]).notes] == [0, 1]


def test_sustain_ends_before_the_next_note_of_its_lane_only():
    first, second, third = track([(0.0, (0,), 0, 9.0), (0.5, (1,), 0, 0.0), (1.0, (0, 1), 0, 0.0)]).notes
    assert first.sustain == 959
    assert second.sustain == third.sustain == 0


def test_run_of_star_power_is_one_phrase_that_stops_before_the_next_note():
    bits = [0, 4, 4, 0, 4]
    phrases = track([(i * 0.5, (i % 2,), b, 0.6) for i, b in enumerate(bits)]).star_power
    assert phrases == (Phrase(480, 960), Phrase(1920, MAP.ticks(2.6) - 1920))


def test_before_the_start_is_the_start():
    assert track([(-0.2, (0,), 0, 0.0)]).notes == (Note(0, (0,)),)


@pytest.mark.parametrize("note", [(float("nan"), (0,), 0, 0.0), (0.0, (0,), 0, float("inf")), (0.0, (0,), 0, -1.0)])
def test_impossible_seconds_are_refused(note):
    with pytest.raises(ChartError):
        track([note])


def test_no_notes_are_an_empty_track():
    assert track([]).notes == ()
    assert track([]).to_seconds(MAP) == []


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2000),
            st.sets(st.sampled_from(Instrument.LEAD.lanes), min_size=1),
            st.integers(0, 2000),
            st.sampled_from(Kind),
            st.booleans(),
        )
    )
)
def test_track_survives_the_way_through_seconds(steps):
    tick, notes = 0, []
    for step, lanes, sustain, kind, star in steps:
        tick += step
        notes.append((float(MAP.seconds(tick)), tuple(sorted(lanes)), kind + 4 * star, sustain / 1000))
    once = track(notes)
    assert [note.tick for note in once.notes] == MAP.ticks([note[0] for note in notes]).tolist()
    assert track(once.to_seconds(MAP)) == once


def test_chart_in_seconds_is_in_the_audio_s_time():
    chart = Chart(MAP, {(0, 3): track([(1.0, (0,), 2, 0.5)])}, offset=-0.25)
    assert chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT) == [(0.75, (0,), 2, pytest.approx(0.5))]
