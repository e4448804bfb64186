"""Find words that the project does not use in prose: `python packaging/prose.py PATH ...`.

Looks at the text of Markdown files, not at code in it; at docstrings, messages and other texts of
Python files, not at comments; and in directories at all of both. The list is the project's own:
words that readers stumble over, with what to write instead. Spelling is codespell's part.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Regular expression, and what to write instead.
WORDS = {
    r"mend(?:s|ed|ing)?": "fix",
    r"anew": "again",
    r"so manieth": "Nth",
    r"(?:in|of|to|after|once in|every) so many(?! that)": "a number, or N",
    r"whoever": "the role: an operator, a writer",
    r"nobody|somebody": "no one, someone, or the process that acts",
    r"tells?|told": "log, report, print, warn, show",
    r"where there (?:is|are) (?:none|one|no)": "if there is",
    r"held against": "compared with",
    r"left open|withheld": "abstained, an abstention",
    r"hindrances?": "reason",
    r"incumbents?|contenders?": "champion, challenger",
    r"answerers?": "engine",
    r"we|us|ours?": "detectd, or the process that acts",
    r"(?:goes|go|going) on(?! to)": "continue",
    r"scor(?:es?|ing) along": "run in shadow mode",
    r"for ever": "indefinitely, or never ends",
    r"screenful": "one screen",
    r"befalls?|afresh|henceforth|thereof|therein": "a plainer word",
    # One spelling: British, with -ize.
    r"behaviors?|colors?|favors?|neighbors?|centers?": "the British spelling",
    r"modeling|modeled|labeling|labeled|canceled": "the British spelling",
}
PATTERN = re.compile(
    "|".join(rf"(?P<w{i}>\b(?:{word})\b)" for i, word in enumerate(WORDS)), re.IGNORECASE
)
INSTEAD = [*WORDS.values()]

# What is not prose: fenced blocks, code, comments, tags, addresses of links.
SKIPPED = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)|`[^`]*`|<!--.*?-->|<[^<>]*>|\]\([^()]*\)|^> .*?$",
    re.MULTILINE | re.DOTALL,
)


# Of a Python text also titles in quotes, which are others' words.
QUOTED = re.compile(r'"[^"]*"')


class Finding(NamedTuple):
    """A word at a line of a file, and what to write instead."""

    line: int
    word: str
    instead: str


def findings(text: str) -> Iterator[Finding]:
    """Yield each word of the list that the prose of a Markdown text uses."""
    prose = SKIPPED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in PATTERN.finditer(prose):
        place = int((found.lastgroup or "w0").removeprefix("w"))
        yield Finding(prose.count("\n", 0, found.start()) + 1, found[0], INSTEAD[place])


def findings_in_python(source: str) -> Iterator[Finding]:
    """Yield each word of the list that docstrings and other texts of Python source use."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            text = QUOTED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), node.value)
            for each in findings(text):
                yield each._replace(line=node.lineno + each.line - 1)


def files(path: Path) -> list[Path]:
    """Return the file, or the Markdown and Python files in a directory."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.suffix in (".md", ".py"))


def main(paths: list[str]) -> int:
    """Print a line for each finding; return 1 if there is one."""
    failed = False
    for path in (file for each in paths for file in files(Path(each))):
        text = path.read_text(encoding="utf-8")
        for each in findings_in_python(text) if path.suffix == ".py" else findings(text):
            failed = True
            sys.stdout.write(f"{path}:{each.line}: {each.word!r}: write {each.instead}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
