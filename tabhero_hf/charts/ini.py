"""``song.ini``: a song's metadata and the few settings that change how its chart reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from math import isfinite

from .packed import write_bytes
from .text_files import decode_text, one_line, read_bounded, split_lines

STYLE_TAG = re.compile(r"</?(?:color|b|i|u|s|size|mark|alpha|font)(?:=[^<>]*)?>", re.IGNORECASE)
UNSET = -1


def read_ini(path: str | os.PathLike[str]) -> dict[str, str]:
    """The keys and values of a ``song.ini``; see :func:`parse_ini`.

    Raises:
        ChartError: the file is missing or cannot be read.
    """
    return parse_ini(read_bounded(path))


def parse_ini(data: bytes) -> dict[str, str]:
    """The keys, in lower case, and values of the bytes of a ``song.ini``.

    Style tags such as ``<color=#ff0000>`` are dropped. Section headers do not matter, so that files without one or
    with ``[Song]`` read the same; lines without ``=`` are skipped. Of a repeated key the last counts.
    """
    values = {}
    for line in split_lines(decode_text(data)):
        line = line.strip()
        key, equals, value = line.partition("=")
        if equals and not line.startswith((";", "#", "[")):
            values[key.strip().lower()] = without_style_tags(value)
    return values


def without_style_tags(value: str) -> str:
    """A value as plain text."""
    return STYLE_TAG.sub("", value).strip()


def number(values: Mapping[str, object], key: str) -> float | None:
    """A numeric value; ``None`` where it is missing, no finite number, or -1, which means unset."""
    try:
        value = float(values.get(key, UNSET))
    except (TypeError, ValueError):
        return None
    return value if isfinite(value) and value != UNSET else None


def write_ini(values: Mapping[str, object], path: str | os.PathLike[str]) -> None:
    """Writes a ``song.ini``; see :func:`format_ini`."""
    write_bytes(path, format_ini(values).encode())


def format_ini(values: Mapping[str, object]) -> str:
    """``key = value`` lines under ``[song]``; line breaks inside a value become spaces."""
    lines = [f"{key} = {one_line(value)}" for key, value in values.items()]
    return "\n".join(["[song]", *lines, ""])
