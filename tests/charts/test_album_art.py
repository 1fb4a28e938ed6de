import io

import numpy as np
import pytest
from PIL import Image

from tabhero_hf.charts import Chart, Difficulty, Instrument, Note, TempoMap, Track
from tabhero_hf.charts.album_art import draw_album_art


def chart_of(lane, instrument=Instrument.LEAD, notes=100):
    track = Track(instrument, Difficulty.EXPERT, tuple(Note(96 * i, (lane,)) for i in range(notes)))
    return Chart(TempoMap(192), {(track.instrument, track.difficulty): track})


def pixels(data):
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (512, 512), "RGB")
    return np.asarray(picture).astype(int)


def test_the_same_song_gives_the_same_picture_and_another_one_another():
    first = draw_album_art(chart_of(0), "Name", "Artist")
    assert draw_album_art(chart_of(0), "Name", "Artist") == first
    others = [(chart_of(1), "Name", "Artist"), (chart_of(0), "Other", "Artist"), (chart_of(0), "Name", "Other")]
    assert len({first, *(draw_album_art(*other) for other in others)}) == 4


@pytest.mark.parametrize(("lane", "brightest"), [(0, 1), (1, 0), (3, 2)])
def test_a_lane_shines_in_its_color_where_it_is(lane, brightest):
    lit = pixels(draw_album_art(chart_of(lane), "", ""))
    dark = pixels(draw_album_art(Chart(TempoMap(192)), "", ""))
    shine = (lit - dark)[360:].sum(axis=0)  # below the names; (columns, colours)
    assert shine.sum(axis=0).argmax() == brightest
    assert shine.sum(axis=1).argmax() == pytest.approx(512 * (0.03 + 0.94 * (lane + 0.5) / 5), abs=60)


def test_names_are_written_where_the_font_has_their_letters():
    nameless = pixels(draw_album_art(chart_of(0), "", ""))[30:140]
    for name in ("Café Größe", "W" * 500, "A rather long name that has to be broken into two lines"):
        named = pixels(draw_album_art(chart_of(0), name, ""))[30:140]
        white = (named > 200).all(axis=2)
        assert white.sum() > 300
        assert not white[:, :20].any() and not white[:, -20:].any()
    assert not (pixels(draw_album_art(chart_of(0), "日本", ""))[30:140] > 200).any()
    assert not (nameless > 200).any()


@pytest.mark.parametrize(
    "chart", [Chart(TempoMap(192)), chart_of(6), chart_of(5, Instrument.GHL_LEAD), chart_of(0, notes=1)]
)
def test_every_chart_has_a_picture(chart):
    assert pixels(draw_album_art(chart, "Name", "Artist")).std() > 5
