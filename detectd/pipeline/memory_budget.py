"""The service's memory budget: upper bounds that hold for any input. Pure.

Every limit on input is defined here, in bytes unless its comment says otherwise. `budget` is their
sum: the most that the service uses in addition to its libraries and its model. `make
bench-hostile-memory` measures it with the worst record of each kind.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from detectd.features.key_rows import CHUNK, CHUNK_COPIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.pipeline.records import Record

MIB = 1 << 20

# The most that the records of a batch may occupy: the default of source.batch_bytes. The last
# record may exceed it.
BATCH_BYTES = 32 * MIB
SLICE_BYTES = BATCH_BYTES // 2

# The overhead of a record with its output, and of a header. Measured: 0.6 KB with a verdict, 0.9 KB
# as a dead letter; 68 bytes a header, and 8 in its output.
RECORD_BYTES = 1024
HEADER_BYTES = 128

# For each feature of each event: its value as an object, in a row, and in the matrices of a batch.
FEATURE_BYTES = 64

# A batch's bytes exist as records, as events on one line, as outputs (a third longer if base64),
# and in the sink's write buffer.
COPIES = 5

# A fully decoded record, one at a time, occupies at most this many times its bytes: an array of
# empty arrays, three bytes each, measured 27.
DECODED = 32

# How much of a line longer than source.max_record_bytes is kept for its dead letter.
LINE_BYTES = 16 * MIB

# Number of columns of a CSV header. A line with more is not a header.
COLUMNS = 16_384

# Number of headers of a record. One with more is a dead letter with the first of them.
HEADERS = 1000

# Caches of repeated values hold this many keys, none longer than this.
CACHED_KEY_BYTES = 256
CACHED_KEYS = 4096
CACHED_PARTITIONS = 65_536
CACHED_CATEGORIES = 65_536

# A key's name, of at most 255 bytes, and its place in an index.
KEY_BYTES = 512

# The overhead of a key's state as a record: the key and the names before it.
KEY_RECORD_BYTES = 2048

# From this length on, text that JSON escaping would make half as long again is base64.
ESCAPED_BYTES = 4096

# Outputs held until the configuration is known to fit the stream.
HELD_BYTES = 32 * MIB

# Rows scored per call for explanations.
EXPLAINING_BYTES = 16 * MIB

# Avro: the schemas kept, as JSON; and the items of one record (a number, with the fields of items
# that are records) that may occupy far more in memory than in the record.
SCHEMA_BYTES = 8 * MIB
AVRO_ITEMS = 262_144

# The JSON of an Avro record may have this many times its bytes, or AVRO_JSON_BYTES if that is more;
# so its bytes are weighed AVRO_COPIES times.
AVRO_EXPANSION, AVRO_JSON_BYTES, AVRO_COPIES = 64, 65_536, 8

# The most that one piece of a compressed file may expand to, and the largest window for it.
PIECE_BYTES = 8 * MIB
WINDOW_BYTES = 128 * MIB

# A response of a schema registry; larger schemas exceed a broker's default limit.
ANSWER_BYTES = 4 * MIB

# For display: the number of kinds of dead letters, the length of a text in them, and the number of
# field names in a warning.
GROUPS = 1000
TEXT_CHARACTERS = 500
NAMES = 1000

# The caches and tables above together, plus memory that the allocator does not return.
REST_BYTES = 96 * MIB

_value, _key, _headers = map(attrgetter, ("value", "key", "headers"))

# Characters that JSON escapes as six characters, and as two.
_CONTROL = bytes(set(range(32)) - set(b"\b\t\n\f\r"))
_ESCAPED = b'"\\\b\t\n\f\r'


def weight(records: Sequence[Record], copies: int = 1) -> int:
    """Return the bytes that the records occupy: values, keys, headers and overhead.

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
    """Return the length of UTF-8 text when escaped in JSON."""
    long, short = (len(text) - len(text.translate(None, each)) for each in (_CONTROL, _ESCAPED))
    return len(text) + 5 * long + short


class _Widths:
    """The bytes that column names add to each row as JSON. Rows share their columns."""

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
    """Return the bytes that a CSV row takes as JSON, beyond its own."""
    return escaped(record.value or b"") - len(record.value or b"") + _width(record.columns)


def slice_bytes(batch_bytes: int) -> int:
    """Return the size of one read; together with a complete batch it stays within the limit."""
    return batch_bytes // 2


def most_records(room: int, columns: Sequence[str] | None = None) -> int:
    """Return how many records to request while `room` bytes are left: at least one."""
    return max(1, room // (RECORD_BYTES + _width(columns)))


def most_events(batch_bytes: int, columns: int) -> int:
    """Return how many events of that many feature columns a batch may hold."""
    return max(1, batch_bytes // (RECORD_BYTES + FEATURE_BYTES * columns))


def longest_line(max_record_bytes: int) -> int:
    """Return how many bytes of a line are kept."""
    return max(max_record_bytes, min(16 * max_record_bytes, LINE_BYTES))


def row_bytes(columns: int, *, keyed: bool = False) -> int:
    """Return the bytes of a training row in the window or in quarantine, with its key's digest if
    it is `keyed`."""
    return 8 * columns + (17 if keyed else 9)


def keys(max_keys: int, row_bytes: int) -> int:
    """Return the most bytes that the keys of one partition occupy: their names, their rows and room
    for an eighth more."""
    return max_keys * (row_bytes + row_bytes // 8 + KEY_BYTES)


def key_copies(most_events: int, row_bytes: int, copies: int) -> int:
    """Return the most bytes of rows that are copied for a commit: once for a rollback, and as
    records, if the sink writes them."""
    return (copies * most_events + CHUNK_COPIES * CHUNK) * row_bytes


def budget(
    batch_bytes: int = BATCH_BYTES, max_record_bytes: int = MIB, fetch_bytes: int = 0
) -> int:
    """Return the most bytes that the service occupies beside its libraries and its model.

    `fetch_bytes` are Kafka's records in flight. The last record of a batch may add to it.
    """
    batch = COPIES * (batch_bytes + longest_line(max_record_bytes))
    held = HELD_BYTES + batch_bytes
    return batch + held + DECODED * max_record_bytes + fetch_bytes + REST_BYTES
