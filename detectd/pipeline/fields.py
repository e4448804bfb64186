"""Extract key and timestamp from an event's fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.features.spans import span_ms
from detectd.pipeline.memory_budget import CACHED_CATEGORIES, CACHED_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

# Epoch times are taken for seconds, milliseconds, microseconds or nanoseconds by their size: each
# unit begins in 1973, but for seconds, and ends in 5138. Nanoseconds end in 2262 with the integers
# of 64 bits, of which the largest means never.
FIRST_MILLISECONDS, FIRST_MICROSECONDS, FIRST_NANOSECONDS = 1e11, 1e14, 1e17
END_OF_NANOSECONDS = 2**63 - 1
END_OF_TIME = 253_402_300_800_000

# A number in text, with a decimal point or comma.
EPOCH = re.compile(r"[0-9]+(?:[.,][0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
# Dates such as 20260101 and 20260101123000 have this many digits; epoch times of that length lie in
# 1970 and 2611.
COMPACT = (8, 14)
# More digits are not a time, and may be more than Python converts to a number.
LONGEST_EPOCH = 40

# JSON yields no Decimal, other formats do.
NUMBERS = (float, int, Decimal)
to_json = msgspec.json.Encoder(decimal_format="number").encode


def key_bytes(value: Any) -> bytes | None:
    """Return the key that a field's value gives: its text, or its JSON."""
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else to_json(value)


def joined_key(values: Sequence[Any]) -> bytes | None:
    """Return the key for several fields: the JSON array of their values, None if all are
    missing."""
    if len(values) == 1:
        return key_bytes(values[0])
    return None if all(value is None for value in values) else to_json(values)


# The numbers of recent categories; texts that are longer than a cached key are not kept.
_numbers: dict[bytes, float] = {}


def category_hash(text: bytes) -> float:
    """Return the number that stands for a category: 53 bits of a hash, the same everywhere."""
    number = _numbers.get(text)
    if number is None:
        number = float(int.from_bytes(blake2b(text, digest_size=8).digest()) >> 11)
        if len(text) <= CACHED_KEY_BYTES:
            if len(_numbers) >= CACHED_CATEGORIES:
                _numbers.clear()
            _numbers[text] = number
    return number


def category_texts() -> dict[float, str]:
    """Return recent categories' texts by their number, for display; frequent ones are among
    them."""
    return {number: text.decode() for text, number in _numbers.copy().items()}


def milliseconds(value: Any) -> int | None:
    """Return milliseconds since the epoch, or None if the value is not a time.

    Accepts ISO 8601 (UTC unless a zone is named) and epoch seconds, milliseconds, microseconds or
    nanoseconds, as a number or as text, from 1970 to 9999: Kafka has no earlier times, and
    later ones are mistakes.
    """
    moment = -1.0
    if isinstance(value, str):
        moment = _text_milliseconds(value.strip())
    elif isinstance(value, NUMBERS) and not isinstance(value, bool):
        value = float(value) if isinstance(value, Decimal) else value
        # Most times are seconds; this avoids a call.
        moment = value * 1000.0 if 0 <= value < FIRST_MILLISECONDS else _epoch_milliseconds(value)
    return round(moment) if 0 <= moment < END_OF_TIME else None


def before(text: str, now_ms: int) -> int | None:
    """Return milliseconds since the epoch: of a span before now, like 90s, 30m, 2h, 7d, or of an
    ISO time.

    None if the text is neither.
    """
    span = span_ms(text)
    return milliseconds(text) if span is None else now_ms - span


def _epoch_milliseconds(value: float) -> float:
    # A value out of range may be an integer too large to calculate with.
    if not 0 <= value < END_OF_NANOSECONDS:
        return -1.0
    if value < FIRST_MILLISECONDS:
        return value * 1000.0
    if value < FIRST_MICROSECONDS:
        return value
    return value / 1000.0 if value < FIRST_NANOSECONDS else value / 1_000_000.0


def _text_milliseconds(text: str) -> float:
    is_date = text[4:5] == "-"  # the common case, faster than the pattern
    if not is_date and len(text) <= LONGEST_EPOCH and EPOCH.fullmatch(text):
        return _compact_milliseconds(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return -1.0
    return _utc_milliseconds(moment)


def _compact_milliseconds(text: str) -> float:
    """Return the time for digits: a calendar date if valid, otherwise an epoch time."""
    if len(text) in COMPACT and text.isdigit():
        try:
            return _utc_milliseconds(datetime.fromisoformat(f"{text[:8]}T{text[8:] or '00'}"))
        except ValueError:
            pass
    return _epoch_milliseconds(int(text) if text.isdigit() else float(text.replace(",", ".")))


def _utc_milliseconds(moment: datetime) -> float:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000
