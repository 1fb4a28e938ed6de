#!/usr/bin/env python
"""
The README's picture: the preview of what the bundled model charts of the demo's song. Needs Chromium.

    python scripts/screenshot.py      # writes docs/preview.png
"""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tabhero_hf.charting import chart_song
from tabhero_hf.charts import read_song
from tabhero_hf.preview import write_preview

CHROMIUM = "/usr/bin/chromium"
SONG = "tests/fixtures/demo_song"
PICTURE = "docs/preview.png"
SIZE = {"width": 1280, "height": 720}
SECONDS = 9.5


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        charted = chart_song(SONG, Path(folder) / "Song")
        page_path = write_preview(read_song(charted.folder), Path(folder) / "preview.html")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)
        page.goto(page_path.as_uri())
        page.evaluate("seconds => { tabhero.seek(seconds); tabhero.draw(); }", SECONDS)
        page.screenshot(path=PICTURE)
        browser.close()
    print(PICTURE)


if __name__ == "__main__":
    main()
