"""``song.ini``: a song's metadata and the few settings that change how its chart reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from .text_files import decode_text, one_line, read_bounded, split_lines

STYLE_TAG = re.compile(r"</?(?:color|b|i|u|s|size|mark|alpha|font)(?:=[^<>]*)?>", re.IGNORECASE)


def read_ini(path: str | os.PathLike[str]) -> dict[str, str]:
    """The keys, in lower case, and values of a ``song.ini``.

    Style tags such as ``<color=#ff0000>`` are dropped. Section headers do not matter, so that files without one or
    with ``[Song]`` read the same; lines without ``=`` are skipped. Of a repeated key the last counts.

    Raises:
        ChartError: the file is missing or cannot be read.
    """
    values = {}
    for line in split_lines(decode_text(read_bounded(path))):
        line = line.strip()
        key, equals, value = line.partition("=")
        if equals and not line.startswith((";", "#", "[")):
            values[key.strip().lower()] = STYLE_TAG.sub("", value).strip()
    return values


def write_ini(values: Mapping[str, object], path: str | os.PathLike[str]) -> None:
    """Writes ``key = value`` lines under ``[song]``, UTF-8; line breaks inside a value become spaces."""
    lines = [f"{key} = {one_line(value)}" for key, value in values.items()]
    Path(path).write_bytes("\n".join(["[song]", *lines, ""]).encode())
