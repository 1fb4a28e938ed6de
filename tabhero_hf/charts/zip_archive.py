"""Reads and writes ``.zip`` archives of songs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from .errors import ChartError
from .packed import (
    BLOCK_BYTES,
    MAX_FILES,
    Content,
    PackedFile,
    check_distinct,
    check_name,
    content_size,
    open_content,
    replacing,
)

if TYPE_CHECKING:
    from zipfile import ZipInfo

MAX_RATIO, ALWAYS_ALLOWED_BYTES = 20, 2**20
"""A file may unpack to so many times the archive's size, or to so many bytes."""

IN_MEMORY_BYTES = 16 * 2**20
"""Larger files are unpacked to the disk."""

TEXT_SUFFIXES = (".chart", ".mid", ".ini")
"""What is worth compressing."""


def read_zip(path: str | os.PathLike[str]) -> dict[str, PackedFile]:
    """The files of a ``.zip``, by name; they are unpacked when they are opened.

    Raises:
        ChartError: not a ``.zip``, or one with unsafe names, with encrypted files, with files in a compression other
            than deflate, or with files that unpack to far more than the archive. Names the file.
    """
    import zipfile

    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
        allowed = max(MAX_RATIO * path.stat().st_size, ALWAYS_ALLOWED_BYTES)
    except OSError as error:
        raise ChartError(f"cannot be read ({error.strerror or error})", file=path) from error
    except Exception as error:  # zipfile raises as many types as there are ways to break a file
        raise ChartError(f"not a .zip that can be read ({_cause(error)})", file=path) from error
    try:
        if len(infos) > MAX_FILES:
            raise ChartError(f"{len(infos)} files, more than any song has")
        entries = [_entry(path, info, allowed) for info in infos]
        check_distinct(entry.name for entry in entries)
    except ChartError as error:
        raise error.located(path) from None
    return {entry.name: entry for entry in entries}


def write_zip(path: str | os.PathLike[str], files: Iterable[tuple[str, Content]]) -> None:
    """Writes a ``.zip``, or leaves what was there as it was.

    The same files give the same bytes. They are streamed, not loaded.

    Args:
        path: where, in a folder that exists.
        files: names, with ``/`` between folders, and contents.

    Raises:
        ChartError: a name that is unsafe or given twice.
        OSError: a file cannot be read, or the ``.zip`` not written.
    """
    import zipfile

    files = [(check_name(name), content) for name, content in files]
    check_distinct(name for name, _ in files)
    with replacing(Path(path)) as building:
        with zipfile.ZipFile(building, "w") as archive:
            for name, content in files:
                info = zipfile.ZipInfo(name)
                info.external_attr = 0o644 << 16
                if name.lower().endswith(TEXT_SUFFIXES):
                    info.compress_type = zipfile.ZIP_DEFLATED
                info.file_size = content_size(content)
                with open_content(content) as source, archive.open(info, "w") as member:
                    shutil.copyfileobj(source, member, BLOCK_BYTES)


def _entry(path: Path, info: ZipInfo, allowed: int) -> _ZipEntry:
    import zipfile

    # zipfile ends names at a zero byte, which hides what follows.
    name = check_name(info.orig_filename)
    if info.flag_bits & 1:
        raise ChartError(f"{name!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ChartError(f"{name!r} is compressed by method {info.compress_type}; known are 0 and 8")
    if info.file_size > allowed:
        raise ChartError(f"{name!r} unpacks to {info.file_size} bytes, {allowed} at most are believed")
    return _ZipEntry(path, name, info.file_size, info.filename)


@dataclass(frozen=True, slots=True)
class _ZipEntry(PackedFile):
    member: str

    def open(self) -> BinaryIO:
        import zipfile

        # zipfile seeks backwards by unpacking again from the start, and decoders of audio seek a lot.
        out = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)
        try:
            with zipfile.ZipFile(self.archive) as archive, archive.open(self.member) as file:
                while block := file.read(min(BLOCK_BYTES, self.size + 1 - out.tell())):
                    out.write(block)
        except Exception as error:  # as in read_zip
            out.close()
            raise ChartError(f"cannot be unpacked ({_cause(error)})", file=str(self)) from error
        if out.tell() != self.size:
            out.close()
            raise ChartError(f"{self.size} bytes announced, but not found", file=str(self))
        out.seek(0)
        return out


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
