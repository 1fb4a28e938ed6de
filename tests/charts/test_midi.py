import mido
import pytest

from tabhero_hf.charts import ChartError, Difficulty, Instrument, Kind, Note, Phrase, parse_midi, read_midi

EASY, EXPERT = Difficulty.EASY, Difficulty.EXPERT


def write_midi(path, tracks, resolution=480, type_=1):
    """Writes tracks of ``(start, end, note)``, ``(tick, message)`` and, first, a name."""
    midi = mido.MidiFile(type=type_, ticks_per_beat=resolution)
    for name, *events in tracks:
        timed = [(0, 0, mido.MetaMessage("track_name", name=name))] if name else []
        for event in events:
            if len(event) == 2:
                timed.append((event[0], 2, event[1]))
            else:
                start, end, note = event
                timed.append((start, 3, mido.Message("note_on", note=note, velocity=100)))
                timed.append((end, 1 if end > start else 4, mido.Message("note_on", note=note, velocity=0)))
        track = mido.MidiTrack()
        now = 0
        for tick, _, message in sorted(timed, key=lambda item: item[:2]):
            track.append(message.copy(time=tick - now))
            now = tick
        midi.tracks.append(track)
    midi.save(path)
    return path


def read(tmp_path, *events, name="PART GUITAR", settings=None, **options):
    path = write_midi(tmp_path / "notes.mid", [("song",), (name, *events)], **options)
    return read_midi(path, settings)


def lead(chart, difficulty=EXPERT):
    return chart.tracks[Instrument.LEAD, difficulty]


def test_lanes_and_sustains_of_each_difficulty(tmp_path):
    chart = read(tmp_path, (0, 10, 96), (0, 480, 100), (480, 641, 97), (960, 1122, 98), (0, 10, 60))
    assert lead(chart).notes == (Note(0, (0, 4), 480, lane_sustains=(0, 480)), Note(480, (1,)), Note(960, (2,), 162))
    assert lead(chart, EASY).notes == (Note(0, (0,)),)
    assert len(chart.tracks) == 2


def test_instruments_by_track_name(tmp_path):
    parts = [("PART BASS", (0, 9, 96)), ("PART KEYS", (0, 9, 97)), ("PART DRUMS", (0, 9, 98))]
    chart = read_midi(write_midi(tmp_path / "notes.mid", [("",), *parts]))
    assert set(chart.tracks) == {(Instrument.BASS, EXPERT), (Instrument.KEYS, EXPERT)}


def test_part_guitar_beats_t1_gems(tmp_path):
    parts = [("T1 GEMS", (0, 9, 96)), ("PART GUITAR", (0, 9, 97))]
    assert lead(read_midi(write_midi(tmp_path / "a.mid", [("",), *parts]))).notes == (Note(0, (1,)),)
    assert lead(read_midi(write_midi(tmp_path / "b.mid", [("",), parts[0]]))).notes == (Note(0, (0,)),)


@pytest.mark.parametrize("type_", [0, 1])
def test_frets_on_fire_files_are_lead(tmp_path, type_):
    tracks = [("Sampler (MIDI)", (0, 9, 96), (0, mido.MetaMessage("set_tempo", tempo=400_000)))]
    chart = read_midi(write_midi(tmp_path / "notes.mid", tracks, 96, type_))
    assert lead(chart).notes == (Note(0, (0,)),)
    assert chart.tempo_map.tempos == ((0, 150.0),)


def test_drums_alone_are_not_lead(tmp_path):
    chart = read(tmp_path, (0, 9, 96), name="PART DRUMS")
    assert chart.tracks == {} and chart.left_out == ("PART DRUMS",)


@pytest.mark.parametrize(
    ("name", "notes", "is_left_out"),
    [
        ("PART VOCALS", [(0, 9, 105)], False),  # a line of lyrics
        ("PART VOCALS", [(0, 9, 105), (0, 9, 60)], True),
        ("PART KEYS", [(0, 9, 96)], False),
        ("PART DRUMS", [], False),
        ("VENUE", [(0, 9, 60)], False),
        ("HARM2", [(0, 9, 60)], True),
    ],
)
def test_instruments_that_are_none_of_ours_are_named(tmp_path, name, notes, is_left_out):
    assert read(tmp_path, *notes, name=name).left_out == ((name,) if is_left_out else ())


def test_natural_hopo_not_from_a_chord_that_holds_it(tmp_path):
    notes = lead(read(tmp_path, (0, 9, 96), (0, 9, 97), (120, 129, 97), (240, 249, 98), (402, 410, 99))).notes
    assert [note.kind for note in notes] == [Kind.STRUM, Kind.STRUM, Kind.HOPO, Kind.STRUM]


def test_force_markers_exclude_their_end_and_tap_beats_them(tmp_path):
    notes = [(i * 480, i * 480 + 9, 96 + i % 2) for i in range(5)]
    markers = [(0, 480, 101), (960, 960, 101), (1440, 1500, 101), (1440, 1500, 104)]
    track = lead(read(tmp_path, *notes, *markers))
    assert [note.kind for note in track.notes] == [Kind.HOPO, Kind.STRUM, Kind.HOPO, Kind.TAP, Kind.STRUM]


def test_forced_strum(tmp_path):
    track = lead(read(tmp_path, (0, 9, 96), (120, 129, 97), (120, 121, 102)))
    assert track.notes[1].kind is Kind.STRUM


def test_off_then_on_and_on_then_off_at_one_tick(tmp_path):
    on, off = (mido.Message("note_on", note=96, velocity=velocity) for velocity in (99, 0))
    for middle in ((off, on), (on, off)):
        track = lead(read(tmp_path, (0, on), (480, middle[0]), (480, middle[1]), (960, off)))
        assert track.notes == (Note(0, (0,), 480), Note(480, (0,), 480))


def test_open_notes_need_the_event_that_enables_them(tmp_path):
    events = [(0, 9, 95), (480, 489, 96)]
    assert len(lead(read(tmp_path, *events)).notes) == 1
    enabled = read(tmp_path, (0, mido.MetaMessage("text", text="[ENHANCED_OPENS]")), *events)
    assert lead(enabled).notes == (Note(0, (6,)), Note(480, (0,)))


def test_sysex_open_and_tap(tmp_path):
    def phrase(difficulty, effect, start, end):
        for tick, on in ((start, 1), (end, 0)):
            yield tick, mido.Message("sysex", data=(0x50, 0x53, 0, 0, difficulty, effect, on))

    notes = [(0, 9, 96), (0, 9, 97), (480, 489, 97)]
    track = lead(read(tmp_path, *notes, *phrase(3, 1, 0, 1), *phrase(3, 4, 480, 490), *phrase(0, 4, 0, 9)))
    assert track.notes == (Note(0, (6,)), Note(480, (1,), 0, Kind.TAP))


def test_star_power_modern_and_old(tmp_path):
    notes = [(0, 9, 96), (480, 489, 97)]
    old = [(0, 100, 103), (480, 580, 103)]
    modern = lead(read(tmp_path, *notes, *old, (0, 50, 116)))
    assert (modern.star_power, modern.solos) == ((Phrase(0, 50),), (Phrase(0, 100), Phrase(480, 100)))
    legacy = lead(read(tmp_path, *notes, *old))
    assert (legacy.star_power, legacy.solos) == ((Phrase(0, 100), Phrase(480, 100)), ())
    one_solo = lead(read(tmp_path, *notes, old[0]))
    assert (one_solo.star_power, one_solo.solos) == ((), (Phrase(0, 100),))
    told = lead(read(tmp_path, *notes, *old, settings={"multiplier_note": "116"}))
    assert told.star_power == ()


def test_sections_end_and_text_encodings(tmp_path):
    texts = {0: "[section Café]", 480: "[prc_Verse]", 960: "[end]"}
    events = [(tick, mido.MetaMessage("text", text=text)) for tick, text in texts.items()]
    chart = read(tmp_path, *events, name="EVENTS")
    assert chart.sections == ((0, "Café"), (480, "Verse"))
    assert chart.end_ticks == (960,)


def test_tempos_come_from_the_first_track_only(tmp_path):
    chart = read(tmp_path, (0, 9, 96), (0, mido.MetaMessage("set_tempo", tempo=400_000)))
    assert chart.tempo_map.tempos == ((0, 120.0),)


@pytest.mark.parametrize("content", [b"", b"[Song]\n{\n}\n", b"MThd\0\0\0\6\0\1"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "notes.mid"
    path.write_bytes(content)
    with pytest.raises(ChartError, match="notes.mid, byte 0: not a MIDI file"):
        read_midi(path)


GUITAR = b"\0\xff\x03\x0bPART GUITAR"
END = b"\0\xff\x2f\0"


def file_of(*tracks, count=None, cut=None):
    chunks = b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)
    header = b"MThd\0\0\0\6\0\1" + (len(tracks) if count is None else count).to_bytes(2, "big") + b"\1\xe0"
    return (header + chunks)[:cut]


def notes_of(*events, **file):
    return lead(parse_midi(file_of(b"", GUITAR + b"".join(events), **file))).notes


# On and off of a green and a red note, the second by running status.
GREEN_NOTE = b"\0\x90\x60\x64", b"\x0a\x90\x60\0"
RED_RUNNING = b"\x83\x60\x61\x64", b"\x0a\x61\0"
BOTH = (Note(0, (0,)), Note(490, (1,)))


@pytest.mark.parametrize("between", [b"\0\xff\x01\x01x", b"\0\xf0\x03\xff\x12\xf7", b"\0\xf7\x01\xff", b"\0\xf8"])
def test_running_status_goes_on_behind_other_messages(between):
    assert notes_of(*GREEN_NOTE, between, *RED_RUNNING, END) == BOTH


def test_missing_end_of_track_and_velocity_over_127():
    assert notes_of(*GREEN_NOTE, b"\x83\x60\x90\x61\xff", b"\x0a\x61\0") == BOTH


def test_more_tracks_than_the_header_counts():
    assert notes_of(*GREEN_NOTE, *RED_RUNNING, END, count=1) == BOTH


def test_cut_off_file_is_read_up_to_there_without_the_note_that_does_not_end():
    chart = parse_midi(file_of(b"", GUITAR + b"".join((*GREEN_NOTE, *RED_RUNNING)), cut=-3))
    assert lead(chart).notes == BOTH[:1]
    assert "cut off: track 1 lacks 3 bytes" in chart.warnings[0] and "1 notes that do not end" in chart.warnings[1]


def test_tracks_that_are_not_there_any_more_are_told_of():
    chart = parse_midi(file_of(b"", GUITAR + b"".join(GREEN_NOTE) + END, count=5))
    assert lead(chart).notes == BOTH[:1]
    assert chart.warnings == ("the file is cut off: it ends after a track, and of 5 tracks 2 are there",)
    assert parse_midi(file_of(b"", GUITAR + b"".join(GREEN_NOTE) + END)).warnings == ()


def test_data_without_a_message_is_named_by_its_byte():
    with pytest.raises(ChartError, match="byte 23: "):
        parse_midi(file_of(b"\0\x60\x64"))


def test_overlapping_notes_of_one_lane_end_at_the_next(tmp_path):
    track = lead(read(tmp_path, (0, 700, 96), (480, 1000, 96)))
    assert track.notes == (Note(0, (0,), 480), Note(480, (0,), 520))


def test_six_fret_tracks(tmp_path):
    notes = [(i * 480, i * 480 + 9, 82 + i) for i in range(7)]
    chart = read(tmp_path, *notes, (0, 1, 89), name="PART BASS GHL")
    track = chart.tracks[Instrument.GHL_BASS, Difficulty.HARD]
    assert [note.lanes for note in track.notes] == [(6,), (0,), (1,), (2,), (3,), (4,), (5,)]
    assert track.notes[0].kind is Kind.HOPO


def test_lyrics_and_their_lines(tmp_path):
    texts = [(480, mido.MetaMessage("lyrics", text="Oh-")), (600, mido.MetaMessage("text", text="well"))]
    chart = read(tmp_path, *texts, (600, mido.MetaMessage("text", text="[idle]")), (400, 700, 105), name="PART VOCALS")
    assert chart.lyrics == ((480, "Oh-"), (600, "well"))
    assert chart.lyric_phrases == (Phrase(400, 300),)


def test_zero_tempo_and_frame_divisions_are_refused(tmp_path):
    tracks = [("", (0, mido.MetaMessage("set_tempo", tempo=0)))]
    with pytest.raises(ChartError, match="tempo"):
        read_midi(write_midi(tmp_path / "tempo.mid", tracks))
    data = bytearray(write_midi(tmp_path / "frames.mid", [("",)]).read_bytes())
    data[12:14] = b"\xe7\x28"
    (tmp_path / "frames.mid").write_bytes(data)
    with pytest.raises(ChartError, match="division"):
        read_midi(tmp_path / "frames.mid")


def test_every_byte_broken_is_read_or_refused(tmp_path):
    source = write_midi(tmp_path / "notes.mid", [("",), ("PART GUITAR", (0, 9, 96), (480, 960, 97))]).read_bytes()
    for position in range(len(source)):
        for value in (0x00, 0x7F, 0xFF):
            (tmp_path / "broken.mid").write_bytes(source[:position] + bytes([value]) + source[position + 1 :])
            try:
                read_midi(tmp_path / "broken.mid")
            except ChartError as error:
                assert "broken.mid" in str(error)


def test_real_songs_hold_their_notes(real_songs):
    chart = read_midi(real_songs / "muldjord" / "chaos_god" / "notes.mid")
    assert {difficulty.name: len(track.notes) for (_, difficulty), track in chart.tracks.items()} == {
        "EASY": 461,
        "MEDIUM": 521,
        "HARD": 599,
        "EXPERT": 713,
    }
    assert chart.tempo_map.tempos[0][1] == pytest.approx(170, abs=0.001)
