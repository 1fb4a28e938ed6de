import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf.charts import (
    Chart,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    TempoMap,
    Track,
    check,
    mend,
)

NOT_MENDED = {"noExpert", "difficultyNotReduced", "isDefaultBPM"}
MAP = TempoMap(480, ((0, 125.0),))  # a tick is a millisecond
EASY, MEDIUM, HARD, EXPERT = Difficulty
START = 1920  # the second measure


def chart(*notes, difficulty=EXPERT, instrument=Instrument.LEAD, star_power=(), solos=(), **more):
    track = Track(instrument, difficulty, notes, star_power, solos)
    more = {"tempo_map": MAP, "sections": (Event(0, "Intro"),), "end_ticks": (3840,), **more}
    return Chart(tracks={(instrument, difficulty): track}, **more)


def mended(*notes, **more):
    """The notes of a mended chart, and its changes."""
    result = mend(chart(*notes, **more))
    assert {problem.rule for problem in check(result.chart)} <= NOT_MENDED
    (track,) = result.chart.tracks.values()
    return track.notes, result.changes


def test_sound_chart_stays_as_it_is():
    sound = chart(Note(START, (0,), 200), Note(START + 480, (0, 4)))
    assert mend(sound) == (sound, [])


def test_chart_without_notes_stays_as_it_is():
    empty = chart(end_ticks=(5, 7))
    assert mend(empty) == (empty, [])


# Notes


def test_notes_that_came_apart_are_one_chord_again():
    notes, changes = mended(Note(START, (0,), 0, Kind.HOPO), Note(START + 15, (2,), 300), Note(START + 31, (3,)))
    assert notes == (Note(START, (0, 2), 315, Kind.HOPO, (0, 315)), Note(START + 31, (3,)))
    assert str(changes[0]) == "Expert lead, 0:01.94: a note right after another is one with it."
    assert (changes[0].tick, changes[0].instrument, changes[0].difficulty) == (START + 15, Instrument.LEAD, EXPERT)
    assert changes[0].seconds == pytest.approx(1.935)


def test_notes_that_came_apart_and_make_no_chord_are_the_first_one():
    notes, changes = mended(Note(START, (0,)), Note(START + 10, (4,)), difficulty=HARD)
    assert notes == (Note(START, (0,)),)
    assert "is gone" in changes[0].message


def test_run_of_notes_too_close_together_thins_out():
    notes, _ = mended(*(Note(START + 10 * i, (i % 2,)) for i in range(4)))
    assert notes == (Note(START, (0, 1)), Note(START + 20, (0, 1)))


def test_open_note_right_after_another_is_meant():
    notes = (Note(START, (0,)), Note(START + 10, (6,), 0, Kind.HOPO))
    assert mended(*notes) == (notes, [])


@pytest.mark.parametrize(
    ("difficulty", "before", "after"),
    [
        (EXPERT, (0, 1, 2, 3, 4), (0, 1, 2, 3)),
        (EXPERT, (0, 1, 2, 3, 4, 6), (0, 1, 2, 3, 6)),
        (HARD, (0, 4), (0, 3)),
        (HARD, (0, 3, 4), (0, 3)),
        (HARD, (0, 1, 2, 3, 4), (0, 1, 2, 3)),
        (MEDIUM, (4,), (3,)),
        (MEDIUM, (0, 4), (0, 2)),
        (MEDIUM, (0, 3), (0, 2)),
        (MEDIUM, (0, 2, 3), (0, 2)),
        (MEDIUM, (1, 4), (1, 3)),
        (EASY, (4,), (2,)),
        (EASY, (1, 3), (1, 2)),
        (EASY, (3, 4), (2,)),
        (EASY, (0, 1, 2, 3, 4), (0, 1, 2)),
    ],
)
def test_frets_that_a_difficulty_does_not_have_move_to_the_nearest(difficulty, before, after):
    notes, changes = mended(Note(START, before), difficulty=difficulty)
    assert notes == (Note(START, after),)
    assert len(changes) == 1


def test_change_of_lanes_says_which():
    _, changes = mended(Note(START, (0, 4)), difficulty=HARD)
    assert changes[0].message == "Hard lead, 0:01.92: green and orange became green and blue."
    _, changes = mended(Note(START, (0, 1, 3, 6)), instrument=Instrument.GHL_BASS)
    expected = "Expert six-fret bass, 0:01.92: white 1, white 2, black 1 and open became white 1, white 2 and black 1."
    assert changes[0].message == expected


def test_lanes_that_become_one_keep_the_longer_sustain():
    notes, _ = mended(Note(START, (0, 2, 3), 400, Kind.STRUM, (0, 200, 400)), difficulty=EASY)
    assert notes == (Note(START, (0, 2), 400, Kind.STRUM, (0, 400)),)


def test_hopo_that_comes_to_repeat_the_note_before_it_is_strummed():
    frets = (2, 3, 4, 0, 4)
    notes, changes = mended(
        *(Note(START + 100 * i, (fret,), 0, Kind.HOPO) for i, fret in enumerate(frets)), difficulty=EASY
    )
    assert [note.lanes for note in notes] == [(2,), (2,), (2,), (0,), (2,)]
    assert [note.kind for note in notes] == [Kind.HOPO, Kind.STRUM, Kind.STRUM, Kind.HOPO, Kind.HOPO]
    assert sum("became a strum" in change.message for change in changes) == 2


def test_hopo_charted_to_repeat_the_note_before_it_stays():
    notes = (Note(START, (2,)), Note(START + 100, (2,), 0, Kind.HOPO))
    assert mended(*notes) == (notes, [])


def test_sustain_ends_early_enough_to_let_go():
    notes, changes = mended(Note(START, (0,), 470), Note(START + 480, (1,)))
    assert notes[0].sustain == 440
    assert changes[0].message.startswith("Expert lead, 0:01.92: a sustain is shorter")


def test_sustain_ends_before_all_notes_too_close_to_its_end():
    times = (0, 400, 430, 450, 480)
    notes, _ = mended(*(Note(START + time, (i,), 475 * (i == 0)) for i, time in enumerate(times)))
    assert notes[0].sustain == 360


def test_sustain_cut_too_short_to_hold_is_gone():
    notes, changes = mended(Note(START, (0,), 120), Note(START + 130, (1,)))
    assert notes[0].sustain == 0
    assert "gone" in changes[0].message


def test_each_lane_s_sustain_is_mended_on_its_own():
    notes, _ = mended(Note(START, (0, 1, 2), 600, Kind.STRUM, (60, 470, 600)), Note(START + 480, (3,)))
    assert notes[0].sustains == (0, 440, 600)


def test_sustain_that_a_moved_note_cuts_ends_before_it():
    notes, _ = mended(Note(START, (2,), 900), Note(START + 480, (4,), 900), difficulty=EASY)
    assert notes == (Note(START, (2,), 440), Note(START + 480, (2,), 900))


def test_short_sustain_before_an_open_hopo_stays():
    notes = (Note(START, (0,), 60), Note(START + 30, (6,), 0, Kind.HOPO))
    assert mended(*notes) == (notes, [])


def test_ticks_longer_than_any_gap():
    notes, _ = mended(Note(START, (0,), 5), Note(START + 5, (1,)), tempo_map=TempoMap(96, ((0, 1.0),)))
    assert notes[0].sustain == 4


# Phrases


def test_phrases_without_notes_are_gone():
    star_power, solos = (Phrase(0, 100), Phrase(START, 10)), (Phrase(START + 1, 10),)
    result = mend(chart(Note(START, (0,)), star_power=star_power, solos=solos))
    (track,) = result.chart.tracks.values()
    assert (track.star_power, track.solos) == ((Phrase(START, 10),), ())
    assert [change.message for change in result.changes] == [
        "Expert lead, 0:00.00: a star power phrase without notes is gone.",
        "Expert lead, 0:01.92: a solo without notes is gone.",
    ]


def test_phrases_that_overlap_become_disjoint_over_the_same_notes():
    phrases = (Phrase(START, 300), Phrase(START, 400), Phrase(START + 200, 100))
    result = mend(chart(*(Note(START + 100 * i, (0,)) for i in range(5)), star_power=phrases))
    (track,) = result.chart.tracks.values()
    assert track.star_power == (Phrase(START, 200), Phrase(START + 200, 200))
    assert len(result.changes) == 3


def long_track(difficulty, length, step=1000, **more):
    notes = tuple(Note(START + step * i, (i % 3,)) for i in range(length))
    return Track(Instrument.LEAD, difficulty, notes, **more)


def long_song(*tracks):
    parts = {(track.instrument, track.difficulty): track for track in tracks}
    return Chart(MAP, parts, (Event(0, "Intro"),), end_ticks=(10**6,))


def test_star_power_is_added_at_the_same_measures_of_every_difficulty():
    result = mend(long_song(long_track(EXPERT, 400, 500), long_track(HARD, 100, 2000), long_track(EASY, 2)))
    expert, hard, easy = (track.star_power for track in result.chart.tracks.values())
    assert len(expert) == 6
    assert all(phrase.tick % 1920 == 0 and phrase.length == 3840 for phrase in expert)
    assert all(33_000 < b.tick - a.tick < 37_000 for a, b in zip(expert, expert[1:]))
    assert hard == expert
    assert easy == expert[:1]
    assert [str(change) for change in result.changes][0] == "Easy lead, 0:01.92: a star power phrase is added."


def test_star_power_of_another_difficulty_is_taken_over():
    phrases = (Phrase(START, 960), Phrase(START + 9600, 10))
    result = mend(long_song(long_track(EXPERT, 200, star_power=phrases), long_track(HARD, 100, 2000)))
    assert result.chart.tracks[Instrument.LEAD, HARD].star_power == phrases[:1]


def test_star_power_over_few_notes_is_longer():
    result = mend(long_song(long_track(EXPERT, 51, 2500)))
    (track,) = result.chart.tracks.values()
    assert track.star_power[0] == Phrase(START, 9600 - START)
    assert all(sum(note.tick in phrase for note in track.notes) >= 4 for phrase in track.star_power)


# The song


def test_first_note_comes_after_a_second_and_where_it_was_in_the_audio():
    before = chart(
        Note(480, (0,), 200),
        Note(2000, (0,)),
        star_power=(Phrase(480, 10),),
        solos=(Phrase(480, 20),),
        tempo_map=TempoMap(480, ((0, 125.0), (960, 250.0)), ((1920, 5, 4),)),
        lyrics=(Event(480, "la"),),
        lyric_phrases=(Phrase(400, 400),),
        events=(Event(1, "crowd"),),
        offset=0.25,
    )
    after, changes = mend(before)
    assert after.offset == pytest.approx(0.25 - 1.92)
    assert after.tempo_map == TempoMap(480, ((0, 125.0), (2880, 250.0)), ((3840, 5, 4),))
    assert after.to_seconds(Instrument.LEAD, EXPERT) == [
        (pytest.approx(time), lanes, bits, pytest.approx(sustain))
        for time, lanes, bits, sustain in before.to_seconds(Instrument.LEAD, EXPERT)
    ]
    (track,) = after.tracks.values()
    assert (track.star_power, track.solos) == ((Phrase(2400, 10),), (Phrase(2400, 20),))
    assert (after.sections, after.lyrics, after.events) == (
        (Event(1920, "Intro"),),
        (Event(2400, "la"),),
        (Event(1921, "crowd"),),
    )
    assert (after.lyric_phrases, after.end_ticks) == ((Phrase(2320, 400),), (5760,))
    assert [change.message for change in changes] == [
        "0:00.00: 1.920 s of measures inserted, and the chart's offset to the audio made as much smaller."
    ]


@pytest.mark.parametrize("numerator", [200, 9_999_999_999])
def test_before_an_endless_measure_there_are_quarter_notes(numerator):
    result = mend(chart(Note(0, (0,)), tempo_map=TempoMap(480, ((0, 125.0),), ((0, numerator, 4),))))
    (track,) = result.chart.tracks.values()
    assert track.notes[0].tick == 3 * 480 and result.chart.offset == pytest.approx(-1.44)
    assert result.chart.tempo_map.meters == ((0, 3, 4), (1440, numerator, 4))


def test_measures_of_broken_ticks_are_inserted_in_whole_ticks():
    result = mend(chart(Note(0, (0,)), tempo_map=TempoMap(100, ((0, 125.0),), ((0, 7, 64),))))
    (track,) = result.chart.tracks.values()
    assert track.notes[0].tick % 175 == 0
    assert check(result.chart) == []


def test_time_signatures_go_back_to_measure_lines():
    meters = ((0, 4, 4), (100, 3, 4), (2000, 3, 4), (3360, 4, 4), (3361, 5, 4))
    result = mend(chart(Note(START, (0,)), tempo_map=TempoMap(480, ((0, 125.0),), meters)))
    assert result.chart.tempo_map.meters == ((0, 4, 4), (1920, 3, 4), (3360, 4, 4))
    assert [(change.tick, change.message) for change in result.changes] == [
        (100, "0:00.10: the change to 3/4 time in the middle of the measure is gone."),
        (1920, "0:01.92: the change to 3/4 time has moved here from the middle of the measure."),
        (3361, "0:03.36: the change to 5/4 time in the middle of the measure is gone."),
    ]


@pytest.mark.parametrize(
    ("end_ticks", "end"), [((), 3840), ((1,), 3840), ((1, 2400), 2400), ((9000, 3000), 3000), ((2000,), 3840)]
)
def test_one_end_event(end_ticks, end):
    result = mend(chart(Note(START, (0,)), Note(START + 480, (1,), 200), end_ticks=end_ticks))
    assert result.chart.end_ticks == (end,)
    assert [(change.tick, change.seconds) for change in result.changes] == [(end, pytest.approx(end / 1000))]


def test_end_comes_after_a_sustain_to_a_measure_line():
    result = mend(chart(Note(START, (0,), 1920), end_ticks=()))
    assert result.chart.end_ticks == (5760,)


@pytest.mark.parametrize(("duration", "end"), [(10.0, 5760), (5.0, 5000), (4.9999, 4999), (0.5, START)])
def test_end_comes_no_later_than_the_audio_s(duration, end):
    notes = chart(Note(START, (0,), 1920), end_ticks=())
    result = mend(notes, duration)
    assert result.chart.end_ticks == (end,)
    assert mend(result.chart, duration).changes == []


@pytest.mark.parametrize(("offset", "end"), [(0.0, 5000), (-1.5, 5000), (1.0, 4000)])
def test_end_is_within_the_audio_from_tick_0_and_from_its_start(offset, end):
    result = mend(chart(Note(START, (0,), 1920), end_ticks=(), offset=offset), 5.0)
    assert result.chart.end_ticks == (end,)


def test_sections_are_added_where_there_are_notes():
    notes = tuple(Note(1920 * measure + 100, (0,)) for measure in (2, 17, 18, 50))
    result = mend(chart(*notes, sections=(), end_ticks=(10**6,)))
    assert result.chart.sections == tuple(Event(1920 * at, f"Section {i}") for i, at in ((1, 2), (2, 18), (3, 50)))
    assert str(result.changes[0]) == "Practice sections are added, 3 of 16 measures each."


# Any chart

RESOLUTIONS = st.sampled_from([96, 100, 192, 480, 960]) | st.integers(96, 960)
TEMPOS = st.sampled_from([20.0, 97.3, 120.0, 250.0, 400.0]) | st.floats(20, 400)
METERS = st.tuples(st.integers(1, 12), st.sampled_from([1, 2, 4, 8, 16, 64]))


@st.composite
def phrases(draw):
    bounds = draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 2000)), max_size=4))
    return tuple(Phrase(*bound) for bound in sorted(bounds))


@st.composite
def tracks(draw, instrument, difficulty):
    """A pattern of notes, often so many times that the track is long."""
    lanes = st.sets(st.sampled_from(instrument.lanes), min_size=1).map(lambda lanes: tuple(sorted(lanes)))
    steps = st.integers(1, 20) | st.integers(1, 200) | st.integers(1, 2000)
    pattern = draw(st.lists(st.tuples(steps, lanes, st.sampled_from(Kind), st.booleans()), min_size=1, max_size=8))
    notes, tick = [], draw(st.integers(0, 1000))
    for _ in range(draw(st.sampled_from([1, 1, 2, 8, 60]))):
        for step, struck, kind, differ in pattern:
            lengths = st.lists(st.just(0) | steps, min_size=len(struck), max_size=len(struck))
            sustains = draw(lengths) if len(notes) < 10 else [len(notes) * step % 500] * len(struck)
            sustains = sustains if differ else sustains[:1] * len(struck)
            notes.append(Note(tick, struck, max(sustains), kind, tuple(sustains)))
            tick += step
    return Track(instrument, difficulty, tuple(notes), draw(phrases()), draw(phrases()))


@st.composite
def charts(draw):
    ticks = st.integers(0, 5000)
    tempos = [(0, draw(TEMPOS)), *draw(st.lists(st.tuples(ticks, TEMPOS), max_size=3))]
    meters = [(0, *draw(METERS)), *((tick, *meter) for tick, meter in draw(st.lists(st.tuples(ticks, METERS))))]
    parts = st.tuples(st.sampled_from([Instrument.LEAD, Instrument.GHL_BASS]), st.sampled_from(Difficulty))
    keys = draw(st.lists(parts, min_size=1, max_size=3, unique=True))
    return Chart(
        TempoMap(draw(RESOLUTIONS), tuple(tempos), tuple(meters)),
        {key: draw(tracks(*key)) for key in keys},
        sections=draw(st.sampled_from([(), (Event(0, "A"), Event(700, "B"))])),
        end_ticks=tuple(sorted(draw(st.lists(st.integers(0, 10_000), max_size=2)))),
        offset=draw(st.sampled_from([0.0, -1.5])),
    )


@settings(max_examples=200, deadline=None)
@given(charts())
def test_any_chart_can_be_mended(broken):
    sound, changes = mend(broken)
    assert changes or {problem.rule for problem in check(broken)} <= NOT_MENDED
    assert {problem.rule for problem in check(sound)} <= NOT_MENDED
    assert bool(changes) == (sound != broken)
    assert mend(sound) == (sound, [])
    for key, track in sound.tracks.items():
        assert_played_alike(broken, sound, key)
        for kind in (track.star_power, track.solos):
            assert all(a.end <= b.tick for a, b in zip(kind, kind[1:]))


def assert_played_alike(broken, sound, key):
    """Every note of the mended chart is one of the other, at its time in the audio, and none sounds on after those."""
    before, after = (
        np.array([(time, time + sustain) for time, _, _, sustain in chart.to_seconds(*key)])
        for chart in (broken, sound)
    )
    nearest = np.abs(after[:, :1] - before[:, 0]).min(axis=1)
    assert nearest.max() < 1e-6
    assert after[:, 1].max() < before[:, 1].max() + 1e-6
