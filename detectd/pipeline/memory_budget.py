"""The service's memory budget: what it may hold, whatever comes in. Pure.

Every limit that input could exceed is here, in bytes unless its comment says otherwise, and used
where it applies. `budget` is their sum: what the service occupies at most beside its libraries and
its model. `make bench-hostile-memory` measures it with the worst record of each kind.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.pipeline.records import Record

MIB = 1 << 20

# What the records of a batch may occupy before it is full, however few they are: the default of
# source.batch_bytes. The last record may exceed it.
BATCH_BYTES = 32 * MIB
SLICE_BYTES = BATCH_BYTES // 2

# What a record occupies beside its bytes, with its answer on the way to the sink; and a header.
# Measured: 0.6 KB with a verdict, 0.9 KB as a dead letter; 68 bytes a header, and 8 in its output.
RECORD_BYTES = 1024
HEADER_BYTES = 128

# Of each feature of each event: its value as an object, in a row, and in the matrices of a batch.
FEATURE_BYTES = 64

# A batch's bytes are there as records, as events on one line, as outputs (a third longer where they
# are base64), and as what the sink writes at once.
COPIES = 5

# A record that is decoded in full, one at a time, occupies this many times its bytes at most: an
# array of empty arrays, three bytes each, measured 27.
DECODED = 32

# What is kept of a line longer than source.max_record_bytes, for its dead letter.
LINE_BYTES = 16 * MIB

# Columns of a CSV header (a number). A longer line is no header.
COLUMNS = 16_384

# Headers of a record (a number). One with more is a dead letter with the first of them.
HEADERS = 1000

# Caches of what comes again have this many entries of keys no longer than this.
CACHED_KEY_BYTES = 256
CACHED_KEYS = 4096
CACHED_PARTITIONS = 65_536

# What the state of a key takes as a record beside its row: the key and the names before it.
KEY_RECORD_BYTES = 2048

# Text that JSON would escape to half as much again is base64 from this length on.
ESCAPED_BYTES = 4096

# Outputs held back until the configuration is seen to fit the stream.
HELD_BYTES = 32 * MIB

# Rows that are scored at a time to explain others.
EXPLAINING_BYTES = 16 * MIB

# Avro: the schemas kept, as JSON; and the items of one record (a number, with the fields of items
# that are records) that may occupy far more in memory than in the record.
SCHEMA_BYTES = 8 * MIB
AVRO_ITEMS = 262_144

# The JSON of an Avro record may have this many times its bytes, or AVRO_JSON_BYTES if that is more;
# and so its bytes are weighed AVRO_COPIES times.
AVRO_EXPANSION, AVRO_JSON_BYTES, AVRO_COPIES = 64, 65_536, 8

# What a compressed file may make of one piece of it, and the window that unpacking it may need.
PIECE_BYTES = 8 * MIB
WINDOW_BYTES = 128 * MIB

# An answer of a schema registry: a broker takes no larger schema unless it was told to.
ANSWER_BYTES = 4 * MIB

# For people: the kinds of dead letters that are told apart (a number), the length of a text in
# them, and the names of fields (a number) that a warning may choose from.
GROUPS = 1000
TEXT_CHARACTERS = 500
NAMES = 1000

# The caches and tables above together, and what the allocator does not give back.
REST_BYTES = 96 * MIB

_value, _key, _headers = map(attrgetter, ("value", "key", "headers"))

# What JSON writes as six characters, and as two.
_CONTROL = bytes(set(range(32)) - set(b"\b\t\n\f\r"))
_ESCAPED = b'"\\\b\t\n\f\r'


def weight(records: Sequence[Record], copies: int = 1) -> int:
    """Return the bytes that the records occupy: values, keys, headers, and what each costs.

    The values are weighed `copies` times.
    """
    total = RECORD_BYTES * len(records)
    for part, times in ((_value, copies), (_key, 1)):
        total += times * sum(map(len, filter(None, map(part, records))))
    for headers in filter(None, map(_headers, records)):
        total += sum(HEADER_BYTES + len(name) + len(content) for name, content in headers)
    if records and records[0].columns is not None:
        total += sum(map(_extra_of_row, records))
    return total


def escaped(text: bytes) -> int:
    """Return how long UTF-8 is as text in JSON."""
    long, short = (len(text) - len(text.translate(None, each)) for each in (_CONTROL, _ESCAPED))
    return len(text) + 5 * long + short


class _Widths:
    """What the names of columns add to each row as JSON. Rows share their columns."""

    def __init__(self) -> None:
        self._last: tuple[Sequence[str] | None, int] = (None, 0)

    def __call__(self, columns: Sequence[str] | None) -> int:
        last, width = self._last
        if columns is not last:
            width = sum(map(len, columns or ())) + 6 * len(columns or ())
            self._last = (columns, width)
        return width


_width = _Widths()


def _extra_of_row(record: Record) -> int:
    """Return what a row of CSV takes as JSON, beyond its own bytes."""
    return escaped(record.value or b"") - len(record.value or b"") + _width(record.columns)


def slice_bytes(batch_bytes: int) -> int:
    """Return what one read may give, and how much makes a batch complete: together no more."""
    return batch_bytes // 2


def most_records(room: int, columns: Sequence[str] | None = None) -> int:
    """Return how many records may be asked for while `room` bytes are left: at least one."""
    return max(1, room // (RECORD_BYTES + _width(columns)))


def most_events(batch_bytes: int, columns: int) -> int:
    """Return how many events of that many feature columns a batch may hold."""
    return max(1, batch_bytes // (RECORD_BYTES + FEATURE_BYTES * columns))


def longest_line(max_record_bytes: int) -> int:
    """Return how many bytes of a line are kept."""
    return max(max_record_bytes, min(16 * max_record_bytes, LINE_BYTES))


def row_bytes(columns: int) -> int:
    """Return what a row that may train takes in the window, or in quarantine."""
    return 8 * columns + 9


def budget(
    batch_bytes: int = BATCH_BYTES, max_record_bytes: int = MIB, fetch_bytes: int = 0
) -> int:
    """Return what the service occupies at most beside its libraries and its model.

    `fetch_bytes` are those of Kafka's records in flight. The last record of a batch may come on
    top of it.
    """
    batch = COPIES * (batch_bytes + longest_line(max_record_bytes))
    held = HELD_BYTES + batch_bytes
    return batch + held + DECODED * max_record_bytes + fetch_bytes + REST_BYTES
