"""A track as pictures: rows of measures, page by page."""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tabhero_hf.charts.album_art import FIVE_FRET_COLORS, OPEN_COLOR, SIX_FRET_COLORS
from tabhero_hf.charts.check import instrument_name, sustains
from tabhero_hf.charts.notes import OPEN_LANE, Chart, Difficulty, Instrument, Kind, Note, Track
from tabhero_hf.charts.packed import replacing
from tabhero_hf.charts.song_folder import Song

from .beats import beat_lines

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Color = tuple[int, int, int]

# Pixels.
WIDTH, HEIGHT = 1600, 1760
LEFT, TOP = 40, 110
QUARTER = 95
LANE = 18
ROW = 160
FIRST_LANE = 38
"""From the top of a row to the middle of its first lane; section names and measure numbers are above it."""

QUARTERS_PER_ROW = (WIDTH - 2 * LEFT) // QUARTER
ROWS_PER_PAGE = (HEIGHT - TOP) // ROW
MAX_PAGES = 200
"""Two hours and a half at 200 BPM."""

SCALE = 2
"""Drawn so much larger and then reduced, for smooth edges."""

RADIUS, CENTER, RIM = 8, 3.5, 1.5
BAR, BAR_CENTER = 4, 1.5
SUSTAIN = 3
"""Of a note, and half of an open note's width and of a sustain's height."""

BACKGROUND, ROW_BACKGROUND, STAR_POWER = (12, 14, 20), (25, 29, 41), (24, 74, 102)
LANE_COLOR, BEAT_COLOR, MEASURE_COLOR = (52, 59, 78), (64, 72, 92), (140, 150, 172)
TEXT, DIM_TEXT, SECTION_TEXT = (232, 235, 242), (154, 163, 181), (76, 201, 240)
OPEN_SUSTAIN = tuple(part // 3 for part in OPEN_COLOR)
WHITE, BLACK = (255, 255, 255), (8, 9, 13)
MAX_LETTERS = 200
LEGEND = "plain: strum · white centre: HOPO · black centre: tap · bar: open · blue: star power"


def write_pictures(
    song: Song,
    path: str | os.PathLike[str],
    difficulty: Difficulty = Difficulty.EXPERT,
    instrument: Instrument = Instrument.LEAD,
) -> list[Path]:
    """Draws a whole track, from tick 0 to its end, and writes it as PNG pictures of 1600 × 1760 pixels.

    A row has up to 16 quarter notes and breaks at measure lines; a picture has ten rows.

    Args:
        song: as :func:`~tabhero_hf.charts.read_song` gives it.
        path: of the picture, ``song.png``. Where one is not enough they are ``song-1.png``, ``song-2.png`` and so on.
            Missing parents are made.
        difficulty, instrument: which track.

    Returns:
        The paths, first page first. All pages take their places when all are drawn.

    Raises:
        ValueError: the song has no such track, or the track is longer than 200 pages.
        OSError: they cannot be written.
    """
    path = Path(path)
    chart = song.chart
    track = chart.tracks.get((instrument, difficulty))
    if not (track and track.notes):
        raise ValueError(f"the song has no {difficulty.name.lower()} {instrument_name(instrument)} notes to draw")
    drawing = _TrackDrawing(chart, track)
    pages = math.ceil(len(drawing.rows) / ROWS_PER_PAGE)
    paths = [path] if pages == 1 else [path.with_stem(f"{path.stem}-{page + 1}") for page in range(pages)]
    title = ": ".join(text for key in ("artist", "name") if (text := _plain(song.metadata.get(key, ""))))
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for page, target in enumerate(paths):
            sheet = drawing.page(page, title, f"page {page + 1} of {pages}")
            sheet.finished().save(stack.enter_context(replacing(target)), "PNG")
    return paths


class _Row(NamedTuple):
    """A row's first tick, the one after its last, and where it is."""

    start: float
    end: float
    top: int
    resolution: int

    def x(self, tick: float) -> float:
        return LEFT + (min(max(tick, self.start), self.end) - self.start) / self.resolution * QUARTER

    def y(self, lane: float) -> float:
        return self.top + FIRST_LANE + lane * LANE

    def part(self, ticks: Sequence[float]) -> range:
        """The indices of those of ascending ticks that are in the row."""
        return range(bisect_left(ticks, self.start), bisect_left(ticks, self.end))


class _TrackDrawing:
    """A track divided into rows, and how they are drawn."""

    def __init__(self, chart: Chart, track: Track) -> None:
        self.track, self.resolution = track, chart.tempo_map.resolution
        self.colors = SIX_FRET_COLORS if track.instrument.six_fret else FIVE_FRET_COLORS
        self.beats, begins_measure = beat_lines(chart.tempo_map, track.end_tick + QUARTERS_PER_ROW * self.resolution)
        self.measures = self.beats[begins_measure]
        self.rows = self._rows()
        self.note_ticks = [note.tick for note in track.notes]
        self.phrase_starts = [phrase.tick for phrase in track.star_power]
        self.phrase_ends = [phrase.end for phrase in track.star_power]
        owners, lanes, ends = sustains(track.notes)
        self.sustains = lanes, np.array(self.note_ticks)[owners], ends
        self.sections = chart.sections
        self.section_ticks = [section.tick for section in chart.sections]

    def _rows(self) -> list[_Row]:
        start, rows = 0.0, []
        while start <= self.track.end_tick:
            if len(rows) == MAX_PAGES * ROWS_PER_PAGE:
                raise ValueError(f"the track is too long to draw: it takes more than {MAX_PAGES} pages")
            end = start + QUARTERS_PER_ROW * self.resolution
            last_measure = float(self.measures[np.searchsorted(self.measures, end, side="right") - 1])
            # A measure longer than a row goes on in the next.
            end = last_measure if last_measure > start else end
            rows.append(_Row(start, end, TOP + len(rows) % ROWS_PER_PAGE * ROW, self.resolution))
            start = end
        return rows

    def page(self, page: int, title: str, number: str) -> _Sheet:
        sheet = _Sheet()
        track = f"{self.track.difficulty.name.capitalize()} {instrument_name(self.track.instrument)}"
        sheet.text(LEFT, 20, title, 26, TEXT, WIDTH - 2 * LEFT)
        sheet.text(LEFT, 62, f"{track}, {number}", 17, TEXT, WIDTH / 2)
        sheet.text(WIDTH / 2, 62, LEGEND, 17, DIM_TEXT, WIDTH / 2 - LEFT)
        for row in self.rows[page * ROWS_PER_PAGE : (page + 1) * ROWS_PER_PAGE]:
            self._draw_row(sheet, row)
        return sheet

    def _draw_row(self, sheet: _Sheet, row: _Row) -> None:
        left, right = row.x(row.start), row.x(row.end)
        highest, lowest = row.y(-0.5), row.y(len(self.colors) - 0.5)
        sheet.box(left, highest, right, lowest, ROW_BACKGROUND)
        # They are disjoint: starts and ends ascend.
        first, last = bisect_right(self.phrase_ends, row.start), bisect_left(self.phrase_starts, row.end)
        for phrase in self.track.star_power[first:last]:
            sheet.box(row.x(phrase.tick), highest, row.x(phrase.end), lowest, STAR_POWER)
        for lane in range(len(self.colors)):
            sheet.box(left, row.y(lane) - 0.5, right, row.y(lane) + 0.5, LANE_COLOR)
        for i in row.part(self.beats):
            sheet.line(row.x(self.beats[i]), highest, lowest, 1, BEAT_COLOR)
        self._draw_measures(sheet, row, highest, lowest)
        self._draw_sections(sheet, row)
        self._draw_sustains(sheet, row)
        for i in row.part(self.note_ticks):
            self._draw_note(sheet, row, self.track.notes[i])

    def _draw_measures(self, sheet: _Sheet, row: _Row, highest: float, lowest: float) -> None:
        free = 0.0
        for i in row.part(self.measures):
            x = row.x(self.measures[i])
            sheet.line(x, highest, lowest, 2, MEASURE_COLOR)
            if x >= free:
                free = x + sheet.text(x, highest - 16, str(i + 1), 12, DIM_TEXT, QUARTER) + 4

    def _draw_sections(self, sheet: _Sheet, row: _Row) -> None:
        visible = row.part(self.section_ticks)
        for i in visible:
            x = row.x(self.section_ticks[i])
            following = row.x(self.section_ticks[i + 1]) if i + 1 in visible else WIDTH - LEFT
            sheet.text(x, row.top - 8, _plain(self.sections[i].text), 17, SECTION_TEXT, following - x - 8)

    def _draw_sustains(self, sheet: _Sheet, row: _Row) -> None:
        lanes, starts, ends = self.sustains
        visible = np.flatnonzero((starts < row.end) & (ends > row.start))
        for i in sorted(visible.tolist(), key=lambda i: lanes[i] != OPEN_LANE):
            left, right = row.x(starts[i]), row.x(ends[i])
            if lanes[i] == OPEN_LANE:
                sheet.box(left, row.y(0), right, row.y(len(self.colors) - 1), OPEN_SUSTAIN)
            else:
                y = row.y(lanes[i])
                sheet.box(left, y - SUSTAIN, right, y + SUSTAIN, self.colors[lanes[i]])

    def _draw_note(self, sheet: _Sheet, row: _Row, note: Note) -> None:
        x = row.x(note.tick)
        center = {Kind.HOPO: WHITE, Kind.TAP: BLACK}.get(note.kind)
        if OPEN_LANE in note.lanes:
            top, bottom = row.y(-0.4), row.y(len(self.colors) - 0.6)
            sheet.box(x - BAR - RIM, top - RIM, x + BAR + RIM, bottom + RIM, BLACK)
            sheet.box(x - BAR, top, x + BAR, bottom, OPEN_COLOR)
            if center:
                sheet.box(x - BAR_CENTER, top + BAR, x + BAR_CENTER, bottom - BAR, center)
        for lane in note.lanes:
            if lane != OPEN_LANE:
                sheet.dot(x, row.y(lane), RADIUS + RIM, BLACK)
                sheet.dot(x, row.y(lane), RADIUS, self.colors[lane])
                if center:
                    sheet.dot(x, row.y(lane), CENTER + RIM, BLACK)
                    sheet.dot(x, row.y(lane), CENTER, center)


class _Sheet:
    """A page to draw on, in its pixels."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        self._picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), BACKGROUND)
        self._draw = ImageDraw.Draw(self._picture)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        # Pillow draws the last pixel too.
        corners = [round(part * SCALE) for part in (left, top, right, bottom)]
        self._draw.rectangle((*corners[:2], max(corners[2] - 1, corners[0]), max(corners[3] - 1, corners[1])), color)

    def line(self, x: float, top: float, bottom: float, width: float, color: Color) -> None:
        self.box(x - width / 2, top, x + width / 2, bottom, color)

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        self._draw.circle((x * SCALE, y * SCALE), radius * SCALE, color)

    def text(self, x: float, top: float, text: str, size: int, color: Color, width: float) -> float:
        """Writes a line, cut to a width, and returns how wide it is."""
        font = _font(size * SCALE)
        shown = text
        while shown and font.getlength(shown) > width * SCALE:
            text = text[:-1]
            shown = f"{text.rstrip()}…" if text else ""
        self._draw.text((x * SCALE, top * SCALE), shown, color, font)
        return font.getlength(shown) / SCALE

    def finished(self) -> Image:
        return self._picture.reduce(SCALE)


@cache
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """Letters of one line, as a font takes them, and no more than fit one."""
    return " ".join(text[:MAX_LETTERS].split()).encode(errors="replace").decode()
