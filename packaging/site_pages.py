"""Write the pages of the site into build/pages: those of docs/, with what they ask for filled in.

A page asks for generated text with `<!-- generated: NAME -->`, for the text of another file with

    <!-- include: PATH -->
    What a reader of the source sees instead, with a link.
    <!-- /include -->

Links to files that are not part of the site become plain text. The builder of the site sees plain
Markdown, and needs no plugin for any of this. `--check` refuses a built site that would load
anything from another host.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import reference_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

GENERATED = {
    "commands": reference_pages.commands,
    "configuration": reference_pages.configuration,
}
MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
INCLUDE = re.compile(
    r"^<!-- include: (\S+) -->\n(?:(?!<!-- include).*\n)*?<!-- /include -->$", re.MULTILINE
)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s#:]+)(#[^()\s]*)?\)")
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
# As a forge has it; on the site the reader can switch, so both pictures are there.
PICTURE = re.compile(
    r'<picture>\s*<source media="[^"]*dark[^"]*" srcset="([^"]+)">\s*'
    r'<img alt="([^"]*)" src="([^"]+)">\s*</picture>'
)
# A line of a paragraph, then a list. A paragraph may begin in bold type, with two asterisks.
LIST = re.compile(r"^(?![\s>|#-]|\*\s|\d+\.\s)(.*\S.*)\n(?=(?:[*-]|\d+\.) )", re.MULTILINE)
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))"
    r"[^>]*\shref=[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)


def expanded(text: str, page: str) -> str:
    """Return a page's text with everything filled in. `page` is its path below docs/."""
    text = INCLUDE.sub(lambda found: _included(found[1], page), text)
    text = MARK.sub(lambda found: GENERATED[found[1]](), text)
    return _outside_fences(
        text, lambda part: _relinked(_for_the_builder(_bare_pipes(part)), DOCS / page, page)
    )


def _for_the_builder(text: str) -> str:
    """Write what a forge understands and the builder does not in the builder's way.

    Pictures for light and dark; an empty line before lists, and before the parts of the runbook's
    sections.
    """
    text = PICTURE.sub(r"![\2](\3#only-light)\n![\2](\1#only-dark)", text)
    text = LIST.sub(r"\1\n\n", text)
    return re.sub(r"(?<=\S)\n(?=\*\*(?:Do|Expect):\*\*)", "\n\n", text)


def _bare_pipes(text: str) -> str:
    """Unescape pipes in code: in tables a forge needs the backslash, the builder shows it."""
    return re.sub(r"`[^`\n]+`", lambda found: found[0].replace("\\|", "|"), text)


def _included(path: str, page: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        body = re.sub(r"\A# .*\n+", "", text)
        return _outside_fences(body, lambda part: _relinked(part, ROOT / path, page))
    body = re.sub(r"\A#:schema .*\n", "", text)
    return f"```{Path(path).suffix.removeprefix('.')}\n{body.rstrip()}\n```"


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    done = []
    last = 0
    for fence in FENCE.finditer(text):
        done += [change(text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*done, change(text[last:])])


def _relinked(text: str, origin: Path, page: str) -> str:
    """Point links at the page that holds the file they lead to, seen from `page`."""

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        path = Path(os.path.normpath(origin.parent / target))
        inside = path.relative_to(DOCS) if path.is_relative_to(DOCS) else None
        holder = str(inside) if inside else _holders().get(str(path.relative_to(ROOT)))
        if holder is None:
            return label if "`" in label else f"{label} (`{path.relative_to(ROOT)}`)"
        relative = os.path.relpath(DOCS / holder, (DOCS / page).parent)
        return f"[{label}]({relative}{anchor})"

    return LINK.sub(link, text)


@cache
def _holders() -> dict[str, str]:
    """Return {included file: the page that includes it}."""
    return {path: page for page in _pages() for path in INCLUDE.findall(_source(page))}


def _pages() -> Iterator[str]:
    return (str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md")))


def _source(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def write(into: Path) -> None:
    """Copy docs/ to `into`, every page filled in; what was there before goes."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(DOCS, into)
    for page in _pages():
        (into / page).write_text(expanded(_source(page), page), encoding="utf-8")


def loads_from_elsewhere(site: Path) -> list[str]:
    """Return the tags of a built site that would load something from another host."""
    return [
        f"{path.relative_to(site)}: {tag}"
        for path in sorted(site.rglob("*.html"))
        for tag in LOADED.findall(path.read_text(encoding="utf-8"))
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or check the site."""
    if arguments == ["--check"]:
        found = loads_from_elsewhere(ROOT / "build" / "site")
        for each in found:
            sys.stderr.write(f"loaded from another host: {each}\n")
        return 1 if found else 0
    write(ROOT / "build" / "pages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
