import mido
import pytest
from chart_strategies import charts
from hypothesis import given

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Instrument,
    Kind,
    Note,
    Phrase,
    TempoMap,
    Track,
    format_chart,
    format_midi,
    parse_chart,
    parse_midi,
    write_midi,
)

LEAD = Instrument.LEAD
WITH_SOLOS = {"multiplier_note": "116"}


def of_tracks(*tracks, resolution=480):
    return Chart(TempoMap(resolution), {(track.instrument, track.difficulty): track for track in tracks})


def messages(chart, name):
    (track,) = (track for track in mido.MidiFile(file=file_of(chart)).tracks if track.name == name)
    return list(track)


def file_of(chart):
    import io

    return io.BytesIO(format_midi(chart))


@given(charts(for_midi=True))
def test_chart_to_midi_to_chart_keeps_everything(chart):
    midi = parse_midi(format_midi(chart), WITH_SOLOS)
    assert parse_chart(format_chart(midi).encode()) == chart


@given(charts(for_midi=True))
def test_midi_of_a_midi_is_the_same_file(chart):
    data = format_midi(chart)
    assert format_midi(parse_midi(data, WITH_SOLOS)) == data


def test_kinds_are_forced_only_where_they_are_not_natural():
    notes = (Note(0, (0,)), Note(120, (1,), 0, Kind.HOPO), Note(240, (2,)), Note(960, (3,), 0, Kind.HOPO))
    forced = [
        m.note
        for m in messages(of_tracks(Track(LEAD, Difficulty.EXPERT, notes)), "PART GUITAR")
        if m.type == "note_on"
    ]
    assert [number for number in forced if number > 100] == [102, 101]


def test_tap_on_one_difficulty_is_none_on_another():
    expert = Track(LEAD, Difficulty.EXPERT, (Note(0, (0,), 0, Kind.TAP), Note(480, (1,), 0, Kind.TAP)))
    easy = Track(LEAD, Difficulty.EASY, (Note(0, (0,)), Note(480, (1,), 0, Kind.TAP)))
    chart = of_tracks(easy, expert)
    assert parse_midi(format_midi(chart)) == chart
    # The second tap is marked for both at once, the way every game reads it.
    assert [m.note for m in messages(chart, "PART GUITAR") if m.type == "note_on"].count(104) == 1


def test_open_notes_are_enabled_only_where_there_are_some():
    closed, opened = (of_tracks(Track(LEAD, Difficulty.EASY, (Note(0, (lane,)),))) for lane in (0, 6))
    texts = [[m.text for m in messages(chart, "PART GUITAR") if m.type == "text"] for chart in (closed, opened)]
    assert texts == [[], ["[ENHANCED_OPENS]"]]


def test_sustain_too_short_for_a_midi_file_is_none():
    chart = of_tracks(Track(LEAD, Difficulty.EASY, (Note(0, (0,), 161), Note(480, (0,), 162))))
    notes = parse_midi(format_midi(chart)).tracks[LEAD, Difficulty.EASY].notes
    assert [note.sustain for note in notes] == [0, 162]


def test_phrases_are_those_of_the_hardest_difficulty():
    easy = Track(LEAD, Difficulty.EASY, (Note(0, (0,)),), (Phrase(0, 10),))
    hard = Track(LEAD, Difficulty.HARD, (Note(0, (0,)),), (Phrase(0, 20),))
    read = parse_midi(format_midi(of_tracks(easy, hard)))
    assert [track.star_power for track in read.tracks.values()] == [(Phrase(0, 20),)] * 2


@pytest.mark.parametrize(
    ("tempo_map", "notes", "reason"),
    [
        (TempoMap(40_000), (), "resolution"),
        (TempoMap(480, ((0, 1.0),)), (), "tempo of 1 BPM"),
        (TempoMap(480, (), ((0, 300, 4),)), (), "300/4"),
        (TempoMap(480), (Note(2**29, (0,)),), "rest of 536870912 ticks"),
    ],
)
def test_what_the_format_does_not_hold_is_refused_and_nothing_is_written(tmp_path, tempo_map, notes, reason):
    chart = Chart(tempo_map, {(LEAD, Difficulty.EASY): Track(LEAD, Difficulty.EASY, notes)})
    with pytest.raises(ChartError, match=reason):
        write_midi(chart, tmp_path / "notes.mid")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("power", range(32))
def test_every_denominator_that_is_read_is_written_or_refused(power):
    chart = Chart(TempoMap(192, meters=((0, 3, 2**power),)))
    try:
        data = format_midi(chart)
    except ChartError as error:
        assert power > 28 and f"holds no 3/{2**power} time" in str(error)
    else:
        assert parse_midi(data).tempo_map.meters == ((0, 3, 2**power),)
