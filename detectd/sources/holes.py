"""Detect runs of NULs between records: parts of a file that were never written. Pure.

A writer that does not open its log in append mode leaves one at the start after a truncation, and a
host crash may leave one at the end.
"""

from __future__ import annotations

import re

# Text in UTF-16 or UTF-32 has up to three NULs in a row.
HOLE = re.compile(rb"\0{4,}")
NUL = b"\0"


class HoleFinder:
    """Split blocks of a stream into bytes and, as numbers, the lengths of holes.

    `inside` is whether the stream resumes inside a hole.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._carried = b""

    def split(self, block: bytes) -> list[bytes | int]:
        """Return the parts of a block. A few NULs at its end may be held for the next."""
        if NUL not in block and not self._carried:
            self._inside = False
            return [block]
        parts: list[bytes | int] = []
        block = self._carried + block
        self._carried = b""
        if self._inside:
            rest = block.lstrip(NUL)
            parts += [len(block) - len(rest)] if len(rest) < len(block) else []
            block = rest
        start = 0
        for hole in HOLE.finditer(block):
            parts += [block[start : hole.start()]] if hole.start() > start else []
            parts.append(len(hole[0]))
            start = hole.end()
        rest = block[start:]
        text = rest.rstrip(NUL)
        self._carried = rest[len(text) :]
        parts += [text] if text else []
        self._inside = bool(parts) and isinstance(parts[-1], int) and not self._carried
        return parts

    def finish(self) -> bytes:
        """Return the held NULs, too few to be a hole."""
        carried, self._carried = self._carried, b""
        return carried
