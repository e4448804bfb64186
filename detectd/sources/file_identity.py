"""Identify a file by its inode and some of its bytes, since names and inodes are reused."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any

# How many bytes are compared at the start of a file, and before an offset.
LONGEST = 1024


def sha256(content: bytes) -> str:
    """Return the digest of compared bytes."""
    return hashlib.sha256(content).hexdigest()


NOTHING = sha256(b"")


@dataclass(frozen=True, slots=True)
class Identity:
    """Device, inode, and the sha256 of two pieces of the unpacked content.

    `head` is of the first `head_size` bytes, `tail` of the `tail_size` bytes before an offset:
    files with the same header differ there. `modified` is the last known modification time, in ns
    since the epoch. Earlier versions stored neither `tail` nor `modified`.
    """

    device: int = 0
    inode: int = 0
    head_size: int = 0
    head: str = NOTHING
    tail_size: int = 0
    tail: str = NOTHING
    modified: int = 0

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Identity:
        """Return the identity stored in a position."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in kept.items() if name in names})

    def as_dict(self) -> dict[str, Any]:
        """Return the identity in a compact form, for a position."""
        return {name: value for name, value in asdict(self).items() if value not in (0, NOTHING)}


class Trace:
    """The bytes that identify the file being read: its first ones and its last ones.

    `end` is the offset up to which it has been fed; `head` may be known beyond.
    """

    # More than a block and a long record, so a moving offset stays within.
    KEPT = 4 << 20

    def __init__(self, head: bytes = b"", tail: bytes = b"", end: int = 0) -> None:
        self.head = head[:LONGEST]
        self.end = end
        self._recent = bytearray(tail)
        self._tail = (end, bytes(tail[-LONGEST:]))

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        if len(self.head) < min(LONGEST, self.end + len(chunk)):
            self.head = (self.head[: self.end] + chunk)[:LONGEST]
        self.end += len(chunk)
        self._recent += chunk
        del self._recent[: -self.KEPT]

    def tail(self, offset: int) -> bytes:
        """Return up to `LONGEST` bytes before `offset`; offsets never go back."""
        if self._tail[0] != offset:
            start = self.end - len(self._recent)
            del self._recent[: max(0, offset - LONGEST - start)]
            length = len(self._recent) - (self.end - offset)
            self._tail = (offset, bytes(self._recent[: max(0, length)]))
        return self._tail[1]

    def last(self) -> bytes:
        """Return up to `LONGEST` bytes before the end."""
        return bytes(self._recent[-LONGEST:])
