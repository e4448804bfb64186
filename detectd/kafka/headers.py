"""The headers of an incoming record, as the service forwards them.

Headers of an upstream detectd are replaced. Kafka allows any bytes as a name, and
both clients support only UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from kafka.record import default_records, memory_records

from detectd.pipeline import memory_budget

if TYPE_CHECKING:
    from collections.abc import Sequence

log = structlog.get_logger()

OURS = "detectd-"

_warned: set[str] = set()


def passed_on(headers: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers without those of a detectd; a null value becomes an empty one.

    Of more than memory.HEADERS there are only the first; see `left_out`.
    """
    # The writing client does not support null.
    kept = headers[: memory_budget.HEADERS]
    return tuple((name, value or b"") for name, value in kept if not name.startswith(OURS))


def left_out(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return the bytes of excess headers, as far as known; 0 if there are none."""
    rest = headers[memory_budget.HEADERS :]
    return sum(len(name) + len(value or b"") for name, value in rest) + len(rest)


def warn_once(event: str, **details: object) -> None:
    """Log a warning for the first record of its kind only."""
    if event not in _warned:
        _warned.add(event)
        log.warning(event, **details)


class _Text(bytes):
    """A part of a buffer as text, with invalid bytes escaped."""

    def decode(self, *_: Any) -> str:
        return bytes.decode(self, "utf-8", "backslashreplace")


class _Buffer(bytes):
    def __getitem__(self, place: Any) -> Any:
        part = bytes.__getitem__(self, place)
        return _Text(part) if isinstance(part, bytes) else part


class _RecordBatch(default_records.DefaultRecordBatch):  # type: ignore[misc]
    """kafka-python's batch, which continues after a header whose name is not UTF-8."""

    _buffer: Any
    _pos: int

    def _read_msg(self, *arguments: Any) -> Any:
        record = self._read_any(*arguments)
        # One more than is kept, to detect an excess. Many small ones would need twenty times their
        # bytes.
        del record.headers[memory_budget.HEADERS + 1 :]
        return record

    def _read_any(self, *arguments: Any) -> Any:
        place = self._pos
        try:
            return super()._read_msg(*arguments)
        except UnicodeDecodeError:
            whole, self._buffer, self._pos = self._buffer, _Buffer(self._buffer), place
            try:
                record = super()._read_msg(*arguments)
            finally:
                self._buffer = whole
            warn_once(
                "source.header_name",
                offset=record.offset,
                reason="a header name is not UTF-8; its invalid bytes are written as \\xNN",
                hint="correct the producer",
            )
            return record


def read_any_header_name() -> None:
    """Patch kafka-python's consumers to read header names that are not UTF-8."""
    memory_records.DefaultRecordBatch = _RecordBatch
