"""The state of keys as records of a compacted topic: their keys and values.

    key                            value
    group/topic/NAME               the layout's mark, and the row of the key of that name
    group/topic#layouts            the identity of keys and times; the ops of each layout, by mark
    group/topic#counters           what the table counts, and after which offset of the input

`group` is escaped, and a topic's name has neither / nor #. The partition is that of the input.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from detectd.features.key_changes import Counters
from detectd.features.key_rows import HEADER_WORDS, Op
from detectd.service.key_frames import OtherFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FORMAT = 1
MARK_BYTES = 8
LAYOUTS, COUNTERS = b"#layouts", b"#counters"

Layouts = dict[bytes, tuple[Op, ...]]


class Name(NamedTuple):
    """The subject of a record: a key's row by its name, or None and the table's `part`."""

    topic: str
    name: bytes | None
    part: bytes = b""


class Names:
    """The record keys of one consumer group."""

    def __init__(self, group: str) -> None:
        self._group = quote(group, safe="").encode()

    def row(self, topic: str, name: bytes) -> bytes:
        """Return the key of the record with a row."""
        return b"%s/%s/%s" % (self._group, topic.encode(), name)

    def part(self, topic: str, part: bytes) -> bytes:
        """Return the key of the record with the `LAYOUTS` or the `COUNTERS`."""
        return b"%s/%s%s" % (self._group, topic.encode(), part)

    def parsed(self, key: bytes) -> Name | None:
        """Return the subject of a record; None if it is from another group or a foreign writer."""
        group, slash, rest = key.partition(b"/")
        if group != self._group or not slash:
            return None
        topic, slash, name = rest.partition(b"/")
        if slash:
            return Name(topic.decode(errors="replace"), name)
        topic, mark, part = rest.partition(b"#")
        return Name(topic.decode(errors="replace"), None, mark + part) if mark else None


def mark_of(identity: str, ops: Sequence[Op]) -> bytes:
    """Return the mark that identifies rows of this layout."""
    told = json.dumps([FORMAT, HEADER_WORDS, identity, ops]).encode()
    return blake2b(told, digest_size=MARK_BYTES).digest()


def row_of(value: bytes) -> NDArray[np.float64]:
    """Return the row in a record's value. Raise ValueError if there is none."""
    row = np.frombuffer(value, "<f8", offset=MARK_BYTES)
    if len(row) < HEADER_WORDS:
        raise ValueError(f"no row has {len(row)} words")
    return row


def layouts(identity: str, known: Mapping[bytes, Sequence[Op]]) -> bytes:
    """Return the value of the record with the layouts."""
    ops = {mark.hex(): known[mark] for mark in sorted(known)}
    content = {"format": FORMAT, "header": HEADER_WORDS, "of": identity, "ops": ops}
    return json.dumps(content, separators=(",", ":")).encode()


def read_layouts(value: bytes) -> tuple[str, Layouts]:
    """Return the identity and the layouts. Raise OtherFormatError."""
    try:
        found: dict[str, Any] = json.loads(value)
        if (found["format"], found["header"]) == (FORMAT, HEADER_WORDS):
            return str(found["of"]), {
                bytes.fromhex(mark): tuple((str(op), int(size)) for op, size in ops)
                for mark, ops in found["ops"].items()
            }
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise OtherFormatError("written by another version of detectd")


def counters(counted: Counters, after: int) -> bytes:
    """Return the value of the record with the counters."""
    content = counted._asdict() | {"after": after}
    if counted.latest_ms == float("-inf"):  # JSON has no infinity.
        content["latest_ms"] = None
    return json.dumps(content, separators=(",", ":")).encode()


def read_counters(value: bytes) -> tuple[Counters, int]:
    """Return the counters, and the offset after which they apply. Raise ValueError for other
    bytes."""
    try:
        found: dict[str, Any] = json.loads(value)
        after = int(found.pop("after"))
        if found["latest_ms"] is None:
            del found["latest_ms"]
        return Counters(**found), after
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError(f"no counters: {wrong!r}") from None
