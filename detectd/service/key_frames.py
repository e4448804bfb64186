"""Changes of tables of keys as bytes, in frames with checksums.

frame      magic, size of the payload, its CRC-32, the payload; little-endian throughout
heading    the first frame: JSON with the format and the ops whose words the rows hold
changes    the others: the partition, its counters, keys, words that differ and those words
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.features.key_changes import Changes, Counters
from detectd.features.key_rows import HEADER_WORDS, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT = 1
MAGIC = b"dkey"
FRAME = struct.Struct("<4sII")
# Partition bytes, keys, words, removed keys; then the counters.
HEAD = struct.Struct("<IIIIqdqqdqq")
# Rows of up to this many words have 16-bit word numbers.
SHORT_ROW = 1 << 16


class DamagedError(ValueError):
    """The bytes are damaged from `offset` on."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"damaged at byte {offset:,}: {reason}")


class OtherFormatError(ValueError):
    """The bytes were written by another version."""


def frame(payload: bytes) -> bytes:
    """Return the payload in a frame."""
    return FRAME.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def heading(ops: Sequence[Op]) -> bytes:
    """Return the payload of the first frame."""
    return json.dumps({"format": FORMAT, "header": HEADER_WORDS, "ops": ops}).encode()


def payloads(read: Callable[[int, int], bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and payload of each frame of `size` bytes; `read` takes an offset and a length.

    Raise DamagedError.
    """
    offset = 0
    while offset < size:
        head = read(offset, FRAME.size)
        if len(head) < FRAME.size:
            raise DamagedError(offset, "it ends within a frame")
        magic, length, checksum = FRAME.unpack(head)
        end = offset + FRAME.size + length
        if magic != MAGIC or end > size:
            raise DamagedError(offset, "no frame begins here, or it is truncated")
        payload = read(offset + FRAME.size, length)
        if len(payload) < length or zlib.crc32(payload) != checksum:
            raise DamagedError(offset, "the checksum does not match")
        yield offset, payload
        offset = end


def ops_of(payload: bytes) -> tuple[Op, ...]:
    """Return the ops that a heading names. Raise OtherFormatError."""
    try:
        found: dict[str, Any] = json.loads(payload)
        if (found["format"], found["header"]) == (FORMAT, HEADER_WORDS):
            return tuple((str(signature), int(size)) for signature, size in found["ops"])
    except (ValueError, KeyError, TypeError):
        pass
    raise OtherFormatError("written by another version of detectd")


def encode(partition: str, changes: Changes, width: int) -> bytes:
    """Return the changes of a partition's table with rows of `width` words, headers included."""
    name = partition.encode()
    names = (*changes.names, *changes.gone)
    head = HEAD.pack(
        len(name), len(changes.names), len(changes.words), len(changes.gone), *changes.counters
    )
    lengths = np.array([len(each) for each in names], dtype="<u4")
    return b"".join(
        (
            head,
            name,
            lengths.tobytes(),
            changes.new.astype("u1").tobytes(),
            changes.counts.astype("<u4").tobytes(),
            changes.words.astype(_word(width)).tobytes(),
            changes.values.astype("<f8").tobytes(),
            *names,
        )
    )


def decode(payload: bytes, width: int) -> tuple[str, Changes]:
    """Return the arguments of `encode`. Raise ValueError for other bytes."""
    try:
        size, keys, words, gone, *counters = HEAD.unpack_from(payload)
    except struct.error as failed:
        raise ValueError(str(failed)) from None
    offset = HEAD.size + size
    partition = payload[HEAD.size : offset].decode()

    def taken(kind: str, count: int) -> np.ndarray[Any, Any]:
        nonlocal offset
        array = np.frombuffer(payload, kind, count, offset)
        offset += array.nbytes
        return array

    lengths = taken("<u4", keys + gone)
    new, counts = taken("u1", keys).astype(bool), taken("<u4", keys).astype(np.uint32)
    places, values = taken(_word(width), words).astype(np.uint32), taken("<f8", words)
    ends = (offset + np.cumsum(lengths, dtype=np.int64)).tolist()
    names = [payload[end - n : end] for end, n in zip(ends, lengths.tolist(), strict=True)]
    if (ends[-1] if ends else offset) != len(payload) or int(counts.sum()) != words:
        raise ValueError("its parts do not add up")
    changes = Changes(names[:keys], new, counts, places, values, names[keys:], Counters(*counters))
    return partition, changes


def _word(width: int) -> str:
    return "<u2" if width <= SHORT_ROW else "<u4"
