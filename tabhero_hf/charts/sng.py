"""Reads and writes ``.sng``: a song's metadata and files in one file.

Follows the specification of mdsitton/SngFileFormat, version 1. All numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .errors import ChartError
from .packed import BLOCK_BYTES, MAX_FILES, Content, PackedFile, check_distinct, check_name, open_content, replacing

SIGNATURE = b"SNGPKG"
VERSION = 1
MASK_BYTES = 16
MAX_SECTION_BYTES = 16 * 2**20
"""Larger than the metadata or the index of any real song by far."""

LEAST_PAIR_BYTES = 8
LEAST_INDEX_BYTES = 17
MAX_NAME_BYTES = 255


class SngFile(NamedTuple):
    """A ``.sng`` as it was read: ``metadata`` with keys in lower case, and ``files`` by name."""

    metadata: dict[str, str]
    files: dict[str, PackedFile]


def read_sng(path: str | os.PathLike[str]) -> SngFile:
    """Reads the metadata and the index of a ``.sng``; its files are read when they are opened.

    Of a repeated key the last counts.

    Raises:
        ChartError: not a ``.sng``, one that is cut off, contents that lie outside it or overlap, or an unsafe file
            name. Names the file and the byte.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except ChartError as error:
        raise error.located(path) from error.__cause__
    except OSError as error:
        raise ChartError(f"cannot be read ({error.strerror})", file=path) from error


def write_sng(
    path: str | os.PathLike[str], metadata: Mapping[str, object], files: Iterable[tuple[str, Content]]
) -> None:
    """Writes a ``.sng``, or leaves what was there as it was.

    The same metadata and files give the same bytes. Files are streamed, not loaded.

    Args:
        path: where, in a folder that exists.
        metadata: takes the place of ``song.ini``. In values, ``;`` becomes a comma, and line breaks become spaces.
        files: names, with ``/`` between folders, and contents.

    Raises:
        ChartError: a key that is empty or holds ``;``, ``=`` or a line break; a name that is unsafe, over 255 bytes,
            or given twice.
        OSError: a file cannot be read, or the ``.sng`` not written.
    """
    files = [(check_name(name), content) for name, content in files]
    check_distinct(name for name, _ in files)
    pairs = b"".join(_packed_text(_checked_key(key)) + _packed_text(_clean(value)) for key, value in metadata.items())
    metadata_section = struct.pack("<Q", len(metadata)) + pairs

    # A mask that depends on nothing but the song.
    digest = hashlib.sha256(metadata_section)
    sizes = []
    for name, content in files:
        digest.update(name.encode())
        size = 0
        for block in _blocks(content):
            digest.update(block)
            size += len(block)
        sizes.append(size)
    mask = digest.digest()[:MASK_BYTES]

    names = [_index_name(name) for name, _ in files]
    index_bytes = 8 + sum(len(name) + 16 for name in names)
    header = SIGNATURE + struct.pack("<I", VERSION) + mask + _section(metadata_section)
    offset = len(header) + 8 + index_bytes + 8
    index = struct.pack("<Q", len(files))
    for name, size in zip(names, sizes):
        index += name + struct.pack("<QQ", size, offset)
        offset += size

    key = _key_of_mask(mask)
    with replacing(Path(path)) as building:
        with building.open("wb") as out:
            out.write(header + _section(index) + struct.pack("<Q", sum(sizes)))
            for (name, content), size in zip(files, sizes):
                position = 0
                for block in _blocks(content):
                    out.write(_masked(block, position, key))
                    position += len(block)
                if position != size:
                    raise ChartError(f"{name} changed while it was packed", file=path)


# Reading


class _Fields:
    """The fields of a stretch of a file; no size is believed before it is checked."""

    def __init__(self, file: BinaryIO, position: int, end: int) -> None:
        self.file, self.position, self.end = file, position, end

    def error(self, reason: str) -> ChartError:
        return ChartError(reason, position=f"byte {self.position}")

    def check(self, size: int, what: str) -> None:
        if not 0 <= size <= self.end - self.position:
            raise self.error(f"{what} of {size} bytes where {self.end - self.position} are left")

    def take(self, size: int, what: str) -> bytes:
        self.check(size, what)
        self.file.seek(self.position)
        data = self.file.read(size)
        if len(data) != size:
            raise self.error(f"{what} cannot be read to its end")
        self.position += size
        return data

    def number(self, layout: str, what: str) -> int:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), what))[0]

    def text(self, size: int, what: str) -> str:
        start = self.position
        try:
            return self.take(size, what).decode()
        except UnicodeDecodeError:
            raise ChartError(f"{what} is not UTF-8", position=f"byte {start}") from None

    def section(self, what: str) -> _Fields:
        """The stretch that its length in front of it gives; this one goes on behind it."""
        length = self.number("Q", f"the length of {what}")
        self.check(length, what)
        section = _Fields(self.file, self.position, self.position + length)
        self.position += length
        return section

    def count(self, least_bytes: int, what: str) -> int:
        if self.end - self.position > MAX_SECTION_BYTES:
            raise self.error(f"{what} take more than {MAX_SECTION_BYTES // 2**20} MiB")
        count = self.number("Q", f"the number of {what}")
        if count > MAX_FILES or count * least_bytes > self.end - self.position:
            raise self.error(f"{count} {what} in {self.end - self.position} bytes")
        return count


def _read(file: BinaryIO, path: Path) -> SngFile:
    size = os.fstat(file.fileno()).st_size
    fields = _Fields(file, 0, size)
    if size < len(SIGNATURE) or fields.take(len(SIGNATURE), "the signature") != SIGNATURE:
        raise ChartError("not a .sng file: it does not start with SNGPKG")
    version = fields.number("I", "the version")
    if version != VERSION:
        raise ChartError(f"a .sng of version {version}; known is {VERSION}")
    mask = fields.take(MASK_BYTES, "the mask")
    metadata = _read_metadata(fields.section("the metadata"))
    index = fields.section("the index")
    data = fields.section("the files")
    files = []
    for _ in range(index.count(LEAST_INDEX_BYTES, "files")):
        start = index.position
        name = index.text(index.number("B", "a name's length"), "a file name")
        try:
            length, offset = index.number("Q", "a file's size"), index.number("Q", "a file's offset")
            if length and not data.position <= offset <= size - length:
                raise ChartError(f"{length} bytes of {name[:100]!r} from byte {offset} on lie outside the files")
            files.append(_SngEntry(path, check_name(name), length, offset, mask))
        except ChartError as error:
            raise error.located(path, f"byte {start}") from None
    check_distinct(entry.name for entry in files)
    _check_disjoint(files)
    return SngFile(metadata, {entry.name: entry for entry in files})


def _read_metadata(section: _Fields) -> dict[str, str]:
    metadata = {}
    for _ in range(section.count(LEAST_PAIR_BYTES, "metadata")):
        key = section.text(section.number("i", "a key's length"), "a key")
        value = section.text(section.number("i", "a value's length"), "a value")
        metadata[key.strip().lower()] = value.strip()
    return metadata


def _check_disjoint(files: Iterable[_SngEntry]) -> None:
    end = 0
    for entry in sorted((entry for entry in files if entry.size), key=lambda entry: entry.offset):
        if entry.offset < end:
            raise ChartError(f"{entry.name!r} overlaps another file", position=f"byte {entry.offset}")
        end = entry.offset + entry.size


@dataclass(frozen=True, slots=True)
class _SngEntry(PackedFile):
    offset: int
    mask: bytes

    def open(self) -> BinaryIO:
        try:
            file = self.archive.open("rb")
        except OSError as error:
            raise ChartError(f"cannot be read ({error.strerror})", file=self.archive) from error
        return io.BufferedReader(_Unmasked(file, self), buffer_size=2**16)


class _Unmasked(io.RawIOBase):
    """The plain bytes of one file of a ``.sng``."""

    def __init__(self, file: BinaryIO, entry: _SngEntry) -> None:
        self._file, self._entry, self._position = file, entry, 0
        self._key = _key_of_mask(entry.mask)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size}[whence]
        if start + offset < 0:
            raise ValueError(f"a seek to {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        size = max(min(len(buffer), self._entry.size - self._position), 0)
        if not size:  # an empty file may be said to lie anywhere
            return 0
        self._file.seek(self._entry.offset + self._position)
        block = self._file.read(size)
        if len(block) != size:
            raise ChartError("the archive has become shorter", file=str(self._entry))
        buffer[:size] = _masked(block, self._position, self._key)
        self._position += size
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


# Writing


def _checked_key(key: str) -> str:
    if not key.strip() or re.search(r"[;=\r\n\0]", key):
        raise ChartError(f"{key[:100]!r} is no key that a .sng holds")
    return key


def _clean(value: object) -> str:
    return re.sub(r"[\r\n\0]+", " ", str(value)).replace(";", ",").strip()


def _packed_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<i", len(data)) + data


def _index_name(name: str) -> bytes:
    data = name.encode()
    if len(data) > MAX_NAME_BYTES:
        raise ChartError(f"a file name of {len(data)} bytes; a .sng holds {MAX_NAME_BYTES}")
    return struct.pack("<B", len(data)) + data


def _section(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _blocks(content: Content) -> Iterator[bytes]:
    with open_content(content) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


# The mask


def _key_of_mask(mask: bytes) -> np.ndarray:
    """What each byte of a file is XORed with, 256 bytes that repeat."""
    return np.resize(np.frombuffer(mask, dtype=np.uint8), 256) ^ np.arange(256, dtype=np.uint8)


def _masked(block: bytes, position: int, key: np.ndarray) -> bytes:
    """A block that starts at this position of its file, masked; a masked one, plain."""
    keys = np.resize(np.roll(key, -(position % len(key))), len(block))
    return (np.frombuffer(block, dtype=np.uint8) ^ keys).tobytes()
