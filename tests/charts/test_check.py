import io
import struct
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabhero_hf.charts import (
    Chart,
    ChartError,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    Problem,
    Song,
    TempoMap,
    Track,
    check,
    check_song,
)
from tabhero_hf.charts.check import picture_size
from tabhero_hf.charts.packed import PackedFile

MAP = TempoMap(480, ((0, 125.0),))  # a tick is a millisecond
EASY, MEDIUM, HARD, EXPERT = Difficulty
LEAD, BASS, GHL_COOP = Instrument.LEAD, Instrument.BASS, Instrument.GHL_COOP


def song(*tracks, **more):
    parts = {(track.instrument, track.difficulty): track for track in tracks}
    return Chart(**{"tempo_map": MAP, "tracks": parts, "sections": (Event(0, "Intro"),), **more})


def lead(*notes, difficulty=EXPERT, **more):
    return song(Track(LEAD, difficulty, notes, **more), Track(LEAD, EXPERT, (Note(5000, (0,)),)))


def expert(*notes, **more):
    return song(Track(LEAD, EXPERT, notes, **more))


def only_problem(chart):
    (problem,) = check(chart)
    assert problem.seconds == (None if problem.tick is None else pytest.approx(problem.tick / 1000))
    assert problem.message.endswith(".") and not problem.message[0].islower()
    return problem


def rules(chart):
    return [problem.rule for problem in check(chart)]


def test_sound_chart():
    notes = (Note(1000, (0,), 460), Note(1500, (0, 4)), Note(2000, (6,), 500), Note(2510, (0, 1, 2, 3), 100))
    assert check(expert(*notes, star_power=(Phrase(1500, 10),), solos=(Phrase(2000, 1),))) == []


def test_problem_says_where_and_what():
    problem = only_problem(expert(Note(62_345, (0,), 60)))
    assert problem == Problem(
        "babySustain",
        62_345,
        pytest.approx(62.345),
        LEAD,
        EXPERT,
        "Expert lead, 1:02.34: a sustain of 60 ms is too short to hold; the shortest is 100 ms.",
    )
    assert str(problem) == f"{problem.message} (babySustain)"


def test_seconds_are_the_chart_s_and_not_the_audio_s():
    early = song(Track(LEAD, EXPERT, (Note(500, (0,)),)), offset=3.0)
    assert only_problem(early).seconds == 0.5


def test_problems_come_by_track_and_tick():
    tracks = (
        Track(BASS, EXPERT, (Note(1500, (0,), 50), Note(4000, (1,), 50))),
        Track(LEAD, EXPERT, (Note(2000, (0,), 50),), solos=(Phrase(1000, 1),)),
        Track(LEAD, EASY, (Note(3000, (4,)),)),
    )
    found = check(song(*tracks, sections=(), end_ticks=(3500,)))
    assert [(problem.instrument, problem.difficulty, problem.tick) for problem in found] == [
        (None, None, None),
        (None, None, 3500),
        (LEAD, EASY, 3000),
        (LEAD, EXPERT, 1000),
        (LEAD, EXPERT, 2000),
        (BASS, EXPERT, 1500),
        (BASS, EXPERT, 4000),
    ]


# The song


def test_no_notes():
    for empty in (song(), expert()):
        problem = only_problem(empty)
        assert (problem.rule, problem.tick, problem.message) == ("noNotes", None, "The chart has no notes.")


def test_no_sections():
    problem = only_problem(song(Track(LEAD, EXPERT, (Note(1000, (0,)),)), sections=()))
    assert (problem.rule, problem.message) == ("noSections", "The chart has no practice sections.")


def test_no_expert():
    problem = only_problem(song(Track(GHL_COOP, HARD, (Note(1000, (0,)),)), Track(GHL_COOP, EXPERT)))
    assert (problem.rule, problem.instrument, problem.difficulty) == ("noExpert", GHL_COOP, None)
    assert problem.message == "Six-fret co-op: there are easier difficulties, but no Expert."


@pytest.mark.parametrize(("length", "same"), [(20, True), (21, False)])
def test_difficulty_not_reduced(length, same):
    notes = [Note(1000 + 500 * i, (0, 1), 300, Kind.STRUM, (0, 300)) for i in range(length)]
    strummed = Track(LEAD, EXPERT, tuple(notes))
    hopos = tuple(Note(note.tick, note.lanes, 300, Kind.HOPO, (0, 300)) for note in notes)
    found = check(song(strummed, Track(LEAD, HARD, hopos)))
    if same:
        assert found == []
    else:
        expected = ("difficultyNotReduced", LEAD, HARD, "Hard lead: its notes are Expert's, none is left out.")
        assert [(one.rule, one.instrument, one.difficulty, one.message) for one in found] == [expected]
    assert check(song(strummed, Track(LEAD, HARD, hopos[1:]))) == []


@pytest.mark.parametrize(
    ("tempos", "meters", "default"),
    [
        ((), (), True),
        (((0, 60e6 / 500_000),), ((0, 4, 4),), True),
        (((0, 120.0), (10, 120.0)), (), False),
        (((0, 120.5),), (), False),
        ((), ((0, 3, 4),), False),
        ((), ((1920, 4, 4),), False),
    ],
)
def test_default_bpm(tempos, meters, default):
    chart = song(Track(LEAD, EXPERT, (Note(1000, (0,)),)), tempo_map=TempoMap(480, tempos, meters))
    assert rules(chart) == ["isDefaultBPM"] * default


def test_time_signature_off_the_measure_line():
    meters = ((0, 4, 4), (1920, 3, 4), (1921, 5, 4), (3360, 5, 8))
    problem = only_problem(
        song(Track(LEAD, EXPERT, (Note(1000, (0,)),)), tempo_map=TempoMap(480, ((0, 125.0),), meters))
    )
    assert (problem.rule, problem.tick) == ("misalignedTimeSignature", 1921)
    assert problem.message == "0:01.92: the change to 5/4 time is not at the start of a measure."


@pytest.mark.parametrize(("tick", "aligned"), [(175, True), (350, True), (176, False), (44, False), (87, False)])
def test_measures_may_be_broken_numbers_of_ticks(tick, aligned):
    # 7/64 at 100 ticks a quarter note are 43.75 ticks.
    tempo_map = TempoMap(100, ((0, 60.0),), ((0, 7, 64), (tick, 4, 4)))
    chart = song(Track(LEAD, EXPERT, (Note(1000, (0,)),)), tempo_map=tempo_map)
    assert rules(chart) == ([] if aligned else ["misalignedTimeSignature"])


@pytest.mark.parametrize(
    ("end_ticks", "bad"),
    [((), []), ((1000,), []), ((999,), [999]), ((1000, 1000), [1000]), ((7000, 999, 6000), [999, 6000, 7000])],
)
def test_end_events(end_ticks, bad):
    found = check(song(Track(LEAD, EXPERT, (Note(1000, (0,), 500),)), end_ticks=end_ticks))
    assert [(problem.rule, problem.tick) for problem in found] == [("badEndEvent", tick) for tick in bad]


def test_end_events_in_words():
    before, again = check(song(Track(LEAD, EXPERT, (Note(1000, (0,)),)), end_ticks=(500, 2000)))
    assert before.message == "0:00.50: the song ends here, before its last note at 0:01.00."
    assert again.message == "0:02.00: the song has already ended, and ends here again."


# A track


def test_small_leading_silence():
    problem = only_problem(expert(Note(999, (0,))))
    assert (problem.rule, problem.tick, problem.instrument) == ("smallLeadingSilence", 999, LEAD)
    assert problem.message == "Expert lead, 0:01.00: the first note comes less than 1 s after the chart's start."
    assert check(expert(Note(1000, (0,)))) == []


@pytest.mark.parametrize(("length", "step", "lacking"), [(51, 1201, True), (51, 1200, False), (50, 1300, False)])
def test_no_star_power(length, step, lacking):
    notes = [Note(1000 + step * i, (0,)) for i in range(length)]
    found = check(expert(*notes))
    assert [problem.rule for problem in found] == ["noStarPower"] * lacking
    if lacking:
        assert found[0].message == "Expert lead: no star power in 51 notes over 60 s."
    assert check(expert(*notes, star_power=(Phrase(1000, 1),))) == []


def test_phrases_without_notes():
    found = check(expert(Note(2000, (0,)), star_power=(Phrase(1000, 1000), Phrase(2000, 0)), solos=(Phrase(2001, 9),)))
    assert [(problem.rule, problem.tick, problem.message) for problem in found] == [
        ("emptyStarPower", 1000, "Expert lead, 0:01.00: a star power phrase without notes."),
        ("emptySoloSection", 2001, "Expert lead, 0:02.00: a solo without notes."),
    ]


@pytest.mark.parametrize("apart", [1, 15])
def test_broken_note(apart):
    problem = only_problem(expert(Note(1000, (0,)), Note(1000 + apart, (1,))))
    assert (problem.rule, problem.tick, problem.difficulty) == ("brokenNote", 1000 + apart, EXPERT)
    assert f"only {apart} ms after another" in problem.message


def test_notes_that_are_not_broken():
    assert check(expert(Note(1000, (0,)), Note(1016, (1,)))) == []
    assert check(expert(Note(1000, (0,)), Note(1010, (1, 6)))) == []
    assert rules(expert(Note(1000, (0, 6)), Note(1010, (6,)))) == ["brokenNote"]
    assert rules(expert(Note(1000, (6,)), Note(1010, (0,)))) == ["brokenNote"]


@pytest.mark.parametrize(("length", "bad"), [(500, True), (461, True), (460, False), (501, False)])
def test_sustain_gap(length, bad):
    chart = expert(Note(1000, (0,), length), Note(1500, (1,)))
    if not bad:
        assert check(chart) == []
        return
    problem = only_problem(chart)
    assert (problem.rule, problem.tick) == ("badSustainGap", 1500)
    gap = 500 - length
    assert problem.message.startswith(f"Expert lead, 0:01.50: a note only {gap} ms after a sustain's end")


def test_sustain_gaps_count_for_each_lane_and_note():
    chord = Note(1000, (0, 1), 600, Kind.STRUM, (480, 600))
    assert rules(expert(chord, Note(1500, (2,)))) == ["badSustainGap"]
    assert rules(expert(Note(1000, (0,), 480), Note(1490, (2,)), Note(1510, (3,)))) == ["badSustainGap"] * 2
    assert check(expert(Note(1000, (6,), 480), Note(1500, (2,)))) == []


def test_sustain_ends_at_the_next_note_of_its_lane():
    assert rules(expert(Note(1000, (0,), 900), Note(1500, (0,)))) == ["badSustainGap"]


def test_chord_with_short_sustains_is_one_problem():
    problem = only_problem(expert(Note(1000, (0, 1, 2), 200, Kind.STRUM, (99, 30, 200))))
    assert (problem.rule, problem.tick) == ("babySustain", 1000)
    assert "a sustain of 30 ms" in problem.message
    assert check(expert(Note(1000, (0,), 100))) == []


@pytest.mark.parametrize(
    ("tick", "lanes", "kind", "meant"),
    [
        (1030, (6,), Kind.HOPO, True),
        (1030, (6,), Kind.TAP, True),
        (1030, (0, 6), Kind.HOPO, True),
        (1030, (6,), Kind.STRUM, False),
        (1030, (1,), Kind.HOPO, False),
        (1101, (6,), Kind.HOPO, False),
    ],
)
def test_short_sustain_before_an_open_hopo(tick, lanes, kind, meant):
    chart = expert(Note(1000, (2,), 60), Note(tick, lanes, 0, kind))
    assert rules(chart) == ["babySustain"] * (not meant)


@pytest.mark.parametrize(
    ("difficulty", "lanes", "text"),
    [
        (HARD, (0, 4), "green and orange together are not for Hard"),
        (HARD, (0, 1, 4), "green and orange together are not for Hard"),
        (MEDIUM, (4,), "orange is not for Medium"),
        (MEDIUM, (0, 3), "green and blue together are not for Medium"),
        (MEDIUM, (0, 3, 4), "orange is not for Medium"),
        (EASY, (3,), "blue is not for Easy"),
        (EASY, (1, 4), "orange is not for Easy"),
    ],
)
def test_forbidden_notes(difficulty, lanes, text):
    problem = only_problem(lead(Note(1000, lanes), difficulty=difficulty))
    assert (problem.rule, problem.tick, problem.difficulty) == ("difficultyForbiddenNote", 1000, difficulty)
    assert problem.message == f"{difficulty.name.capitalize()} lead, 0:01.00: {text}."


@pytest.mark.parametrize(
    ("difficulty", "lanes"), [(HARD, (4,)), (HARD, (0, 3)), (MEDIUM, (1, 3)), (EASY, (0, 1, 2)), (EASY, (2, 6))]
)
def test_allowed_notes(difficulty, lanes):
    assert check(lead(Note(1000, lanes), difficulty=difficulty)) == []


def test_impossible_chords():
    problem = only_problem(expert(Note(1000, (0, 1, 2, 3, 4, 6))))
    assert (problem.rule, problem.tick) == ("invalidChord", 1000)
    assert problem.message == "Expert lead, 0:01.00: all five frets at once."
    assert rules(lead(Note(1000, (0, 1, 2, 3, 4)), difficulty=HARD)) == ["difficultyForbiddenNote", "invalidChord"]


def test_six_fret_chords():
    problem = only_problem(song(Track(GHL_COOP, EXPERT, (Note(1000, (0, 1, 5)), Note(2000, (0, 2, 4, 5))))))
    assert (problem.rule, problem.tick) == ("invalidChord", 2000)
    expected = "Expert six-fret co-op, 0:02.00: a chord of 4 notes, of which six frets take three at most."
    assert problem.message == expected
    notes = (Note(1000, (3, 4, 5)),)
    assert check(song(Track(GHL_COOP, EASY, notes), Track(GHL_COOP, EXPERT, notes))) == []


# What lies beside the chart

METADATA = {"name": "A", "artist": "B", "album": "C", "genre": "D", "year": "2000", "charter": "E", "diff_guitar": "0"}
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 512, 512) + bytes(5)
JPEG = (
    b"\xff\xd8"
    + struct.pack(">HH", 0xFFE0, 16)
    + bytes(14)
    + struct.pack(">HH", 0xFFFE, 6)
    + b"\xff\xc0\xff\xff\xff"  # a comment, and a filling byte
    + struct.pack(">HHBHHB", 0xFFC2, 17, 8, 256, 512, 3)
)


@dataclass(frozen=True, slots=True)
class Picture(PackedFile):
    content: bytes = b""

    def open(self):
        if not self.content:
            raise ChartError("cannot be unpacked")
        return io.BytesIO(self.content)


def song_with(album=PNG, metadata=METADATA, stems=("song.ogg",)):
    picture = None if album is None else Picture("song.sng", "album.png", len(album), album)
    return Song(expert(Note(1000, (0,))), metadata, list(stems), picture)


def test_sound_song():
    assert check_song(song_with()) == []


@pytest.mark.parametrize("key", METADATA)
@pytest.mark.parametrize("value", [None, " "])
def test_missing_metadata(key, value):
    metadata = {**METADATA, key: value} if value else {k: v for k, v in METADATA.items() if k != key}
    (problem,) = check_song(song_with(metadata=metadata))
    assert problem.rule == "missingValue"
    assert key in problem.message


@pytest.mark.parametrize("key", ["name", "artist", "album", "genre", "year", "charter"])
def test_what_editors_write_where_nothing_is_known_is_missing(key):
    (problem,) = check_song(song_with(metadata={**METADATA, key: f"Unknown {key.title()}"}))
    assert problem.rule == "missingValue" and key in problem.message


def test_a_chart_ends_with_its_song():
    song = song_with()._replace(chart=replace(expert(Note(1000, (0,))), end_ticks=(3000,)))
    assert check_song(song._replace(metadata={**METADATA, "song_length": "3000"})) == []
    (problem,) = check_song(song._replace(metadata={**METADATA, "song_length": "2999"}))
    assert (problem.rule, problem.tick) == ("badEndEvent", 3000)
    assert problem.message == "0:03.00: the chart ends here, after the song does at 2.999 s."


def test_unset_difficulty():
    (problem,) = check_song(song_with(metadata={**METADATA, "diff_guitar": "-1"}))
    assert (problem.rule, problem.instrument, problem.tick) == ("missingValue", LEAD, None)
    assert problem.message == "Lead: song.ini does not say how hard it is (diff_guitar)."


def test_no_audio_and_no_album_art():
    assert [str(problem) for problem in check_song(song_with(album=None, stems=()))] == [
        "The song has no album art. (noAlbumArt)",
        "The song has no audio. (noAudio)",
    ]


def test_problems_of_the_chart_are_among_those_of_the_song():
    no_stems = song_with(stems=())._replace(chart=expert(Note(1000, (0,), 50)))
    assert [problem.rule for problem in check_song(no_stems)] == ["noAudio", "babySustain"]


def test_album_art_of_another_size():
    (problem,) = check_song(song_with(album=JPEG))
    assert (problem.rule, problem.message) == ("albumArtSize", "The album art is 512×256 pixels and not 512×512.")


@pytest.mark.parametrize("album", [b"", b"GIF89a", PNG[:20], JPEG[:30], b"\xff\xd8" + bytes(100)])
def test_album_art_that_cannot_be_read(album):
    (problem,) = check_song(song_with(album=album))
    assert problem.rule == "albumArtSize"
    assert problem.message == "The album art, album.png, is no PNG or JPEG picture that can be read."


def test_album_art_on_disk(tmp_path):
    (tmp_path / "album.png").write_bytes(PNG)
    assert check_song(song_with()._replace(album=tmp_path / "album.png")) == []
    (problem,) = check_song(song_with()._replace(album=tmp_path / "gone.png"))
    assert problem.rule == "albumArtSize"


@given(st.sampled_from([PNG, JPEG, b"\xff\xd8"]), st.integers(0, 60), st.binary(max_size=60))
def test_no_picture_is_an_error(start, length, rest):
    size = picture_size(start[:length] + rest)
    assert size is None or len(size) == 2
