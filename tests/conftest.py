"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def demo_song() -> Path:
    """A song folder with 50 s of mix and a human chart that agrees with it."""
    return FIXTURES / "demo_song"


@pytest.fixture(scope="session")
def real_songs() -> Path:
    """Debian's Frets on Fire songs (``muldjord``, ``sectoid``), at ``TABHERO_SONGS`` or where Debian puts them."""
    songs = Path(os.environ.get("TABHERO_SONGS", "/usr/share/games/fretsonfire/data/songs"))
    if not songs.is_dir():
        reason = f"no songs at {songs}: apt-get install fretsonfire-songs-muldjord fretsonfire-songs-sectoid"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return songs
