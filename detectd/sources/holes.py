"""Runs of NULs between records: what a file has where nothing was ever written. Pure.

A writer that does not open its log for appending leaves one in front when the log is truncated, and
a crash of the host may leave one behind.
"""

from __future__ import annotations

import re

# Text in UTF-16 or UTF-32 has up to three of them in a row.
HOLE = re.compile(rb"\0{4,}")
NUL = b"\0"


class HoleFinder:
    """Splits blocks of a stream into bytes and, as numbers, how many NULs a hole has there.

    `inside` says that the stream is gone on with in the middle of a hole.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._carried = b""

    def split(self, block: bytes) -> list[bytes | int]:
        """Return the parts of a block. A few NULs at its end may be held back for the next."""
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
        """Return what was held back: too few NULs to be a hole."""
        carried, self._carried = self._carried, b""
        return carried
