"""`[keys]`: the state of event keys, for features with a memory."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from detectd.features.spans import PATTERN, span_ms
from detectd.settings.types import Section

# Less than a second is too short for silence, and more than ten years is a wrong unit.
SHORTEST_MS, LONGEST_MS = 1_000, 3_650 * 86_400_000


def _span(given: Any) -> str | None:
    if given is None:
        return None
    span = span_ms(given) if isinstance(given, str) else None
    if span is None or not SHORTEST_MS <= span <= LONGEST_MS:
        raise ValueError(
            'must be a span of event time like "30d", "12h" or "5m", from "1s" to "3650d" '
            f"(it is {json.dumps(given, default=str)})"
        )
    return str(given).strip()


# Not a plain union: it would report the errors of each alternative.
Span = Annotated[
    str | None,
    BeforeValidator(
        _span,
        json_schema_input_type=Annotated[str, Field(pattern=PATTERN)],
    ),
]


class KeysSettings(Section):
    """The number of remembered keys, their lifetime, and the policy for late and early events."""

    max: int = Field(default=100_000, ge=1, le=10_000_000)
    idle: Span = None
    min_events: int = Field(default=0, ge=0, le=1_000_000)
    late: Literal["accept", "dead_letter", "abstain"] = "accept"
    silent_after: Span = None
    routine: bool = False

    @property
    def idle_ms(self) -> int | None:
        """Return the event time after which an idle key is restarted; None for never."""
        return None if self.idle is None else span_ms(self.idle)

    @property
    def silent_ms(self) -> int | None:
        """Return the time after which a key without an event is silent; None if not configured."""
        return None if self.silent_after is None else span_ms(self.silent_after)
