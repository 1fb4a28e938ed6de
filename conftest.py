"""
Runs the code blocks of README, CONTRIBUTING and docs: `python` ones, and lines of `console` ones that start with `$`.

They run in the order of their page, in a folder of their own that has the repository's folders and some songs; the
Python ones of a page go on from each other. `<!-- skip: next "reason" -->` before a block says why it does not run.
"""

import functools
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent
DEMO_SONG = ROOT / "tests" / "fixtures" / "demo_song"
CLIP_SECONDS = 8
PAGES = ["README.md", "CONTRIBUTING.md", "docs/*.md"]


@functools.cache
def made_songs() -> tempfile.TemporaryDirectory:
    """The songs that pages speak of, short ones."""
    import soundfile

    songs = tempfile.TemporaryDirectory(prefix="tabhero-songs-")
    folder = Path(songs.name)
    shutil.copytree(DEMO_SONG, folder / "songs" / "Feelings")
    (folder / "album").mkdir()
    with soundfile.SoundFile(DEMO_SONG / "song.ogg") as sound:
        clip, rate = sound.read(CLIP_SECONDS * sound.samplerate), sound.samplerate
    for name in ("song.ogg", "other.mp3", "album/First.ogg"):
        soundfile.write(folder / name, clip, rate)
    return songs


def enter_workplace(namespace: dict):
    namespace["left"] = Path.cwd()
    # Removed by its own name alone: whatever a block or an interrupt did to the working directory stays unharmed.
    namespace["workplace"] = tempfile.TemporaryDirectory(prefix="tabhero-docs-")
    folder = Path(namespace["workplace"].name)
    shutil.copytree(made_songs().name, folder, dirs_exist_ok=True)
    for name in ("docs", "scripts", "tabhero_hf", "tests"):
        (folder / name).symlink_to(ROOT / name)
    os.chdir(folder)


def leave_workplace(namespace: dict):
    os.chdir(namespace["left"])
    namespace["workplace"].cleanup()


def run_console(example: Example):
    commands = [line.removeprefix("$ ") for line in example.parsed.splitlines() if line.startswith("$ ")]
    assert commands, "no line starts with $"
    for command in commands:
        words = shlex.split(command, comments=True)
        if words[0] == "tabhero":
            run_tabhero(words[1:])
        elif words[0] == "python":
            run_script(words[1], words[2:])
        else:
            subprocess.run(["bash", "-ec", command], check=True)


def run_tabhero(arguments: list[str]):
    # In this process, which has imported torch already.
    from typer.testing import CliRunner

    from tabhero_hf.cli import app

    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"tabhero {shlex.join(arguments)}: {done.output}"


def run_script(path: str, arguments: list[str]):
    with mock.patch.object(sys, "argv", [path, *arguments]):
        try:
            runpy.run_path(os.path.abspath(path), run_name="__main__")  # so that its workers find it
        except SystemExit as end:
            assert not end.code, f"{path}: {end.code}"


pytest_collect_file = Sybil(
    parsers=[SkipParser(), PythonCodeBlockParser(), CodeBlockParser("console", run_console)],
    path=str(ROOT),
    patterns=PAGES,
    setup=enter_workplace,
    teardown=leave_workplace,
).pytest()
