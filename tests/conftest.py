"""Fixtures shared by all tests, and a Hub on this machine in place of the real one."""

import os
import tempfile
from pathlib import Path

import pytest
from local_hub import LocalHub

# Read when huggingface_hub and datasets are imported, which the test modules do after this file. A developer's own
# settings, such as offline mode or a token, must not steer the tests.
WORKPLACE = tempfile.TemporaryDirectory(prefix="tabhero-hub-")
HUB = LocalHub(Path(WORKPLACE.name) / "hub").start()
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_OFFLINE"))]:
    del os.environ[name]
os.environ |= {
    "HF_ENDPOINT": HUB.url,
    "HF_HOME": str(Path(WORKPLACE.name) / "home"),
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_TOKEN": "local",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "TRACKIO_DIR": str(Path(WORKPLACE.name) / "trackio"),
}

FIXTURES = Path(__file__).parent / "fixtures"
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--autoplay-policy=no-user-gesture-required"),
]


def pytest_unconfigure():
    HUB.stop()
    WORKPLACE.cleanup()


@pytest.fixture(scope="session")
def hub() -> LocalHub:
    """The Hub that pushes go to. All tests share it and its cache: name repositories after the test."""
    from huggingface_hub import constants

    assert constants.ENDPOINT == HUB.url, "huggingface_hub was imported before tests/conftest.py"
    return HUB


@pytest.fixture(scope="session")
def demo_song() -> Path:
    """A song folder with 50 s of mix and a human chart that agrees with it."""
    return FIXTURES / "demo_song"


@pytest.fixture(scope="session")
def real_songs() -> Path:
    """Debian's Frets on Fire songs (``muldjord``, ``sectoid``), at ``TABHERO_SONGS`` or where Debian puts them."""
    songs = Path(os.environ.get("TABHERO_SONGS", "/usr/share/games/fretsonfire/data/songs"))
    if not list(songs.glob("*/*/notes.mid")):
        reason = f"no songs at {songs}: apt-get install fretsonfire-songs-muldjord fretsonfire-songs-sectoid"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return songs


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright."""
    reason = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "no playwright: pip install playwright"
    if not Path(CHROMIUM).exists():
        reason = f"no {CHROMIUM}: apt-get install chromium"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
