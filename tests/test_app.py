"""The demo, laid out and started as a Space is, and used with a browser as people use it."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tabhero_hf.charts import check_song, read_song

ROOT = Path(__file__).parents[1]
SPACE = ROOT / "scripts" / "space"
START_SECONDS = 300


class RunningApp:
    def __init__(self, folder: Path):
        space, self.temporary = folder / "space", folder / "temporary"
        shutil.copytree(SPACE, space)
        shutil.copy(ROOT / "scripts" / "app.py", space)
        shutil.copytree(ROOT / "tabhero_hf", space / "tabhero_hf", ignore=shutil.ignore_patterns("__pycache__"))
        self.temporary.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log.txt"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "GRADIO_SERVER_PORT": str(port),
            "TMPDIR": str(self.temporary),
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                # A shell in the background starts its children deaf to Ctrl-C.
                [
                    sys.executable,
                    "-c",
                    "import runpy, signal;"
                    "signal.signal(signal.SIGINT, signal.default_int_handler);"
                    "runpy.run_path('app.py', run_name='__main__')",
                ],
                cwd=space,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        for _ in range(START_SECONDS * 5):
            if self.process.poll() is not None:
                break
            try:
                httpx.get(self.url)
                return
            except httpx.TransportError:
                time.sleep(0.2)
        self.stop()
        pytest.fail(self.log.read_text())

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.temporary.rglob("*") if path.is_file() and path.stat().st_size)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    running = RunningApp(tmp_path_factory.mktemp("app"))
    yield running
    running.stop()


@pytest.fixture
def page(app, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1200}, accept_downloads=True)
    page.goto(app.url)
    yield page
    page.close()


def upload(page, path: Path, shown: str):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    for _ in range(6):
        page.locator("input[type=file]").set_input_files(path)
        try:
            return page.get_by_text(shown).first.wait_for(timeout=15_000)
        except PlaywrightTimeout:  # a page shows its inputs a moment before it hears them
            page.reload()
    pytest.fail(f"{shown} never appeared")


def chart(page):
    page.get_by_role("button", name="Chart", exact=True).click()


def test_a_song_is_charted_shown_and_downloaded(page, demo_song, tmp_path):
    samples, rate = soundfile.read(demo_song / "song.ogg", stop=8 * 44100)
    soundfile.write(tmp_path / "Some <b>Band - A Tune.flac", samples, rate)
    upload(page, tmp_path / "Some <b>Band - A Tune.flac", "A Tune.flac")
    for difficulty in ("easy", "medium"):
        page.get_by_label(difficulty).uncheck()
    page.get_by_label("bass").check()
    chart(page)

    preview = page.frame_locator("iframe[title=Preview]")
    preview.locator("#play").click(timeout=120_000)
    preview.locator("#clock", has_text=re.compile(r"0:0[1-9]\.\d / ")).wait_for()
    assert preview.locator("#difficulty option").all_inner_texts() == ["Hard", "Expert"]
    assert preview.locator("#instrument option").all_inner_texts() == ["Lead", "Bass"]
    # Nothing in a song can reach the page around it.
    reached = preview.locator("body").evaluate("() => { try { return !!parent.document; } catch { return false; } }")
    assert reached is False

    for suffix in (".zip", ".sng"):
        with page.expect_download() as download:
            page.get_by_text(f"Download {suffix}").click()
        path = tmp_path / download.value.suggested_filename
        assert path.suffix == suffix and path.stem.endswith(" - A Tune")
        download.value.save_as(path)
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(tmp_path / "folder")
            path = tmp_path / "folder"
        song = read_song(path)
        assert list(map(str, check_song(song))) == []
        assert song.metadata["name"] == "A Tune" and len(song.chart.tracks) == 4


def sparse(path: Path, size: int):
    with path.open("wb") as file:
        file.truncate(size)


def letter(path: Path):
    path.write_text("Dear Sir or Madam")


def escaping_zip(path: Path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("song.ini", "[song]")
        archive.writestr("../../song.ogg", "")


def long_wav(path: Path):
    soundfile.write(path, np.zeros(11 * 60 * 8000), 8000, "PCM_U8")


def large_picture(path: Path):
    samples = io.BytesIO()
    soundfile.write(samples, np.random.default_rng(0).normal(0, 0.1, 8_000_000), 44100, "PCM_16", format="WAV")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.wav", samples.getvalue())  # 16 MB that stay so
        archive.writestr("album.png", bytes(90 * 2**20))


def silent_wav(path: Path):
    soundfile.write(path, np.zeros(8000), 8000)


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("letter.ogg", letter, "letter.ogg: not audio that can be decoded"),
        ("letter.zip", letter, "letter.zip: not a .zip that can be read"),
        ("escape.zip", escaping_zip, "escape.zip: unsafe file name '../../song.ogg'"),
        ("huge.wav", lambda path: sparse(path, 2 * 2**30), "exceed the maximum allowed size of 100.0 Mb"),
        ("long.wav", long_wav, "long.wav: 11.0 minutes long, over the limit of 10"),
        ("picture.zip", large_picture, "picture.zip: unpacks to more than 100 MB"),
        ("silence.wav", silent_wav, "nothing to chart is heard"),
    ],
)
def test_what_cannot_be_charted_is_refused_in_a_sentence(page, app, tmp_path, name, write, sentence):
    write(tmp_path / name)
    upload(page, tmp_path / name, name)
    if name != "huge.wav":  # which is refused before it is sent
        chart(page)
    refusal = page.locator(".toast-body").first
    refusal.wait_for()
    assert sentence in refusal.inner_text()
    assert str(app.temporary) not in refusal.inner_text()
    assert page.locator("iframe").count() == 0


def test_the_server_itself_refuses_what_is_too_large(app):
    answer = httpx.post(f"{app.url}/gradio_api/upload", files={"files": ("a.wav", bytes(101 * 2**20))})
    assert answer.status_code == 413 and "maximum allowed size" in answer.text
    assert "a.wav" not in app.files()


def test_names_do_not_lead_out_of_the_upload_folder(app):
    answer = httpx.post(f"{app.url}/gradio_api/upload", files={"files": ("../../../escaped.ogg", b"no music")})
    uploads = app.temporary / "gradio"
    (path,) = answer.json()
    assert Path(path).resolve().is_relative_to(uploads)
    assert [path for path in app.temporary.rglob("escaped.ogg") if not path.is_relative_to(uploads)] == []


@pytest.mark.parametrize("path", ["{outside}/song.ogg", "{uploads}/../../outside/song.ogg", "app.py"])
def test_files_that_nobody_uploaded_are_neither_charted_nor_shown(app, demo_song, path):
    uploads = app.temporary / "gradio"
    outside = app.temporary.parent / "outside"
    outside.mkdir(exist_ok=True)
    shutil.copy(demo_song / "song.ogg", outside)
    path = path.format(uploads=uploads, outside=outside)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{app.url}/gradio_api/call/chart", json={"data": [file, ["expert"], ["lead"]]})
    events = httpx.get(f"{app.url}/gradio_api/call/chart/{call.json()['event_id']}", timeout=60).text
    assert "event: error" in events and "iframe" not in events
    escaped = path.replace("..", "%2e%2e")  # which the client leaves as it is
    assert httpx.get(f"{app.url}/gradio_api/file={escaped}").status_code in (403, 404)


def test_nothing_is_left_when_it_ends(app):
    assert any(name.endswith(".ogg") for name in app.files())
    assert list(app.temporary.glob("tabhero-*")) == []  # what was worked on is gone already
    app.stop()
    assert app.files() == []


def test_the_space_asks_for_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = (SPACE / "requirements.txt").read_text().splitlines()
    assert [line for line in required if not line.startswith("#")] == project["dependencies"]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    tested = next(line.partition("==")[2] for line in constraints if line.startswith("gradio=="))
    assert f"\nsdk_version: {tested}\n" in (SPACE / "README.md").read_text()
