"""Parse spans of time: 90s, 30m, 2h, 7d or 1w. Pure."""

from __future__ import annotations

import re

# A number and its unit.
SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])")
# The same as a JSON schema has it, with white space around it.
PATTERN = r"^\s*\d{1,9}(\.\d{1,9})?\s*[smhdw]\s*$"
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def span_ms(text: str) -> int | None:
    """Return a span of time like 90s, 30m, 2h, 7d or 1w in milliseconds; None if it is not one."""
    span = SPAN.fullmatch(text.strip())
    return round(float(span[1]) * SECONDS[span[2]] * 1000) if span else None
