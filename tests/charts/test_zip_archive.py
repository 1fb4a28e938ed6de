import random
import struct
import tracemalloc
import zipfile

import pytest

from tabhero_hf.charts import ChartError
from tabhero_hf.charts.zip_archive import read_zip, write_zip


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=options.get("compression"))
    return path


def patched(path, signature, offset, layout, value):
    """A number in the last record with this signature replaced."""
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, data.rindex(signature) + offset, value)
    path.write_bytes(data)
    return path


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


def test_written_then_read_is_the_same_and_can_be_read_from_anywhere(tmp_path):
    song = random.Random(0).randbytes(100_000)
    (tmp_path / "song.ogg").write_bytes(song)
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, [("notes.chart", b"[Song]" * 99), ("extras/song.ogg", tmp_path / "song.ogg")])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    files = read_zip(tmp_path / "a.zip")
    assert [(name, file.size) for name, file in files.items()] == [("notes.chart", 594), ("extras/song.ogg", 100_000)]
    assert files["notes.chart"].open().read() == b"[Song]" * 99
    with files["extras/song.ogg"].open() as file:
        file.seek(-10, 2)
        assert file.read() == song[-10:]
        file.seek(50_000)
        assert file.read(9) == song[50_000:50_009]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_zip(tmp_path / "a.zip", [("x", b"old")])
    before = (tmp_path / "a.zip").read_bytes()
    with pytest.raises(OSError):
        write_zip(tmp_path / "a.zip", [("x", b"new"), ("song.ogg", tmp_path / "none.ogg")])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.zip", before)]


@pytest.mark.parametrize("name", ["../x", "/x", "\\x", "C:/x", "a/../../x", "a\\..\\x", "a\nb", "x\0.ogg"])
def test_unsafe_names_are_refused(tmp_path, name):
    path = zipped(tmp_path / "a.zip", {"ok": b"", "N" * len(name): b""})
    path.write_bytes(path.read_bytes().replace(b"N" * len(name), name.encode()))
    with pytest.raises(ChartError, match=r"a\.zip: unsafe file name"):
        read_zip(path)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    bomb = zipped(tmp_path / "a.zip", {"song.wav": bytes(30 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(ChartError, match="'song.wav' unpacks to 31457280 bytes, 1048576 at most"):
        read_zip(bomb)
    # A small size announced: no more than that is unpacked.
    lying = patched(patched(bomb, CENTRAL, 24, "<I", 1000), LOCAL, 22, "<I", 1000)
    with pytest.raises(ChartError, match="a.zip/song.wav: cannot be unpacked"):
        read_zip(lying)["song.wav"].open()
    assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    tracemalloc.stop()


def test_a_size_that_is_too_large_is_found_out(tmp_path):
    path = patched(zipped(tmp_path / "a.zip", {"song.ogg": b"samples"}), CENTRAL, 24, "<I", 2**20)
    with pytest.raises(ChartError, match="a.zip/song.ogg"):
        read_zip(path)["song.ogg"].open()


def test_encrypted_and_unknown_entries_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"song.ogg": b"samples"})
    with pytest.raises(ChartError, match="'song.ogg' is encrypted"):
        read_zip(patched(path, CENTRAL, 8, "<H", 1))
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with pytest.raises(ChartError, match=f"method {method}"):
            read_zip(zipped(tmp_path / "a.zip", {"song.ogg": b"samples"}, compression=method))
    with pytest.raises(ChartError, match="method 99"):
        read_zip(patched(zipped(tmp_path / "a.zip", {"song.ogg": b"samples"}), CENTRAL, 10, "<H", 99))


def test_names_that_stand_twice_are_refused(tmp_path):
    with pytest.raises(ChartError, match="two files are called 'Song.ogg'"):
        read_zip(zipped(tmp_path / "a.zip", {"song.ogg": b"", "Song.ogg": b""}))
    with pytest.raises(ChartError, match="two files"):
        write_zip(tmp_path / "b.zip", [("a", b""), ("A", b"")])


def test_what_is_no_zip_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and so on")
    with pytest.raises(ChartError, match=r"a\.zip: not a \.zip"):
        read_zip(tmp_path / "a.zip")
    with pytest.raises(ChartError, match=r"b\.zip: cannot be read"):
        read_zip(tmp_path / "b.zip")


def test_mutated_files_raise_chart_errors_only(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, [("notes.chart", b"[Song]\n{\n}\n" * 20), ("song.ogg", bytes(200))])
    data = path.read_bytes()
    rng = random.Random(3)
    for _ in range(500):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            mutated[rng.randrange(len(data))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        path.write_bytes(mutated[: rng.randrange(len(data))] if rng.random() < 0.1 else mutated)
        try:
            for file in read_zip(path).values():
                file.open().read()
        except ChartError as error:
            assert str(path) in str(error)
