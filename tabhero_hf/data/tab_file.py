"""The ``.tab`` file: one chart of one song, as a mel spectrogram and note tokens.

The original Tab Hero's preprocessor writes two layouts, both as version 1. All numbers are little-endian:

====== ====== ====================== ================================================================================
newer  older  type                   field
====== ====== ====================== ================================================================================
0      0      4 bytes                ``TABH``
4      4      u16                    version, 1
6      6      u8                     difficulty: 0 easy to 3 expert
7      7      u8                     instrument: 0 lead, 1 bass, 2 rhythm, 3 keys
8             u8                     genre, a place in ``GENRES``
9             u8                     time mark: 0 the original's floored times, 1 rounded ones (see below)
10     8      u32                    sample rate in Hz
14     12     u32                    hop length in samples
18     16     u32                    mel bands
22     20     u32                    frames
26     24     u32                    tokens
30     28     16 hex digits          content hash
46            u32                    song id, the same for all charts of a song
50     44     u32                    bytes of the compressed mel
54     48     zlib of float16        mel, ``(bands, frames)`` row by row
..     ..     i16                    tokens, up to the end of the file
====== ====== ====================== ================================================================================

**Which layout.** A file has the layout under which every field is plausible (``_LIMITS``, 16 hex digits as the hash)
and header, mel and tokens together are exactly as long as the file. It cannot be both: with hex digits at 28 to 43,
the upper half of the newer layout's token count (28 and 29) says at least 0x30300000, far above ``MAX_TOKENS``. Where
neither fits, the error is about the one with fewer things wrong.

**Whose times.** The original floors the time between two notes to 10 ms, so that its tokens lag more and more behind
the song; [`TabHeroTokenizer`] rounds absolute times. No field of the original tells which. Its newer layout has one
reserved byte, which it leaves 0; files with rounded times have a 1 there, and all others, every file of the older
layout among them, are taken for the original's. A 0 is thus no proof of floored times, but a 1 is one of rounded ones.
"""

from __future__ import annotations

import operator
import os
import re
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np

from ..charts.notes import Difficulty, Instrument
from ..charts.packed import replacing
from ..tokenization_tabhero import LAYOUT

GENRES = (
    "unknown",
    "rock",
    "metal",
    "alternative",
    "punk",
    "pop",
    "electronic",
    "indie",
    "country",
    "blues",
    "jazz",
    "classical",
    "hiphop",
    "reggae",
    "folk",
    "other",
)

MAX_MEL_VALUES = 2**28
"""Frames times bands, 512 MiB: at 22050 Hz, hop 256 and 128 bands over six hours, the longest audio that is read."""

MAX_TOKENS = 2**24
"""Four million notes."""

MAX_BYTES = 2**30
"""No file within the limits above is as large, even if nothing in it could be compressed."""

MAX_INFLATION = 1032
"""Deflate's shortest code is two bits for 258 bytes: no stream inflates to more than this many times itself."""

_MAGIC = b"TABH"
_VERSION = 1
_VOCABULARY = LAYOUT.duration.stop
_ZLIB_LEVEL = 6  # the original's, so that its mels are written as they were
_INPUT_BYTES = 2**18
_BLOCK_BYTES = 2**20

_START = {"magic": "4s", "version": "H", "difficulty": "B", "instrument": "B"}
_SIZES = {"sample_rate": "I", "hop_length": "I", "bands": "I", "frames": "I", "tokens": "I", "content_hash": "16s"}
_LAYOUTS = {
    "newer": {**_START, "genre": "B", "time_mark": "B", **_SIZES, "song_id": "I", "compressed_size": "I"},
    "older": {**_START, **_SIZES, "compressed_size": "I"},
}

# Wide enough for any spectrogram, and too narrow for a field that is read two bytes off.
_LIMITS = {
    "difficulty": range(len(Difficulty)),
    "instrument": range(Instrument.KEYS + 1),
    "genre": range(len(GENRES)),
    "time_mark": range(2),
    "sample_rate": range(1000, 768_001),
    "hop_length": range(1, 2**16 + 1),
    "bands": range(1, 1025),
    "frames": range(1, 2**23 + 1),
    "tokens": range(MAX_TOKENS + 1),
    "song_id": range(2**32),
}


class TabFileError(ValueError):
    """A ``.tab`` file, or what is to become one, is not what it has to be.

    Args:
        reason: what is wrong, in one phrase.
        file: the file it was found in, if it came from one.
        position: byte in the file at which the part that is wrong begins. For the mel, which is compressed, this is
            where its compressed bytes begin.

    The message is ``"{file}, byte {position}: {reason}"`` without the parts that are not known; all three are
    attributes.
    """

    def __init__(
        self, reason: str, *, file: str | os.PathLike[str] | None = None, position: int | None = None
    ) -> None:
        self.reason = reason
        self.file = None if file is None else os.fspath(file)
        self.position = position
        where = ", ".join(part for part in (self.file, None if position is None else f"byte {position}") if part)
        super().__init__(f"{where}: {reason}" if where else reason)

    def located(self, *, file: str | os.PathLike[str] | None = None, position: int | None = None) -> TabFileError:
        """The same error with the places it lacked when it was raised."""
        return TabFileError(
            self.reason, file=self.file or file, position=position if self.position is None else self.position
        )


@dataclass(frozen=True, eq=False)
class TabFile:
    """One chart of one song.

    Args:
        difficulty: easy to expert.
        instrument: lead, bass, rhythm or keys; the others have no place in the format.
        mel: log-mel spectrogram, float16 ``(frames, bands)``. In the file it lies the other way round.
        tokens: note tokens of the whole song, int16 ``(tokens,)``, ids of [`TabHeroTokenizer`]. They are kept as they
            are: whether they obey its grammar is for the reader of the notes to see.
        sample_rate: of the audio, in Hz.
        hop_length: audio samples from one frame to the next.
        genre: a place in ``GENRES``; 0, unknown, for the older layout.
        song_id: 0 to 2**32 - 1, the same for all charts of a song; 0 for the older layout, which does not say.
        floored_times: the tokens' times are the original's, which floors the time between notes and so lags behind
            the song more and more, or may be: no file of the original says. False only where a file says that its
            times are rounded.
        content_hash: 16 hex digits that name the chart; ``content_hash()`` of it if not given. Whatever another tool
            wrote there is kept and never compared with the content: ``dataclasses.replace`` keeps it too, unless
            told ``content_hash=None``.
        layout: the layout it was read from. Files are written in the newer one.

    Raises:
        TabFileError: something here is outside the limits of the format, the wrong type or shape, or not finite.
    """

    difficulty: Difficulty
    instrument: Instrument
    mel: np.ndarray
    tokens: np.ndarray
    sample_rate: int = 22050
    hop_length: int = 256
    genre: int = 0
    song_id: int = 0
    floored_times: bool = False
    content_hash: str | None = None
    layout: Literal["newer", "older"] = "newer"

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "difficulty", Difficulty(self.difficulty))
        object.__setattr__(self, "instrument", Instrument(self.instrument))
        if self.content_hash is None:
            made = content_hash(self.mel, self.tokens, self.difficulty, self.instrument)
            object.__setattr__(self, "content_hash", made)


def content_hash(mel: np.ndarray, tokens: np.ndarray, difficulty: int, instrument: int) -> str:
    """The name of a chart: 16 hex digits, the same for the same content wherever it is written.

    Args:
        mel: float16 ``(frames, bands)``.
        tokens: int16 ``(tokens,)``.
        difficulty: 0 to 3.
        instrument: 0 to 3.

    They are BLAKE2b-64 (RFC 7693) of difficulty and instrument (u8), bands and frames (u32), then mel and tokens as
    the file has them uncompressed. The original's are made in another way.
    """
    frames, bands = mel.shape
    made = blake2b(struct.pack("<BBII", difficulty, instrument, bands, frames), digest_size=8)
    made.update(_band_major(mel))
    made.update(np.ascontiguousarray(tokens, "<i2"))
    return made.hexdigest()


def read_tab(path: str | os.PathLike[str]) -> TabFile:
    """A ``.tab`` file of either layout.

    No more memory is taken than about the file's size and twice the mel's, and none for the content of a file whose
    header does not agree with its size.

    Raises:
        TabFileError: there is no such file, it cannot be read, or as for ``parse_tab``.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _read_header(file.read(_header_size("newer")), size)
            file.seek(0)
            data = file.read(size)
        return parse_tab(data)
    except FileNotFoundError:
        raise TabFileError("no such file", file=path) from None
    except OSError as error:
        raise TabFileError(f"cannot be read ({error.strerror})", file=path) from error
    except TabFileError as error:
        raise error.located(file=path) from error.__cause__


def parse_tab(data: bytes | bytearray | memoryview) -> TabFile:
    """The content of a ``.tab`` file of either layout, which may come from anyone.

    Raises:
        TabFileError: it is no ``.tab`` file of version 1, is cut short or goes on behind its end, has a field outside
            the format's limits, a mel that cannot be inflated to just the size it should have or is not finite, or
            tokens outside the vocabulary.
    """
    data = memoryview(data).cast("B")
    layout, header = _read_header(bytes(data[: _header_size("newer")]), len(data))
    mel_start = _header_size(layout)
    tokens_start = mel_start + header["compressed_size"]
    tokens = np.frombuffer(data, "<i2", offset=tokens_start).astype(np.int16)
    wrong = _wrong_token(tokens)
    if wrong is not None:
        raise TabFileError(_describe_token(tokens, wrong), position=tokens_start + 2 * wrong)
    try:
        return TabFile(
            difficulty=header["difficulty"],
            instrument=header["instrument"],
            mel=_inflate_mel(data[mel_start:tokens_start], header["bands"], header["frames"]),
            tokens=tokens,
            sample_rate=header["sample_rate"],
            hop_length=header["hop_length"],
            genre=header.get("genre", 0),
            song_id=header.get("song_id", 0),
            floored_times=not header.get("time_mark", 0),
            content_hash=header["content_hash"].decode("ascii"),
            layout=layout,
        )
    except TabFileError as error:  # all but the mel was checked above
        raise error.located(position=mel_start) from error.__cause__


def write_tab(tab: TabFile, path: str | os.PathLike[str]) -> None:
    """Writes a ``.tab`` file in the newer layout. Readers see the old file or the new one, never a part.

    Raises:
        TabFileError: as for ``format_tab``.
        OSError: the file cannot be written; an old one is as it was.
    """
    data = format_tab(tab)
    with replacing(Path(path)) as building:
        building.write_bytes(data)


def format_tab(tab: TabFile) -> bytes:
    """The bytes of a ``.tab`` file in the newer layout: the same for the same content and the same zlib.

    Raises:
        TabFileError: an array was changed to something that ``TabFile`` would not have taken.
    """
    _check(tab)
    frames, bands = tab.mel.shape
    mel = zlib.compress(_band_major(tab.mel), _ZLIB_LEVEL)
    header = {
        "magic": _MAGIC,
        "version": _VERSION,
        "difficulty": tab.difficulty,
        "instrument": tab.instrument,
        "genre": tab.genre,
        "time_mark": 0 if tab.floored_times else 1,
        "sample_rate": tab.sample_rate,
        "hop_length": tab.hop_length,
        "bands": bands,
        "frames": frames,
        "tokens": len(tab.tokens),
        "content_hash": tab.content_hash.encode("ascii"),
        "song_id": tab.song_id,
        "compressed_size": len(mel),
    }
    fields = _LAYOUTS["newer"]
    packed = struct.pack(_header_format(fields), *(header[name] for name in fields))
    return b"".join((packed, mel, tab.tokens.astype("<i2", copy=False).tobytes()))


def _band_major(mel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(mel.T, "<f2")


def _header_format(fields: dict[str, str]) -> str:
    return "<" + "".join(fields.values())


def _header_size(layout: str) -> int:
    return struct.calcsize(_header_format(_LAYOUTS[layout]))


def _read_header(head: bytes, size: int) -> tuple[str, dict]:
    """The layout and the fields of a file of ``size`` bytes that begins with ``head``."""
    if head[:4] != _MAGIC:
        raise TabFileError(f"begins with {head[:4]!r} and not with {_MAGIC!r}", position=0)
    if size > MAX_BYTES:
        raise TabFileError(f"{size} bytes, which is more than any .tab file has", position=MAX_BYTES)
    if len(head) >= 6 and (version := struct.unpack_from("<H", head, 4)[0]) != _VERSION:
        raise TabFileError(f"version {version}; known is {_VERSION}", position=4)

    complaints = []
    for layout, fields in _LAYOUTS.items():
        form = _header_format(fields)
        length = struct.calcsize(form)
        # A header that is cut short is still compared, to tell which layout it is of.
        header = dict(zip(fields, struct.unpack(form, head[:length].ljust(length, b"\0")), strict=True))
        problems = _header_problems(header, fields, size)
        if not problems:
            return layout, header
        complaints.append(problems)
    position, reason = min(complaints, key=len)[0]
    raise TabFileError(reason, position=position)


def _header_problems(header: dict, fields: dict[str, str], size: int) -> list[tuple[int, str]]:
    """Positions and reasons of all that is wrong with a header if it has these fields."""
    positions, position = {}, 0
    for name, form in fields.items():
        positions[name] = position
        position += struct.calcsize("<" + form)
    problems = [
        (positions[name], _outside(name, header[name]))
        for name in fields
        if name in _LIMITS and not _is_inside(name, header[name])
    ]
    if not _is_hash(header["content_hash"].decode("latin-1")):
        problems.append((positions["content_hash"], f"content hash {header['content_hash']!r} is not 16 hex digits"))
    if size < position:
        problems.insert(0, (size, f"ends within the header of {position} bytes"))

    values = header["bands"] * header["frames"]
    if values > MAX_MEL_VALUES:
        problems.append((positions["bands"], _too_large(header["frames"], header["bands"])))
    total = position + header["compressed_size"] + 2 * header["tokens"]
    if total != size:
        verdict = "it is cut short" if size < total else "something follows its end"
        problems.append((min(size, total), f"header, mel and tokens take {total} bytes of {size}: {verdict}"))
    if 2 * values > MAX_INFLATION * header["compressed_size"]:
        reason = f"a mel of {2 * values} bytes cannot be compressed to {header['compressed_size']}"
        problems.append((positions["compressed_size"], reason))
    return problems


def _inflate_mel(payload: memoryview, bands: int, frames: int) -> np.ndarray:
    """The mel ``(frames, bands)`` from compressed bytes, block by block, so that it is in memory only once."""
    inflater = zlib.decompressobj()
    position = 0

    def inflate(size: int) -> bytes:
        nonlocal position
        parts = []
        while size and not inflater.eof:
            source = inflater.unconsumed_tail
            if not source:
                source = payload[position : position + _INPUT_BYTES]
                position += len(source)
            part = inflater.decompress(source, size)
            if not part and not source:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    mel = np.empty((frames, bands), np.float16)
    step = max(1, _BLOCK_BYTES // (2 * frames))
    try:
        for start in range(0, bands, step):
            count = min(step, bands - start)
            block = inflate(2 * frames * count)
            if len(block) < 2 * frames * count:
                done = 2 * frames * start + len(block)
                raise TabFileError(f"the mel inflates to {done} bytes, not {2 * frames * bands}")
            mel[:, start : start + count] = np.frombuffer(block, "<f2").reshape(count, frames).T
        # What is left of the stream is its checksum, which is compared only when it is read.
        if inflate(1):
            raise TabFileError(f"the mel inflates to more than {2 * frames * bands} bytes")
    except zlib.error as error:
        raise TabFileError(f"the mel cannot be inflated ({error})") from error
    if not inflater.eof:
        raise TabFileError("the compressed mel is cut short")
    if inflater.unused_data or position < len(payload):
        raise TabFileError("something follows the compressed mel within its bytes")
    return mel


def _check(tab: TabFile) -> None:
    mel, tokens = tab.mel, tab.tokens
    if not isinstance(mel, np.ndarray) or mel.dtype != np.float16 or mel.ndim != 2:
        raise TabFileError(f"the mel is {_describe_array(mel)}, not float16 (frames, bands)")
    if not isinstance(tokens, np.ndarray) or tokens.dtype != np.int16 or tokens.ndim != 1:
        raise TabFileError(f"the tokens are {_describe_array(tokens)}, not int16 (tokens,)")
    frames, bands = mel.shape
    sizes = {"bands": bands, "frames": frames, "tokens": len(tokens)}
    for name in _LIMITS:
        value = sizes[name] if name in sizes else getattr(tab, name, 0)
        if not _is_inside(name, value):
            raise TabFileError(_outside(name, value))
    if frames * bands > MAX_MEL_VALUES:
        raise TabFileError(_too_large(frames, bands))
    if tab.content_hash is not None and not _is_hash(tab.content_hash):
        raise TabFileError(f"content hash {tab.content_hash!r} is not 16 hex digits")
    if (wrong := _wrong_token(tokens)) is not None:
        raise TabFileError(_describe_token(tokens, wrong))
    finite = np.isfinite(mel)
    if not finite.all():
        frame, band = np.unravel_index(finite.argmin(), finite.shape)
        raise TabFileError(f"the mel is {mel[frame, band]} at frame {frame}, band {band}")


def _is_inside(name: str, value: object) -> bool:
    # `in` would walk through the range for a number of numpy's.
    return hasattr(value, "__index__") and _LIMITS[name][0] <= operator.index(value) <= _LIMITS[name][-1]


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9A-Fa-f]{16}", text) is not None


def _wrong_token(tokens: np.ndarray) -> int | None:
    wrong = (tokens < 0) | (tokens >= _VOCABULARY)
    return int(wrong.argmax()) if wrong.any() else None


def _describe_token(tokens: np.ndarray, index: int) -> str:
    return f"token {index} is {tokens[index]}, outside the vocabulary (0 to {_VOCABULARY - 1})"


def _describe_array(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"


def _outside(name: str, value: object) -> str:
    limits = _LIMITS[name]
    return f"{name.replace('_', ' ')} {value!r} is not {limits[0]} to {limits[-1]}"


def _too_large(frames: int, bands: int) -> str:
    return f"a mel of {frames} frames x {bands} bands is larger than {MAX_MEL_VALUES} values"
