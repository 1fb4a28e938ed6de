import pytest

from tabhero_hf.charts import ChartError, read_ini, write_ini
from tabhero_hf.charts.ini import number


@pytest.mark.parametrize("header", ["[song]", "[Song]", "[SONG]", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_reads_what_is_met_in_the_wild(tmp_path, header, encoding):
    text = f"{header}\r\nName = Café = 100 % \r\n; note = no\r\n# note = no\r\nbroken\r\nEmpty =\r\n"
    path = tmp_path / "song.ini"
    path.write_bytes(text.encode(encoding))
    assert read_ini(path) == {"name": "Café = 100 %", "empty": ""}


def test_style_tags_are_dropped_but_not_other_brackets(tmp_path):
    path = tmp_path / "song.ini"
    path.write_text("charter = <color=#ff0000>A</color> <b>B</b> <3")
    assert read_ini(path) == {"charter": "A B <3"}


def test_write_then_read(tmp_path):
    path = tmp_path / "song.ini"
    write_ini({"name": "50 % = ½\nof it", "diff_guitar": -1}, path)
    assert path.read_text(encoding="utf-8").startswith("[song]\n")
    assert read_ini(path) == {"name": "50 % = ½ of it", "diff_guitar": "-1"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("250", 250), (" -2.5", -2.5), ("0", 0), ("-1", None), ("-1.0", None), ("", None), ("soon", None), ("nan", None)],
)
def test_numbers_of_minus_one_are_unset(text, value):
    assert number({"delay": text}, "delay") == value
    assert number({}, "delay") is None


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ChartError, match="nowhere.ini: no such file"):
        read_ini(tmp_path / "nowhere.ini")
