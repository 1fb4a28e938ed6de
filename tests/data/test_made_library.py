"""A library of made songs: whole song folders, made once."""

import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from tabhero_hf.audio import load_audio
from tabhero_hf.charts import Difficulty, Instrument, check_song, read_song
from tabhero_hf.data import made_library
from tabhero_hf.data.composition import compose_song
from tabhero_hf.data.made_library import make_library, write_made_song
from tabhero_hf.data.made_songs import render_training_song

SECONDS = 8.0


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    make_library(folder, 2, first_seed=3, seconds=SECONDS, workers=1)
    return folder


def test_songs_are_readable_and_have_no_problems(library):
    folders = sorted(library.iterdir())
    assert [folder.name for folder in folders] == ["000000003", "000000004"]
    for folder in folders:
        song = read_song(folder)
        assert check_song(song) == []
        assert {"guitar.ogg", "bass.ogg", "drums.ogg"} <= {stem.name for stem in song.stems}
        assert np.abs(sum(load_audio(stem) for stem in song.stems)).max() < 1.0


def test_a_song_on_disk_is_the_rendered_one(library):
    rendered = render_training_song(3, SECONDS)
    song = read_song(library / "000000003")
    written = song.chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)
    expected = rendered.notes[Difficulty.EXPERT, Instrument.LEAD]
    assert [note[1:3] for note in written] == [note[1:3] for note in expected]
    np.testing.assert_allclose([note[0] for note in written], [note[0] for note in expected], atol=1e-6)
    sound = load_audio(library / "000000003" / "guitar.ogg")
    assert np.corrcoef(sound[: len(rendered.part)], rendered.part[: len(sound)])[0, 1] > 0.9


def test_songs_that_are_there_are_kept(library):
    ini = library / "000000003" / "song.ini"
    before = ini.stat()
    make_library(library, 2, first_seed=3, seconds=SECONDS, workers=1)
    assert ini.stat().st_mtime_ns == before.st_mtime_ns and len(list(library.iterdir())) == 2


def test_a_song_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(made_library, "write_ogg", full)
    with pytest.raises(OSError, match="no space"):
        write_made_song(tmp_path / "song", partial(compose_song, 3, SECONDS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--songs", "-1"], ["--seconds", "0"], ["--first_seed", "-5"]])
def test_the_script_names_what_is_wrong(tmp_path, monkeypatch, options):
    path = Path(__file__).parents[2] / "scripts" / "make_training_songs.py"
    spec = spec_from_file_location("make_training_songs", path)
    script = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path / "songs"), "--songs", "1", "--workers", "1", *options])
    with pytest.raises(SystemExit, match="error: "):
        script.main()
    assert not any(tmp_path.rglob("*.*"))
