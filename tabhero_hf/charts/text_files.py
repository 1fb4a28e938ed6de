"""Reading the text files of a song folder, which come in several encodings."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import ChartError

MAX_BYTES = 32 * 2**20
"""Larger than any real chart by far."""

MAX_TEXTS = 500_000
"""More lyrics and other texts than any real chart has."""

MAX_NUMBER = 2**31 - 1
"""The last tick: at 192 ticks per quarter note and 120 BPM it is two months away."""

MAX_SECONDS = 86_400.0
"""How far a chart's offset may lead: no audio is as long."""


def read_bounded(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes.

    Raises:
        ChartError: there is no such file, it cannot be read, or it is larger than ``MAX_BYTES``.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ChartError("no such file", file=path) from None
    except OSError as error:
        raise ChartError(f"cannot be read ({error.strerror})", file=path) from error
    if len(data) > MAX_BYTES:
        raise ChartError(f"larger than {MAX_BYTES // 2**20} MiB, which no chart is", file=path)
    return data


def decode_text(data: bytes) -> str:
    """Bytes to text: UTF-16 where a byte order mark says so, else UTF-8 with or without one, else latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def name_as_text(name: str) -> str:
    """A file's name as far as it is text, which one on the disk need not be."""
    return os.fsencode(name).decode(errors="replace")


def split_lines(text: str) -> list[str]:
    """Lines ended by LF, CRLF or CR only: names may hold the other characters that ``str.splitlines`` splits at."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def section_name(text: str) -> str | None:
    """The name in a practice section event (``section NAME``, ``section_NAME``, ``prc_NAME``, bracketed or not)."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    event = re.fullmatch(r"(?:section|prc)[ _](.*)", text, re.DOTALL)
    return event and event[1].strip()


def one_line(value: object) -> str:
    """A value as text that fits on one line."""
    return " ".join(split_lines(str(value))).strip()
