import os
import random
import struct
import tracemalloc
import zlib
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tabhero_hf import TabHeroTokenizer
from tabhero_hf.charts import Difficulty, Instrument
from tabhero_hf.data import tab_file
from tabhero_hf.data.tab_file import (
    GENRES,
    MAX_BYTES,
    TabFile,
    TabFileError,
    content_hash,
    format_tab,
    parse_tab,
    read_tab,
    write_tab,
)

COPIES = Path(__file__).parent.parent / "fixtures" / "tab"
SHARED = os.environ.get("TABHERO_SHARED_FIXTURES")
FOLDER = Path(SHARED) / "tab" if SHARED else COPIES
ORIGINALS = sorted(FOLDER.glob("*.tab"))
ORIGINAL = COPIES / "8dfe1f6620965478.tab"

NEWER = {"version": 4, "difficulty": 6, "instrument": 7, "genre": 8, "mark": 9, "rate": 10, "hop": 14, "bands": 18}
NEWER |= {"frames": 22, "tokens": 26, "hash": 30, "song": 46, "compressed": 50, "mel": 54}
OLDER = {"version": 4, "difficulty": 6, "instrument": 7, "rate": 8, "hop": 12, "bands": 16, "frames": 20, "tokens": 24}
OLDER |= {"hash": 28, "compressed": 44, "mel": 48}


def made_tab(**changes):
    mel = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float16)
    tokens = np.array([1, 3, 504, 631, 649, 53, 630, 638, 739, 2], np.int16)
    return TabFile(**{"difficulty": 3, "instrument": 1, "mel": mel, "tokens": tokens, **changes})


def older_bytes(tab):
    """A file of the older layout, as the README of the fixtures gives it."""
    frames, bands = tab.mel.shape
    mel = zlib.compress(tab.mel.T.astype("<f2").tobytes())
    header = (b"TABH", 1, tab.difficulty, tab.instrument, tab.sample_rate, tab.hop_length, bands, frames)
    header += (len(tab.tokens), tab.content_hash.encode(), len(mel))
    return struct.pack("<4sHBBIIIII16sI", *header) + mel + tab.tokens.astype("<i2").tobytes()


def changed(data, position, replacement):
    return data[:position] + replacement + data[position + len(replacement) :]


def u32(value):
    return struct.pack("<I", value)


def with_mel(tab, compressed):
    """A newer file with other bytes in place of its compressed mel."""
    data = format_tab(tab)
    return changed(data[: NEWER["mel"]], NEWER["compressed"], u32(len(compressed))) + compressed + tab.tokens.tobytes()


def raw_mel(tab):
    return tab.mel.T.tobytes()


def assert_same(read, tab, layout="newer"):
    assert read.layout == layout
    for name in ("difficulty", "instrument", "genre", "sample_rate", "hop_length", "content_hash", "song_id"):
        assert getattr(read, name) == getattr(tab, name), name
    assert read.floored_times == tab.floored_times
    for name in ("mel", "tokens"):
        array, expected = getattr(read, name), getattr(tab, name)
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert array.tobytes() == expected.tobytes(), name  # to the bit: -0.0 is not 0.0


def peak_memory(function, *arguments):
    tracemalloc.start()
    try:
        with pytest.raises(TabFileError) as error:
            function(*arguments)
        return tracemalloc.get_traced_memory()[1], error.value
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.stem)
def test_the_originals_files_are_read_and_written_again(path, tmp_path):
    tab = read_tab(path)
    assert (tab.layout, tab.content_hash, tab.floored_times) == ("older", path.stem, True)
    assert (tab.sample_rate, tab.hop_length, tab.genre, tab.song_id) == (22050, 256, 0, 0)
    assert tab.mel.shape in [(431, 128), (259, 128)] and tab.mel.flags.c_contiguous
    assert abs(tab.mel.mean(dtype=float)) < 1e-3 and abs(tab.mel.std(dtype=float) - 1) < 1e-3
    # The songs are steady tones: a band differs from its neighbours far more than a frame does.
    assert tab.mel.astype(float).mean(axis=0).std() > 2 * tab.mel.astype(float).mean(axis=1).std()
    notes = TabHeroTokenizer().decode_notes(tab.tokens)
    assert notes and notes[-1][0] < len(tab.mel) * tab.hop_length / tab.sample_rate

    write_tab(tab, tmp_path / path.name)
    assert_same(read_tab(tmp_path / path.name), tab)
    assert older_bytes(tab)[: OLDER["mel"] - 4] == path.read_bytes()[: OLDER["mel"] - 4]


def test_floored_times_are_kept_and_said():
    tab = read_tab(ORIGINAL)
    assert tab.difficulty is Difficulty.HARD and tab.instrument is Instrument.KEYS
    onsets = [round(note[0], 2) for note in TabHeroTokenizer().decode_notes(tab.tokens)]
    assert onsets == [0, 0.25, 0.5, 1, 1.12, 1.24, 1.36, 1.48]  # eighths of a second, of which 0.02 s are lost
    assert format_tab(tab)[NEWER["mark"]] == 0 and parse_tab(format_tab(tab)).floored_times
    ours = made_tab()
    assert format_tab(ours)[NEWER["mark"]] == 1 and not parse_tab(format_tab(ours)).floored_times


def test_the_newer_header_is_where_it_should_be():
    tab = made_tab(genre=12, song_id=2**32 - 1, sample_rate=44100, hop_length=512)
    data = format_tab(tab)
    assert data[:10] == b"TABH\1\0\3\1\x0c\1"
    assert struct.unpack_from("<5I", data, NEWER["rate"]) == (44100, 512, 12, 50, 10)
    assert data[NEWER["hash"] : NEWER["song"]] == tab.content_hash.encode()
    song_id, compressed = struct.unpack_from("<2I", data, NEWER["song"])
    assert song_id == 2**32 - 1
    mel = zlib.decompress(data[NEWER["mel"] : NEWER["mel"] + compressed])
    np.testing.assert_array_equal(np.frombuffer(mel, "<f2").reshape(12, 50).T, tab.mel)
    np.testing.assert_array_equal(np.frombuffer(data, "<i2", offset=NEWER["mel"] + compressed), tab.tokens)


def test_genres_are_the_originals():
    assert len(GENRES) == 16
    assert [GENRES[i] for i in (0, 1, 6, 11, 12, 15)] == [
        "unknown",
        "rock",
        "electronic",
        "classical",
        "hiphop",
        "other",
    ]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_tab(made_tab(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == format_tab(made_tab())
    assert parse_tab(bytearray(format_tab(made_tab()))).content_hash == made_tab().content_hash


def test_the_hash_names_the_content():
    tab = made_tab()
    content = b"\3\1" + u32(12) + u32(50) + raw_mel(tab) + tab.tokens.tobytes()
    assert tab.content_hash == content_hash(tab.mel, tab.tokens, 3, 1) == blake2b(content, digest_size=8).hexdigest()
    others = [
        made_tab(difficulty=2),
        made_tab(instrument=0),
        made_tab(tokens=tab.tokens[:-1]),
        made_tab(mel=-tab.mel),
        made_tab(mel=tab.mel.T.copy().reshape(tab.mel.shape)),
        made_tab(mel=tab.mel.T.reshape(25, 24).T.copy()),
    ]
    assert len({tab.content_hash, *(other.content_hash for other in others)}) == 7
    assert made_tab(genre=3, song_id=8).content_hash == tab.content_hash
    assert replace(tab, difficulty=2).content_hash == tab.content_hash
    assert replace(tab, difficulty=2, content_hash=None).content_hash == others[0].content_hash
    assert parse_tab(format_tab(replace(tab, content_hash="0123456789ABCDEF"))).content_hash == "0123456789ABCDEF"


@given(
    st.builds(
        TabFile,
        difficulty=st.integers(0, 3),
        instrument=st.integers(0, 3),
        mel=arrays(
            np.float16,
            array_shapes(min_dims=2, max_dims=2, max_side=20),
            elements=st.floats(allow_nan=False, allow_infinity=False, width=16),
        ),
        tokens=arrays(np.int16, st.integers(0, 30), elements=st.integers(0, 739)),
        sample_rate=st.integers(1000, 768_000),
        hop_length=st.integers(1, 2**16),
        genre=st.integers(0, 15),
        song_id=st.integers(0, 2**32 - 1),
        floored_times=st.booleans(),
    )
)
def test_round_trip(tab):
    data = format_tab(tab)
    assert_same(parse_tab(data), tab)
    assert format_tab(parse_tab(data)) == data
    older = replace(tab, genre=0, song_id=0, floored_times=True)
    assert_same(parse_tab(older_bytes(older)), older, layout="older")


def test_arrays_in_any_memory_order_are_the_same():
    tab = made_tab()
    assert format_tab(made_tab(mel=np.asfortranarray(tab.mel))) == format_tab(tab)
    tokens = np.repeat(tab.tokens, 2)[::2]
    assert format_tab(made_tab(tokens=tokens)) == format_tab(tab)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"difficulty": 4}, "difficulty 4 is not 0 to 3"),
        ({"difficulty": -1}, "difficulty -1"),
        ({"difficulty": "expert"}, "difficulty 'expert'"),
        ({"instrument": Instrument.COOP}, "instrument .*COOP.* is not 0 to 3"),
        ({"genre": 16}, "genre 16 is not 0 to 15"),
        ({"genre": 1.0}, "genre 1.0"),
        ({"song_id": np.int64(2**32)}, "song id .*4294967296.* is not"),
        ({"sample_rate": 0}, "sample rate 0"),
        ({"hop_length": 2**17}, "hop length"),
        ({"content_hash": "0123456789abcdeg"}, "16 hex digits"),
        ({"content_hash": "0123456789abcdeé"}, "16 hex digits"),
        ({"content_hash": "0123456789abcdef\n"}, "16 hex digits"),
        ({"content_hash": b"0123456789abcdef"}, "16 hex digits"),
        ({"mel": np.zeros((4, 3), np.float32)}, r"mel is float32 \(4, 3\), not float16"),
        ({"mel": np.zeros(4, np.float16)}, r"mel is float16 \(4,\)"),
        ({"mel": [[0.0]]}, "mel is of type list"),
        ({"mel": np.zeros((0, 3), np.float16)}, "frames 0"),
        ({"mel": np.zeros((3, 0), np.float16)}, "bands 0"),
        ({"mel": np.broadcast_to(np.float16(0), (2**19, 1024))}, "larger than 268435456 values"),
        ({"mel": np.array([[0, 1], [0, np.nan]], np.float16)}, "mel is nan at frame 1, band 1"),
        ({"mel": np.array([[0, -np.inf], [0, np.nan]], np.float16)}, "mel is -inf at frame 0, band 1"),
        ({"tokens": np.array([1, 740, -1], np.int16)}, r"token 1 is 740, outside the vocabulary \(0 to 739\)"),
        ({"tokens": np.array([1, 2])}, "tokens are int64"),
        ({"tokens": np.broadcast_to(np.int16(1), 2**24 + 1)}, "tokens 16777217"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(changes, reason):
    with pytest.raises(TabFileError, match=reason) as error:
        made_tab(**changes)
    assert error.value.position is None and error.value.file is None


def test_an_array_changed_later_is_not_written(tmp_path):
    tab = made_tab()
    tab.mel[3, 4] = np.inf
    with pytest.raises(TabFileError, match="mel is inf at frame 3, band 4"):
        write_tab(tab, tmp_path / "a.tab")
    assert not list(tmp_path.iterdir())


def test_writing_replaces_the_whole_file_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.tab"
    write_tab(made_tab(), path)
    write_tab(made_tab(difficulty=0), path)
    assert read_tab(path).difficulty is Difficulty.EASY
    write_half = Path.write_bytes

    def fail(file, data):
        write_half(file, data[: len(data) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tab(made_tab(), path)
    assert list(tmp_path.iterdir()) == [path]
    assert read_tab(path).difficulty is Difficulty.EASY


NAN_MEL = np.zeros((12, 50), np.float16)
NAN_MEL[7, 30] = np.nan
RAW = raw_mel(made_tab())
PACKED = zlib.compress(RAW)
NEWER_DATA = format_tab(made_tab())
TOKENS = len(NEWER_DATA) - 20


@pytest.mark.parametrize(
    ("data", "position", "reason"),
    [
        (b"", 0, "begins with b'' and not with"),
        (b"SNGPKG" + NEWER_DATA, 0, "begins with b'SNGP'"),
        (changed(NEWER_DATA, 4, b"\2"), 4, "version 2"),
        (changed(NEWER_DATA, 6, b"\4"), 6, "difficulty 4"),
        (changed(NEWER_DATA, 7, b"\xff"), 7, "instrument 255"),
        (changed(NEWER_DATA, 8, b"\x10"), 8, "genre 16"),
        (changed(NEWER_DATA, 9, b"\2"), 9, "time mark 2"),
        (changed(NEWER_DATA, 10, u32(0)), 10, "sample rate 0"),
        (changed(NEWER_DATA, 14, u32(0)), 14, "hop length 0"),
        (changed(NEWER_DATA, 18, u32(0)), 18, "bands 0"),
        (changed(NEWER_DATA, 18, u32(2**32 - 1)), 18, "bands 4294967295"),
        (changed(NEWER_DATA, 22, u32(0)), 22, "frames 0"),
        (changed(NEWER_DATA, 22, u32(2**32 - 1)), 22, "frames 4294967295"),
        (changed(NEWER_DATA, 18, u32(1024) + u32(2**20)), 18, "larger than 268435456 values"),
        (changed(NEWER_DATA, 26, u32(2**32 - 1)), 26, "tokens 4294967295"),
        (changed(NEWER_DATA, 26, u32(11)), len(NEWER_DATA), "cut short"),
        (changed(NEWER_DATA, 26, u32(9)), len(NEWER_DATA) - 2, "something follows its end"),
        (changed(NEWER_DATA, 30, b"\0"), 30, "content hash .* is not 16 hex digits"),
        (changed(NEWER_DATA, 31, b"\xe9"), 30, "content hash .* is not 16 hex digits"),
        (changed(NEWER_DATA, 50, u32(2**32 - 1)), len(NEWER_DATA), "cut short"),
        (changed(NEWER_DATA, 50, u32(0)), None, "something follows its end"),
        (NEWER_DATA[:-1], len(NEWER_DATA) - 1, "cut short"),
        (NEWER_DATA + b"\0", len(NEWER_DATA), "something follows its end"),
        (NEWER_DATA[:53], 53, "ends within the header of 54 bytes"),
        (older_bytes(made_tab())[:47], 47, "ends within the header of 48 bytes"),
        (older_bytes(made_tab())[:-1], None, "cut short"),
        (changed(older_bytes(made_tab()), 8, u32(0)), 8, "sample rate 0"),
        (changed(NEWER_DATA, TOKENS + 4, b"\xe4\2"), TOKENS + 4, "token 2 is 740"),
        (changed(NEWER_DATA, TOKENS, b"\xff\xff"), TOKENS, "token 0 is -1"),
        (with_mel(made_tab(), b""), 50, "a mel of 1200 bytes cannot be compressed to 0"),
        (with_mel(made_tab(), b"\0" * 30), 54, "cannot be inflated"),
        (with_mel(made_tab(), PACKED[:-1]), 54, "the compressed mel is cut short"),
        (with_mel(made_tab(), PACKED[:-200]), 54, r"inflates to \d+ bytes, not 1200"),
        (with_mel(made_tab(), zlib.compress(RAW[:-1])), 54, "inflates to 1199 bytes, not 1200"),
        (with_mel(made_tab(), zlib.compress(RAW + b"\0")), 54, "inflates to more than 1200 bytes"),
        (with_mel(made_tab(), PACKED + b"\0"), 54, "something follows the compressed mel"),
        (with_mel(made_tab(), PACKED + PACKED), 54, "something follows the compressed mel"),
        (with_mel(made_tab(), PACKED[:-1] + b"\0"), 54, "cannot be inflated"),
        (with_mel(made_tab(), zlib.compress(NAN_MEL.tobytes())), 54, "mel is nan at frame 30, band 7"),
    ],
)
def test_bad_files_are_refused_with_place_and_reason(data, position, reason, tmp_path):
    with pytest.raises(TabFileError, match=reason) as error:
        parse_tab(data)
    if position is not None:
        assert error.value.position == position
    path = tmp_path / "bad.tab"
    path.write_bytes(data)
    with pytest.raises(TabFileError) as read_error:
        read_tab(path)
    assert (read_error.value.reason, read_error.value.file) == (error.value.reason, str(path))
    assert str(read_error.value) == f"{path}, byte {error.value.position}: {error.value.reason}"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(TabFileError, match="no.tab: no such file"):
        read_tab(tmp_path / "no.tab")
    with pytest.raises(TabFileError, match="cannot be read"):
        read_tab(tmp_path)


@pytest.mark.parametrize("layout", ["newer", "older"])
def test_every_truncation_is_refused(layout):
    data = {"newer": format_tab, "older": older_bytes}[layout](made_tab())
    for length in [*range(120), *range(len(data) - 40, len(data))]:
        with pytest.raises(TabFileError) as error:
            parse_tab(data[:length])
        assert error.value.position <= max(length, 4)


@pytest.mark.parametrize("layout", ["newer", "older"])
def test_damaged_files_are_refused_or_read_in_the_same_shape(layout):
    data = {"newer": format_tab(read_tab(ORIGINAL)), "older": ORIGINAL.read_bytes()}[layout]
    header = (NEWER if layout == "newer" else OLDER)["mel"]
    shape = read_tab(ORIGINAL).mel.shape
    chance = random.Random(0)
    positions = [(position, 1 << bit) for position in range(header) for bit in range(8)]
    positions += [(chance.randrange(header, len(data)), chance.randrange(1, 256)) for _ in range(200)]
    positions += [(chance.randrange(len(data) - 68, len(data)), chance.randrange(1, 256)) for _ in range(100)]
    refused = 0
    for position, flip in positions:
        damaged = bytearray(data)
        damaged[position] ^= flip
        try:
            tab = parse_tab(damaged)
        except TabFileError:
            refused += 1
        else:
            assert (tab.mel.shape, tab.tokens.shape, tab.layout) == (shape, (34,), layout)
    assert refused > len(positions) / 2


def test_a_zlib_bomb_is_not_inflated():
    bomb = zlib.compress(bytes(2**26), 9)
    peak, error = peak_memory(parse_tab, with_mel(made_tab(), bomb))
    assert "inflates to more than 1200 bytes" in error.reason
    assert peak < 4 * len(bomb) and peak < 2**19


def test_sizes_that_lie_take_no_memory(tmp_path):
    path = tmp_path / "lie.tab"
    lies = [
        changed(NEWER_DATA, NEWER["frames"], u32(2**23)),
        changed(NEWER_DATA, NEWER["tokens"], u32(2**24)),
        changed(NEWER_DATA, NEWER["compressed"], u32(2**30)),
        changed(older_bytes(made_tab()), OLDER["frames"], u32(2**23)),
    ]
    for data in lies:
        path.write_bytes(data)
        assert peak_memory(read_tab, path)[0] < 2**17


def test_a_large_file_is_refused_by_its_header(tmp_path):
    path = tmp_path / "large.tab"
    with path.open("wb") as file:
        file.write(NEWER_DATA)
        file.truncate(2**28)  # sparse
    peak, error = peak_memory(read_tab, path)
    assert peak < 2**17 and "something follows its end" in error.reason
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    assert "more than any .tab file" in peak_memory(read_tab, path)[1].reason


def test_a_mel_of_many_blocks_takes_its_memory_once(tmp_path, monkeypatch):
    mel = np.random.default_rng(1).normal(size=(20_000, 128)).astype(np.float16)
    mel[:, 10:100] = 0  # blocks that inflate from little and from much
    path = tmp_path / "a.tab"
    write_tab(made_tab(mel=mel), path)
    tracemalloc.start()
    tab = read_tab(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(tab.mel, mel)
    assert peak < path.stat().st_size + 2 * mel.nbytes
    monkeypatch.setattr(tab_file, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(tab_file, "_INPUT_BYTES", 1000)
    np.testing.assert_array_equal(read_tab(path).mel, mel)
