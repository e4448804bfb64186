"""The documentation as its tests see it: pages, their blocks, and what they ask for."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "packaging"))

import prose as words  # noqa: F401 - scripts
import site_pages

DOCS = ROOT / "docs"
OTHERS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "dashboards/runbook.md")
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in OTHERS if (ROOT / name).exists())])
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def name(path: Path) -> str:
    """Return a page's path in the source."""
    return str(path.relative_to(ROOT))


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(found[2], found[3]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    """Return a page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", FENCE.sub("", text), flags=re.DOTALL)


def read(path: Path) -> str:
    """Return a file's text."""
    return path.read_text(encoding="utf-8")


def built(path: Path) -> str:
    """Return a page of docs/ as the site has it."""
    page = str(path.relative_to(DOCS))
    return site_pages.expanded(path.read_text(encoding="utf-8"), page)
