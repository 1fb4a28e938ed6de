"""Files inside song archives (``.sng``, ``.zip``), and what reading and writing the archives has in common."""

from __future__ import annotations

import errno
import io
import os
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import ChartError
from .text_files import MAX_BYTES, read_bounded

BLOCK_BYTES = 2**20
MAX_FILES = 10_000
"""More files than any song has by far."""


@dataclass(frozen=True, slots=True)
class PackedFile(ABC):
    """A file inside an archive, which is read when it is opened.

    Args:
        archive: where.
        name: as the archive calls it, with ``/`` between folders.
        size: bytes, unpacked.
    """

    archive: Path
    name: str
    size: int

    @abstractmethod
    def open(self) -> BinaryIO:
        """A seekable binary file object of the unpacked bytes, for the caller to close.

        Raises:
            ChartError: it cannot be unpacked.
        """

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"


File = Path | PackedFile
Content = bytes | File


def check_name(name: str) -> str:
    """The name of a file in an archive, made by a stranger, with ``/`` between folders.

    Raises:
        ChartError: it is empty, or could lead out of the folder that the archive is unpacked to.
    """
    plain = name.replace("\\", "/")
    reason = None
    if not plain:
        reason = "an empty name"
    elif re.search(r"[\x00-\x1f\x7f]", plain):
        reason = "a control character"
    elif plain.startswith("/") or re.match(r"[A-Za-z]:", plain):
        reason = "an absolute path"
    elif any(part in ("", ".", "..") for part in plain.split("/")):
        reason = "an empty part, '.' or '..' in the path"
    if reason:
        raise ChartError(f"unsafe file name {name[:100]!r} ({reason})")
    return plain


def check_distinct(names: Iterable[str]) -> None:
    """Raises :class:`ChartError` where two names differ in case at most."""
    seen = set()
    for name in names:
        if name.casefold() in seen:
            raise ChartError(f"two files are called {name[:100]!r}")
        seen.add(name.casefold())


def read_whole(file: File) -> bytes:
    """A file's bytes, wherever it lies.

    Raises:
        ChartError: it cannot be read, or it is larger than ``MAX_BYTES``.
    """
    if isinstance(file, Path):
        return read_bounded(file)
    if file.size > MAX_BYTES:
        raise ChartError(f"larger than {MAX_BYTES // 2**20} MiB, which no chart is", file=str(file))
    with file.open() as stream:
        return stream.read()


def open_content(content: Content) -> BinaryIO:
    """A binary file object of bytes, or of a file wherever it lies."""
    if isinstance(content, bytes):
        return io.BytesIO(content)
    return content.open("rb") if isinstance(content, Path) else content.open()


def content_size(content: Content) -> int:
    """Bytes of bytes, or of a file wherever it lies."""
    if isinstance(content, bytes):
        return len(content)
    return content.stat().st_size if isinstance(content, Path) else content.size


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file, whole or not at all; missing parents are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as building:
        building.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to: it takes the place of ``path`` when all went well, else it is removed."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    building = path.with_name(f".{uuid.uuid4().hex}")
    try:
        yield building
        os.replace(building, path)
    finally:
        building.unlink(missing_ok=True)
