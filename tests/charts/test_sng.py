import random
import struct
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabhero_hf.charts import ChartError, read_sng, read_song, write_sng, write_song

MASK = bytes(range(3, 19))


def masked(content, mask=MASK):
    return bytes(byte ^ mask[i % 16] ^ (i & 0xFF) for i, byte in enumerate(content))


def section(data):
    return struct.pack("<Q", len(data)) + data


def text(value):
    return struct.pack("<i", len(value.encode())) + value.encode()


def by_hand(metadata, files):
    """A ``.sng`` put together after the specification, from names, contents and offsets into the file data."""
    pairs = b"".join(text(key) + text(value) for key, value in metadata)
    head = b"SNGPKG" + struct.pack("<I", 1) + MASK + section(struct.pack("<Q", len(metadata)) + pairs)
    start = len(head) + 8 + 8 + sum(17 + len(name) for name, _, _ in files) + 8
    index = struct.pack("<Q", len(files)) + b"".join(
        struct.pack("<B", len(name)) + name + struct.pack("<QQ", len(content), start + offset)
        for name, content, offset in files
    )
    return head + section(index) + section(b"".join(masked(content) for _, content, _ in files))


def saved(path, data):
    path.write_bytes(data)
    return path


def contents(path):
    return {name: file.open().read() for name, file in read_sng(path).files.items()}


def test_reads_a_file_made_after_the_specification(tmp_path):
    song = bytes(range(256)) * 3
    data = by_hand([("Name", "A = ä"), ("delay", "-1")], [(b"song.ogg", song, 0), (b"a/notes.chart", b"[Song]", 768)])
    path = saved(tmp_path / "a.sng", data)
    sng = read_sng(path)
    assert sng.metadata == {"name": "A = ä", "delay": "-1"}
    assert {name: (file.name, file.size) for name, file in sng.files.items()} == {
        "song.ogg": ("song.ogg", 768),
        "a/notes.chart": ("a/notes.chart", 6),
    }
    assert contents(path) == {"song.ogg": song, "a/notes.chart": b"[Song]"}


def test_a_written_file_follows_the_specification(tmp_path):
    content = random.Random(0).randbytes(1000)
    write_sng(tmp_path / "a.sng", {"name": "x"}, [("song.ogg", content), ("empty", b"")])
    data = (tmp_path / "a.sng").read_bytes()
    mask = data[10:26]
    assert data[:10] == b"SNGPKG\1\0\0\0"
    assert data[26:50] == struct.pack("<QQi4s", 8 + 13, 1, 4, b"name")
    assert data[50:55] == text("x")
    names = 1 + 8 + 16 + 1 + 5 + 16
    start = 55 + 8 + 8 + names + 8
    assert data[55:71] == struct.pack("<QQ", 8 + names, 2)
    assert data[71:96] == b"\x08song.ogg" + struct.pack("<QQ", 1000, start)
    assert data[start - 8 : start] == struct.pack("<Q", 1000)
    assert masked(data[start:], mask) == content


NAMES = st.lists(st.text("abcäß 日.-_'", min_size=1).filter(lambda part: part not in (".", "..")), min_size=1).map(
    "/".join
)
VALUES = st.text(st.characters(exclude_characters="\0\r\n;", exclude_categories=["Cs"])).map(str.strip)
KEYS = st.text("abcdefghijklmnopqrstuvwxyz_ 0123456789", min_size=1).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.lists(
        st.tuples(NAMES.filter(lambda name: len(name.encode()) < 256), st.binary(max_size=600)),
        max_size=5,
        unique_by=lambda file: file[0].casefold(),
    ),
)
def test_written_then_read_is_the_same(metadata, files):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.sng"
        write_sng(path, metadata, files)
        assert read_sng(path).metadata == metadata
        assert contents(path) == dict(files)


def test_a_big_file_is_streamed_and_read_from_anywhere(tmp_path):
    content = random.Random(1).randbytes(2**20) * 24 + b"end"
    saved(tmp_path / "song.ogg", content)
    size = len(content)
    tracemalloc.start()
    write_sng(tmp_path / "a.sng", {}, [("song.ogg", tmp_path / "song.ogg")])
    with read_sng(tmp_path / "a.sng").files["song.ogg"].open() as file:
        for offset in (0, 12_345_678, 777, size - 5):
            assert file.seek(offset) == offset
            assert file.read(1000) == content[offset : offset + 1000]
        assert (file.seek(-3, 2), file.read(), file.read(), file.tell()) == (size - 3, b"end", b"", size)
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    tracemalloc.stop()


def test_the_same_song_gives_the_same_bytes_and_another_one_another_mask(tmp_path):
    written = []
    for content in (b"one", b"one", b"two"):
        write_sng(tmp_path / "a.sng", {"name": "x"}, [("song.ogg", content)])
        written.append((tmp_path / "a.sng").read_bytes())
    assert written[0] == written[1]
    assert written[0][10:26] != written[2][10:26]


def test_values_are_cleaned_and_keys_are_not_guessed(tmp_path):
    write_sng(tmp_path / "a.sng", {"name": "Rock; Roll\r\nLive = 100 %", "diff": -1}, [])
    assert read_sng(tmp_path / "a.sng").metadata == {"name": "Rock, Roll Live = 100 %", "diff": "-1"}
    for key in ("", " ", "a;b", "a=b", "a\nb"):
        with pytest.raises(ChartError, match="no key"):
            write_sng(tmp_path / "b.sng", {key: "x"}, [])
    assert not (tmp_path / "b.sng").exists()


HOSTILE = [
    "",
    "../notes.chart",
    "a/../../b",
    "/etc/passwd",
    "\\\\host\\x",
    "C:\\x",
    "c:x",
    "a\\..\\b",
    "a//b",
    "a/./b",
]
HOSTILE += ["a\0.ogg", "a\nb", "a/", "..", "."]


@pytest.mark.parametrize("name", HOSTILE)
def test_unsafe_names_are_refused(tmp_path, name):
    path = saved(tmp_path / "a.sng", by_hand([], [(b"ok", b"x", 0), (name.encode(), b"x", 1)]))
    with pytest.raises(ChartError, match=r"a\.sng, byte 77: unsafe file name"):
        read_sng(path)
    with pytest.raises(ChartError, match="unsafe file name"):
        write_sng(tmp_path / "b.sng", {}, [(name, b"")])


def test_names_that_are_no_text_or_stand_twice_are_refused(tmp_path):
    with pytest.raises(ChartError, match="byte 59: a file name is not UTF-8"):
        read_sng(saved(tmp_path / "a.sng", by_hand([], [(b"\xff\xfe", b"x", 0)])))
    with pytest.raises(ChartError, match="two files are called 'A'"):
        read_sng(saved(tmp_path / "a.sng", by_hand([], [(b"a", b"x", 0), (b"A", b"x", 1)])))
    with pytest.raises(ChartError, match="two files are called 'A'"):
        write_sng(tmp_path / "b.sng", {}, [("a", b""), ("A", b"")])
    with pytest.raises(ChartError, match="256 bytes"):
        write_sng(tmp_path / "b.sng", {}, [("a" * 256, b"")])


def test_contents_outside_the_file_data_or_over_another_are_refused(tmp_path):
    for offset in (-1, 1, 2**40):
        with pytest.raises(ChartError, match="byte 58: 4 bytes of 'a' from byte .* lie outside"):
            read_sng(saved(tmp_path / "a.sng", by_hand([], [(b"a", b"four", offset)])))
    with pytest.raises(ChartError, match="'b' overlaps"):
        read_sng(saved(tmp_path / "a.sng", by_hand([], [(b"a", b"four", 0), (b"b", b"four", 3)])))


@pytest.mark.parametrize("value", [2**30, 2**63, 2**64 - 1])
def test_a_gigabyte_in_a_kilobyte_is_refused_before_it_is_allocated(tmp_path, value):
    data = by_hand([("name", "x")], [(b"song.ogg", b"x" * 900, 0)])
    tracemalloc.start()
    for position, size in ((26, 8), (34, 8), (42, 4), (50, 4), (55, 8), (63, 8), (80, 8), (88, 8), (96, 8)):
        number = (value % 2 ** (8 * size)) or 2**30
        broken = data[:position] + number.to_bytes(size, "little") + data[position + size :]
        with pytest.raises(ChartError, match=r"a\.sng, byte \d+: "):
            read_sng(saved(tmp_path / "a.sng", broken))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_empty_file_may_be_said_to_lie_anywhere(tmp_path):
    data = by_hand([], [(b"notes.chart", b"", 2**62), (b"album.png", b"", 2**63 + 2**62)])
    path = saved(tmp_path / "a.sng", data)
    assert contents(path) == {"notes.chart": b"", "album.png": b""}
    with pytest.raises(ChartError, match="it has no"):
        read_song(path)


def test_every_truncated_file_is_refused(tmp_path):
    data = by_hand([("name", "x")], [(b"song.ogg", b"samples", 0)])
    for length in range(len(data)):
        with pytest.raises(ChartError, match=r"a\.sng"):
            read_sng(saved(tmp_path / "a.sng", data[:length]))


def test_what_is_no_sng_is_named(tmp_path):
    for data, reason in ((b"RIFF" + bytes(100), "not a .sng"), (b"SNGPKG\2\0\0\0", "version 2")):
        with pytest.raises(ChartError, match=reason):
            read_sng(saved(tmp_path / "a.sng", data))
    for path in (tmp_path / "none.sng", tmp_path):
        with pytest.raises(ChartError, match="cannot be read"):
            read_sng(path)


def test_mutated_files_raise_chart_errors_only(tmp_path, demo_song):
    song = read_song(demo_song)
    saved(tmp_path / "song.ogg", b"samples" * 20)
    path = write_song(tmp_path / "a.sng", song.chart, tmp_path / "song.ogg", album=saved(tmp_path / "a.png", b"png"))
    data = path.read_bytes()
    index_end = data.index(b"album.png") + 40
    rng = random.Random(2)
    read = 0
    for _ in range(400):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            # Mostly where the structure is.
            position = rng.randrange(index_end if rng.random() < 0.8 else len(data))
            mutated[position] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.1:
            mutated = mutated[: rng.randrange(len(data))]
        saved(path, mutated)
        try:
            again = read_song(path)
            for stem in again.stems:
                stem.open().read()
            read += 1
        except ChartError as error:
            assert str(path) in str(error)
    assert 50 < read < 350


def test_an_archive_that_shrinks_while_it_is_open_is_named(tmp_path):
    path = saved(tmp_path / "a.sng", by_hand([], [(b"song.ogg", b"samples", 0)]))
    file = read_sng(path).files["song.ogg"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ChartError, match="a.sng/song.ogg: the archive has become shorter"):
        file.open().read()
    path.unlink()
    with pytest.raises(ChartError, match="cannot be read"):
        file.open()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_sng(tmp_path / "a.sng", {"name": "old"}, [])
    before = (tmp_path / "a.sng").read_bytes()
    with pytest.raises(OSError):
        write_sng(tmp_path / "a.sng", {"name": "new"}, [("ok", b"x"), ("song.ogg", tmp_path / "none.ogg")])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.sng", before)]
