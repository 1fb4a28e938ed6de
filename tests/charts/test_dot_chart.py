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
    parse_chart,
    read_chart,
    write_chart,
)

LEAD_EXPERT = (Instrument.LEAD, Difficulty.EXPERT)


def text_of(track="", song="Resolution = 192", sync="", events="", name="ExpertSingle"):
    sections = {"Song": song, "SyncTrack": sync, "Events": events, name: track}
    return "".join(f"[{name}]\n{{\n{lines}\n}}\n" for name, lines in sections.items())


def parse(text, settings=None):
    return parse_chart(text.encode(), settings)


def read_track(*lines):
    return parse(text_of("\n".join(lines))).tracks[LEAD_EXPERT]


def kinds(*lines):
    return [note.kind for note in read_track(*lines).notes]


def test_lanes_and_open():
    notes = read_track("0 = N 0 0", "192 = N 4 96", "192 = N 1 96", "384 = N 7 0").notes
    assert notes == (Note(0, (0,)), Note(192, (1, 4), 96), Note(384, (6,)))


def test_flip_turns_a_strum_into_a_hopo_and_a_hopo_into_a_strum():
    assert kinds("0 = N 0 0", "64 = N 1 0") == [Kind.STRUM, Kind.HOPO]
    assert kinds("0 = N 0 0", "64 = N 1 0", "64 = N 5 0") == [Kind.STRUM, Kind.STRUM]
    assert kinds("0 = N 0 0", "96 = N 1 0", "96 = N 5 0") == [Kind.STRUM, Kind.HOPO]


def test_tap_beats_flip():
    assert kinds("0 = N 0 0", "0 = N 5 0", "0 = N 6 0") == [Kind.TAP]


def test_hopo_settings_of_the_song_count():
    text = text_of("0 = N 0 0\n96 = N 1 0")
    assert parse(text, {"eighthnote_hopo": "1"}).tracks[LEAD_EXPERT].notes[1].kind is Kind.HOPO


def test_events_out_of_order_repeats_and_overlong_sustains():
    notes = read_track("192 = N 0 0", "0 = N 0 50", "0 = N 0 400", "0 = N 1 400", "0 = N 0 7").notes
    assert notes[0].sustains == (192, 400)
    assert notes[0].sustain == 400
    assert notes[1].sustain == 208


def test_lane_of_a_six_fret_guitar_is_not_a_five_fret_note():
    assert len(read_track("0 = N 8 0", "1 = N 0 0").notes) == 1


def test_star_power_and_solos():
    track = read_track(
        "0 = N 0 0", "0 = S 2 192", "0 = S 64 9", "0 = E solo", "96 = E soloend", '192 = E "solo"', '192 = E "soloend"'
    )
    assert track.star_power == (Phrase(0, 192),)
    assert track.solos == (Phrase(0, 97), Phrase(192, 1))


def test_tempos_meters_sections_and_end():
    chart = parse(
        text_of(
            "0 = N 0 0",
            sync="192 = B 90500\n0 = TS 3\n0 = TS 7 3\n0 = A 500",
            events='0 = E "section Intro [a] "b""\n5 = E "prc_Verse_1"\n6 = E "lyric end"\n9 = E "end"',
        )
    )
    assert chart.tempo_map == TempoMap(192, ((192, 90.5),), ((0, 7, 8),))
    assert chart.sections == ((0, 'Intro [a] "b"'), (5, "Verse_1"))
    assert chart.end_ticks == (9,)


def test_metadata_and_offset():
    song = 'Name = "A "quoted" = name"\nYear = ", 2021"\nResolution = 480\nOffset = 0.25\nGenre = ""\nPlayer2 = bass'
    chart = parse(text_of("0 = N 0 0", song=song))
    assert chart.metadata == {"name": 'A "quoted" = name', "year": "2021"}
    assert (chart.offset, chart.tempo_map.resolution) == (0.25, 480)


def test_resolution_defaults_to_192():
    assert parse(text_of("0 = N 0 0", song="")).tempo_map.resolution == 192


def test_absent_track_is_absent():
    assert list(parse(text_of("0 = N 0 0", name="MediumDoubleBass")).tracks) == [(1, 1)]


def test_instruments_that_are_none_of_ours_are_named():
    text = text_of("0 = N 0 0", name="EasyDrums") + text_of("0 = E solo", name="HardVocals") + text_of("0 = N 0 0")
    assert parse(text).left_out == ("Drums",)


def test_brackets_and_braces_inside_values_and_unknown_sections_are_data():
    text = "[Weird]\n{\n 0 = X }\n}\n" + text_of("0 = N 0 0\n1 = Z 5", song='Name = "[x] {y}"', events="nothing")
    chart = parse(text)
    assert chart.metadata["name"] == "[x] {y}"
    assert len(chart.tracks) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path, encoding, line_end):
    path = tmp_path / "notes.chart"
    text = text_of("0 = N 0 0", song='Name = "Café"')
    path.write_bytes(text.replace("\n", line_end).encode(encoding))
    assert read_chart(path).metadata["name"] == "Café"


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"sync": "0 = B 0"}, 7),
        ({"sync": "0 = TS 0"}, 7),
        ({"song": "Resolution = 0"}, 3),
        ({"song": "Resolution = much"}, 3),
        ({"song": "Resolution = 99999999999"}, 3),
    ],
)
def test_impossible_timing_is_refused_and_named(tmp_path, part, line):
    path = tmp_path / "notes.chart"
    path.write_text(text_of(**{"track": "0 = N 0 0", **part}), encoding="utf-8")
    with pytest.raises(ChartError, match=rf"notes\.chart, line {line}: "):
        read_chart(path)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"track": "0 = N x 0\n0 = N 0 0"}, 15),
        ({"track": "0 = N 0 -5\n0 = N 0 0"}, 15),
        ({"track": "-3 = N 0 0\n0 = N 0 0"}, 15),
        ({"track": "99999999999 = N 0 0\n0 = N 0 0"}, 15),
        ({"track": "9 = N 0 2147483647\n0 = N 0 0"}, 15),
        ({"track": "² = N 0 0\n0 = N 0 0"}, 15),
        ({"track": "what\n0 = N 0 0"}, 15),
        ({"events": "0 = E"}, 11),
        ({"sync": "0 = TS 4 99"}, 7),
        ({"sync": "0 = B fast"}, 7),
        ({"song": "Offset = nan"}, 3),
        ({"song": "Offset = soon"}, 3),
        ({"song": "Offset = 1e308"}, 3),
    ],
)
def test_broken_line_is_left_out_and_told_of(part, line):
    chart = parse(text_of(**{"track": "0 = N 0 0", **part}))
    assert chart.tracks[LEAD_EXPERT].notes == (Note(0, (0,)),)
    assert (chart.tempo_map, chart.offset) == (TempoMap(192), 0.0)
    (warning,) = chart.warnings
    assert warning.startswith(f"line {line}: ")


def test_warnings_do_not_grow_with_the_file():
    assert 1 < len(parse(text_of("what\n" * 10_000)).warnings) < 100


def test_missing_length_is_none():
    assert read_track("0 = N 0").notes == (Note(0, (0,)),)


def test_cut_off_file_is_read_up_to_there():
    chart = parse(text_of("0 = N 0 0\n192 = N 1 0")[:-6])
    assert chart.tracks[LEAD_EXPERT].notes == (Note(0, (0,)),)
    assert "cut off" in chart.warnings[0]


def test_a_section_that_does_not_end_does_not_swallow_the_next():
    text = text_of("0 = N 0 0", sync="0 = B 150000")
    chart = parse(text.replace("}", "", 1))
    assert chart.tempo_map.tempos == ((0, 150.0),) and chart.tracks[LEAD_EXPERT].notes == (Note(0, (0,)),)
    assert chart.warnings == ("line 1: [Song] does not end",)


def test_where_the_preview_starts_is_in_seconds():
    assert parse(text_of("0 = N 0 0", song="PreviewStart = 61.5")).metadata["preview_start_time"] == "61500"
    assert "preview_start_time" not in parse(text_of("0 = N 0 0", song="PreviewStart = 0")).metadata


def test_phrases_of_no_length_end_where_they_begin():
    track = Track(*LEAD_EXPERT, (Note(0, (0,)), Note(192, (1,))), solos=(Phrase(0, 0), Phrase(192, 0)))
    lyric_phrases = (Phrase(0, 0), Phrase(192, 96))
    written = Chart(TempoMap(192), {LEAD_EXPERT: track}, lyric_phrases=lyric_phrases)
    chart = parse_chart(format_chart(written).encode())
    assert chart.tracks[LEAD_EXPERT].solos == (Phrase(0, 1), Phrase(192, 1))
    assert chart.lyric_phrases == (Phrase(192, 96),) and chart.warnings == ()


def test_of_two_sections_with_one_name_the_last_counts():
    chart = parse(text_of("0 = N 0 0") + "[ExpertSingle]\n{\n5 = N 1 0\n}\n")
    assert chart.tracks[LEAD_EXPERT].notes == (Note(5, (1,)),)
    assert "second [ExpertSingle]" in chart.warnings[0]


def test_six_fret_lanes():
    chart = parse(text_of("\n".join(f"{i} = N {i} 0" for i in range(9)), name="HardGHLBass"))
    notes = chart.tracks[Instrument.GHL_BASS, Difficulty.HARD].notes
    assert [(note.tick, note.lanes) for note in notes] == [
        *((lane, (lane,)) for lane in range(5)),
        (7, (6,)),
        (8, (5,)),
    ]


def test_lyrics_and_their_lines():
    events = ["phrase_start", "lyric Oh-", "lyric well", "phrase_start", "lyric x", "phrase_end", "crowd_clap"]
    chart = parse(text_of("0 = N 0 0", events="\n".join(f'{i} = E "{text}"' for i, text in enumerate(events))))
    assert chart.lyrics == ((1, "Oh-"), (2, "well"), (4, "x"))
    assert chart.lyric_phrases == (Phrase(0, 3), Phrase(3, 2))
    assert chart.events == ((6, "crowd_clap"),)


@pytest.mark.parametrize(("end", "length"), [('40 = E "end"\n', 30), ('5 = E "end"\n', 11), ("", 11)])
def test_the_last_line_of_lyrics_ends_with_the_song(end, length):
    """Or, where no end of it is told, with the last of its words."""
    events = f'10 = E "phrase_start"\n10 = E "lyric one"\n20 = E "lyric two"\n{end}'
    chart = parse(text_of("0 = N 0 0", events=events))
    assert chart.lyric_phrases == (Phrase(10, length),)
    assert parse(format_chart(chart)).lyric_phrases == chart.lyric_phrases


def test_phrases_are_made_disjoint():
    track = read_track(
        "0 = N 0 0", "0 = S 2 100", "0 = S 2 300", "200 = S 2 50", "0 = E solo", "9 = E solo", "20 = E soloend"
    )
    assert track.star_power == (Phrase(0, 200), Phrase(200, 100))
    assert track.solos == (Phrase(9, 12),)


def test_sustain_cutoff_and_chord_snap_of_the_song():
    text = text_of("0 = N 0 90\n5 = N 1 200\n300 = N 2 90")
    chart = parse(text, {"sustain_cutoff_threshold": "100", "chord_snap_threshold": "6", "hopo_frequency": "-1"})
    assert chart.tracks[LEAD_EXPERT].notes == (Note(0, (0, 1), 200, Kind.STRUM, (0, 200)), Note(300, (2,)))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n\0\0"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "notes.chart"
    path.write_bytes(content)
    with pytest.raises(ChartError, match="notes.chart"):
        read_chart(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ChartError, match="no such file"):
        read_chart(tmp_path / "notes.chart")


def test_huge_file_is_refused(tmp_path):
    path = tmp_path / "notes.chart"
    with path.open("wb") as file:
        file.truncate(33 * 2**20)
    with pytest.raises(ChartError, match="larger than 32 MiB"):
        read_chart(path)


def test_flip_is_written_only_where_the_kind_is_not_natural():
    natural = (Note(0, (0,)), Note(64, (1,), 0, Kind.HOPO), Note(192, (2, 3)))
    forced = (Note(0, (0,), 0, Kind.HOPO), Note(64, (1,)), Note(192, (2, 3), 0, Kind.TAP))
    flips = [
        [
            line
            for line in format_chart(Chart(TempoMap(192), {LEAD_EXPERT: Track(*LEAD_EXPERT, notes)})).split("\n")
            if " N 5 " in line or " N 6 " in line
        ]
        for notes in (natural, forced)
    ]
    assert flips == [[], ["  0 = N 5 0", "  64 = N 5 0", "  192 = N 6 0"]]


@given(charts())
def test_written_chart_reads_the_same(chart):
    assert parse(format_chart(chart)) == chart


def test_line_breaks_in_metadata_stay_out_of_the_file(tmp_path):
    path = tmp_path / "notes.chart"
    write_chart(Chart(TempoMap(192), metadata={"name": "a\n}\r\n[ExpertSingle]"}), path)
    assert read_chart(path).metadata == {"name": "a } [ExpertSingle]"}
