"""An event's own key and timestamp, from whatever its fields hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

# Epoch times beyond this are milliseconds: as seconds they would lie after the year 5000.
FIRST_MILLISECONDS = 1e11
END_OF_TIME = 253_402_300_800_000

# A span of time: a number and its unit.
SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

# JSON gives no Decimal, other formats do.
NUMBERS = (float, int, Decimal)
to_json = msgspec.json.Encoder(decimal_format="number").encode


def key_bytes(value: Any) -> bytes | None:
    """The key that a field's value gives: its text, or its JSON."""
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else to_json(value)


def milliseconds(value: Any) -> int | None:
    """Milliseconds since the epoch, or None where the value is no time.

    Accepts ISO 8601 (UTC where no zone is named) and epoch seconds or milliseconds, from 1970 to
    9999: Kafka knows no time before, and nobody means one after.
    """
    moment = -1.0
    if isinstance(value, str):
        moment = _iso_milliseconds(value)
    elif isinstance(value, NUMBERS) and not isinstance(value, bool):
        value = float(value) if isinstance(value, Decimal) else value
        # A negative time is none, and may be an integer too large to multiply.
        moment = value if value >= FIRST_MILLISECONDS or value < 0 else value * 1000.0
    return round(moment) if 0 <= moment < END_OF_TIME else None


def before(text: str, now_ms: int) -> int | None:
    """Milliseconds since the epoch: of a span before now, like 90s, 30m, 2h, 7d, or of an ISO time.

    None if the text is neither.
    """
    span = SPAN.fullmatch(text.strip())
    if span:
        return now_ms - round(float(span[1]) * SECONDS[span[2]] * 1000)
    return milliseconds(text)


def _iso_milliseconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return -1.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000
