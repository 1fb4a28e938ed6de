from dataclasses import replace

import numpy as np
import pytest
from made_songs import EXPERT, LEAD, made_chart
from PIL import Image

from tabhero_hf.charts import (
    Chart,
    Difficulty,
    Event,
    Instrument,
    Kind,
    Note,
    Phrase,
    Song,
    TempoMap,
    Track,
    read_song,
)
from tabhero_hf.charts.album_art import FIVE_FRET_COLORS, OPEN_COLOR, SIX_FRET_COLORS
from tabhero_hf.preview import picture, write_pictures
from tabhero_hf.preview.beats import MAX_LINES, beat_lines
from tabhero_hf.preview.picture import FIRST_LANE, LANE, LEFT, QUARTER, ROW, ROWS_PER_PAGE, TOP

GHL_LEAD = Instrument.GHL_LEAD


def song_of(*notes: Note, key=(LEAD, EXPERT), star_power=(), meters=(), bpm=150.0, **fields) -> Song:
    track = Track(*key, notes, star_power)
    return Song(Chart(TempoMap(192, ((0, bpm),), meters), {key: track}, **fields), {"name": "A song"}, [])


def pixels(path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def place(quarter: float, lane: float = 0, row: int = 0) -> tuple[int, int]:
    """Where on the page a lane is, so many quarter notes into a row; as an index of its pixels."""
    return round(TOP + row * ROW + FIRST_LANE + lane * LANE), round(LEFT + quarter * QUARTER)


def is_near(pixel, color) -> bool:
    return bool(np.abs(pixel.astype(int) - color).max() < 12)


def test_the_demo_song_is_pages_of_one_size(demo_song, tmp_path):
    paths = write_pictures(read_song(demo_song), tmp_path / "new" / "song.png")
    # 20 measures of 4/4, four a row.
    assert paths == [tmp_path / "new" / "song.png"]
    with Image.open(paths[0]) as opened:
        assert (opened.format, opened.size) == ("PNG", (picture.WIDTH, picture.HEIGHT))


def test_notes_have_their_lanes_color_where_they_are(tmp_path):
    notes = [Note(192 * (lane + 1), (lane,)) for lane in range(5)] + [Note(192 * 18, (1, 3)), Note(192 * 20, (6,))]
    (path,) = write_pictures(song_of(*notes), tmp_path / "song.png")
    page = pixels(path)
    for lane, color in enumerate(FIVE_FRET_COLORS):
        assert is_near(page[place(lane + 1, lane)], color)
        assert not is_near(page[place(lane + 1, (lane + 1) % 5)], color)
    # The second row begins with the fifth measure.
    assert is_near(page[place(2, 1, row=1)], FIVE_FRET_COLORS[1])
    assert is_near(page[place(2, 3, row=1)], FIVE_FRET_COLORS[3])
    for lane in (0.5, 2, 3.5):
        assert is_near(page[place(4, lane, row=1)], OPEN_COLOR)


def test_six_fret_tracks_have_six_lanes(tmp_path):
    notes = [Note(192 * (lane + 1), (lane,)) for lane in range(6)]
    (path,) = write_pictures(song_of(*notes, key=(GHL_LEAD, EXPERT)), tmp_path / "song.png", instrument=GHL_LEAD)
    page = pixels(path)
    for lane, color in enumerate(SIX_FRET_COLORS):
        assert is_near(page[place(lane + 1, lane)], color)


def test_kinds_differ_in_their_middle(tmp_path):
    lanes = ((0,), (6,))
    notes = [Note(192 * (i + 1), lanes[i // 3], kind=Kind(i % 3)) for i in range(6)]
    page = pixels(write_pictures(song_of(*notes), tmp_path / "song.png")[0])
    for first, color, lane in ((1, FIVE_FRET_COLORS[0], 0), (4, OPEN_COLOR, 2)):
        assert is_near(page[place(first, lane)], color)
        assert is_near(page[place(first + 1, lane)], picture.WHITE)
        assert is_near(page[place(first + 2, lane)], picture.BLACK)


def test_sustains_and_star_power_reach_over_the_end_of_a_row(tmp_path):
    held = Note(192 * 14, (0, 2), 192 * 4, lane_sustains=(192 * 4, 192))
    song = song_of(held, star_power=(Phrase(192 * 14, 192 * 3),))
    page = pixels(write_pictures(song, tmp_path / "song.png")[0])
    green, yellow = FIVE_FRET_COLORS[0], FIVE_FRET_COLORS[2]
    assert is_near(page[place(15.5, 0)], green) and is_near(page[place(1.5, 0, row=1)], green)
    assert not is_near(page[place(2.5, 0, row=1)], green)
    assert is_near(page[place(14.5, 2)], yellow) and not is_near(page[place(15.5, 2)], yellow)
    shaded = [place(14.5, 3.5), place(0.5, 3.5, row=1)]
    assert all(is_near(page[where], picture.STAR_POWER) for where in shaded)
    assert is_near(page[place(13.5, 3.5)], picture.ROW_BACKGROUND)
    assert is_near(page[place(1.5, 3.5, row=1)], picture.ROW_BACKGROUND)


def test_rows_break_at_measures(tmp_path):
    # Two measures of 7/4 fit a row of 16 quarter notes; one of 20/4 takes a row and a part.
    seven = song_of(Note(192 * 15, (0,)), meters=((0, 7, 4),))
    assert is_near(pixels(write_pictures(seven, tmp_path / "a.png")[0])[place(1, 0, row=1)], FIVE_FRET_COLORS[0])
    twenty = song_of(Note(192 * 21, (0,)), meters=((0, 20, 4),))
    assert is_near(pixels(write_pictures(twenty, tmp_path / "b.png")[0])[place(1, 0, row=2)], FIVE_FRET_COLORS[0])


def test_sections_are_named_where_they_begin(tmp_path):
    note = Note(192 * 8, (0,))
    with_name, without = (
        pixels(write_pictures(song_of(note, sections=sections), tmp_path / "song.png")[0])
        for sections in ((Event(192 * 4, "Verse\n\udcff" + "x" * 9999), Event(192 * 12, "Chorus")), ())
    )
    changed = np.flatnonzero((with_name != without).any(axis=(0, 2)))
    rows = np.flatnonzero((with_name != without).any(axis=(1, 2)))
    assert changed[0] >= place(4)[1] and rows[0] >= TOP - 10 and rows[-1] < TOP + FIRST_LANE - LANE / 2
    between = (with_name != without)[:, place(12)[1] - 8 : place(12)[1]]
    assert not between.any()  # the long name is cut where the next begins


def test_two_hours_are_a_bounded_number_of_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "SCALE", 1)
    last = Note(2 * 3600 * 192, (0,))
    paths = write_pictures(song_of(Note(192, (0,)), last, bpm=60.0), tmp_path / "song.png")
    assert [path.name for path in paths] == [f"song-{i + 1}.png" for i in range(len(paths))]
    assert len(paths) == 2 * 3600 // 16 // ROWS_PER_PAGE + 1
    sizes = set()
    for path in paths:
        with Image.open(path) as opened:
            sizes.add(opened.size)
    assert sizes == {(picture.WIDTH, picture.HEIGHT)}


def test_what_cannot_be_drawn_is_told_and_writes_nothing(tmp_path):
    song = Song(made_chart(), {}, [])
    with pytest.raises(ValueError, match="no hard six-fret lead notes"):
        write_pictures(song, tmp_path / "song.png", Difficulty.HARD, GHL_LEAD)
    with pytest.raises(ValueError, match="more than 200 pages"):
        write_pictures(song_of(Note(10**15, (0,))), tmp_path / "song.png")
    assert list(tmp_path.iterdir()) == []


def test_beats_are_bounded_and_follow_the_meters():
    meters = ((0, 3, 4), (192 * 6, 6, 8))
    ticks, measures = beat_lines(TempoMap(192, (), meters), 192 * 9)
    assert ticks.tolist() == [192 * i for i in range(6)] + [192 * 6 + 96 * i for i in range(7)]
    assert np.flatnonzero(measures).tolist() == [0, 3, 6, 12]
    assert len(beat_lines(replace(TempoMap(192), meters=((0, 4, 2**20),)), 10**12)[0]) == MAX_LINES
