"""What the pages hold beside the blocks that ``conftest.py`` at the root runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN, SHOWN = {"python", "console"}, {"mermaid", "text"}
FENCED = re.compile(r"^```(\S*)$.*?^```$", re.MULTILINE | re.DOTALL)
SKIP = re.compile(r"^\s*<!--.*skip.*$", re.MULTILINE)
NAMED_SKIP = re.compile(r'^<!-- skip: next "[^"]+" -->\n```', re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_escapes_and_every_skip_has_a_reason(page):
    text = page.read_text("utf-8")
    assert set(FENCED.findall(text)) <= RUN | SHOWN
    assert len(SKIP.findall(text)) == len(NAMED_SKIP.findall(text))


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "model_cards").glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text("utf-8")) if not link.startswith("https://")]
    assert [link for link in links if not (page.parent / link).exists()] == []
