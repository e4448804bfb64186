"""Make text safe for a terminal: the writer of an event must not control the reader's screen.

Control characters (C0, DEL, C1) start escape sequences that retitle, erase or copy to the clipboard
(ECMA-48; OSC 52), bidirectional ones show text in another order than it has (CVE-2021-42574), and
halves of surrogate pairs cannot be encoded, except those that stand for a byte of a path (PEP 383).
All of them are written as JSON escapes them: JSON keeps its meaning, as it has such characters in
strings alone, and text shows what was there.
"""

from __future__ import annotations

import re

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udc9f\udd00-\udfff]"
)
BREAKS = re.compile(r"[\t\n]")


def printable(text: str) -> str:
    """Return text without terminal control characters, except tabs and line feeds."""
    return UNSAFE.sub(_escaped, text)


def one_line(text: str, longest: int | None = None) -> str:
    """Return text for a cell of a table: printable, on one line, `longest` characters at most."""
    cut = text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"
    return BREAKS.sub(_escaped, printable(cut))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
