"""A picture for songs that come without one: the song as a highway of coloured tiles, drawn from its notes."""

from __future__ import annotations

import colorsys
import hashlib
import io
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from .notes import OPEN_LANE, Chart, Track

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SIZE = 512
"""Pixels of each side, as Clone Hero shows album art."""

SCALE = 2
"""Drawn so much larger and then reduced, for smooth edges."""

GLOW_REDUCTION = 8

ROWS = 30
"""Stretches of time, the first of them nearest."""

FIVE_FRET_COLORS = ((46, 204, 90), (235, 64, 52), (250, 210, 50), (56, 132, 255), (255, 146, 36))
SIX_FRET_COLORS = ((244, 244, 248),) * 3 + ((96, 104, 128),) * 3
OPEN_COLOR = (176, 92, 255)

# In sides of the picture, from its top left.
VANISHING_Y, HORIZON_Y, NEAR_Y = 0.20, 0.36, 1.04
NEAR_HALF_WIDTH = 0.47
DEPTH = 5.0
TITLE, ARTIST = (0.11, 0.10), (0.23, 0.05)  # middle and height of letters
TEXT_WIDTH = 0.88
MAX_LETTERS = 56

TRANSCRIBED = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
)
"""Letters that decompose into no plain one."""


def draw_album_art(chart: Chart, name: str, artist: str) -> bytes:
    """A picture of 512 × 512 pixels, as the bytes of a ``.png``; the same for the same arguments.

    The highway leads from the song's first note to its last, each tile as bright as its lane is busy there, after the
    hardest track of the chart's first instrument. The background's colour comes from the names. A name with letters
    that Pillow's font does not have is left out.
    """
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    side = SIZE * SCALE
    picture = _background(side, hashlib.sha256(f"{name}\n{artist}".encode()).digest()[0] / 256)
    track = _main_track(chart)
    colors = SIX_FRET_COLORS if track and track.instrument.six_fret else FIVE_FRET_COLORS
    lanes = len(colors)
    draw = ImageDraw.Draw(picture)
    for row in range(ROWS):
        shade = round(26 * (1 - row / ROWS)) + 6
        draw.polygon(_tile(side, (0, lanes), (row, row + 1), lanes), fill=(shade, shade, shade + 4))
    for lane in range(lanes + 1):
        draw.line([_point(side, lane, 0, lanes), _point(side, lane, ROWS, lanes)], fill=(70, 72, 84), width=SCALE)
    tiles = Image.new("RGB", picture.size)
    draw = ImageDraw.Draw(tiles)
    for row, busy in enumerate(_busyness(chart, track, lanes) if track else ()):
        if busy[lanes]:
            draw.polygon(_tile(side, (0, lanes), (row + 0.4, row + 0.6), lanes), fill=_dimmed(OPEN_COLOR, busy[lanes]))
        for lane, color in enumerate(colors):
            if busy[lane]:
                tile = _tile(side, (lane + 0.1, lane + 0.9), (row + 0.12, row + 0.88), lanes)
                draw.polygon(tile, fill=_dimmed(color, busy[lane]))
    glow = tiles.reduce(GLOW_REDUCTION).filter(ImageFilter.GaussianBlur(side / 40 / GLOW_REDUCTION))
    picture.paste(tiles, mask=tiles.convert("L").point(lambda value: 255 * (value > 0)))
    picture = ImageChops.screen(picture, glow.resize(picture.size))
    _write_names(picture, name, artist)
    buffer = io.BytesIO()
    picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()


def _background(side: int, hue: float) -> Image:
    """From a deep colour at the top to almost black."""
    from PIL import Image

    top, bottom = (np.array(colorsys.hsv_to_rgb(hue, 0.65, value)) for value in (0.38, 0.05))
    down = np.linspace(0, 1, side)[:, None] ** 0.7
    column = (255 * (top + (bottom - top) * down)).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(column[:, None], (side, side, 3))))


def _main_track(chart: Chart) -> Track | None:
    """The hardest track of the first instrument that has notes."""
    tracks = [track for track in chart.tracks.values() if track.notes]
    return min(tracks, key=lambda track: (track.instrument, -track.difficulty), default=None)


def _busyness(chart: Chart, track: Track, lanes: int) -> np.ndarray:
    """How many notes there are in each stretch of time, of 0 to 1, shape ``(ROWS, lanes + 1)``, open notes last."""
    seconds = chart.tempo_map.seconds([note.tick for note in track.notes])
    rows = (ROWS * (seconds - seconds[0]) / max(seconds[-1] - seconds[0], 1e-9)).astype(int).clip(0, ROWS - 1)
    counts = np.zeros((ROWS, lanes + 1))
    for row, note in zip(rows, track.notes):
        for lane in note.lanes:
            counts[row, lanes if lane == OPEN_LANE else lane] += 1
    return np.sqrt(counts / counts.max())


def _point(side: int, column: float, row: float, lanes: int) -> tuple[float, float]:
    """Where on the picture a point of the highway is, in perspective."""
    far = 1 / (1 + DEPTH)
    nearness = (1 / (1 + DEPTH * row / ROWS) - far) / (1 - far)
    y = HORIZON_Y + (NEAR_Y - HORIZON_Y) * nearness
    half_width = NEAR_HALF_WIDTH * (y - VANISHING_Y) / (NEAR_Y - VANISHING_Y)
    return side * (0.5 + half_width * (2 * column / lanes - 1)), side * y


def _tile(side: int, columns: tuple[float, float], rows: tuple[float, float], lanes: int) -> list[tuple[float, float]]:
    (left, right), (near, far) = columns, rows
    corners = ((left, near), (right, near), (right, far), (left, far))
    return [_point(side, column, row, lanes) for column, row in corners]


def _dimmed(color: tuple[int, int, int], busy: float) -> tuple[int, ...]:
    return tuple(round(part * (0.25 + 0.75 * busy)) for part in color)


def _write_names(picture: Image, name: str, artist: str) -> None:
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    side = picture.width
    for text, (y, height), color in ((name, TITLE, (250, 250, 252)), (artist, ARTIST, (200, 202, 212))):
        font = ImageFont.load_default(height * side)
        text = _drawable(text, font)
        if font.getlength(text) > TEXT_WIDTH * side:
            text = _in_two_lines(text)
        left, _, right, _ = draw.multiline_textbbox((0, 0), text, font)
        if right - left > TEXT_WIDTH * side:
            font = ImageFont.load_default(height * side * TEXT_WIDTH * side / (right - left))
        draw.multiline_text((side / 2, y * side), text, color, font, anchor="mm", align="center")


def _drawable(text: str, font: FreeTypeFont) -> str:
    """The text without accents, shortened; nothing where the font lacks a letter of it."""
    decomposed = unicodedata.normalize("NFKD", text.translate(TRANSCRIBED))
    plain = " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())
    missing = bytes(font.getmask("\uffff"))
    if any(bytes(font.getmask(c)) == missing for c in set(plain)):
        return ""
    return plain if len(plain) <= MAX_LETTERS else plain[: MAX_LETTERS - 1].rstrip() + "…"


def _in_two_lines(text: str) -> str:
    """Broken at the space nearest to its middle, or in it where there is no space."""
    middle = len(text) // 2
    at = min((i for i, letter in enumerate(text) if letter == " "), key=lambda i: abs(i - middle), default=middle)
    return f"{text[:at]}\n{text[at:].lstrip()}"
