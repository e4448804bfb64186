"""`[keys]`: what is remembered of the keys of events, for features with a memory."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from detectd.features.spans import span_ms
from detectd.settings.types import Section

# Under a second there is no silence to see, and over ten years a unit is wrong.
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


# No plain union: each side's mistakes would be reported.
Span = Annotated[
    str | None,
    BeforeValidator(
        _span,
        json_schema_input_type=Annotated[
            str, Field(pattern=r"^\s*\d{1,9}(\.\d{1,9})?\s*[smhdw]\s*$")
        ],
    ),
]


class KeysSettings(Section):
    """How many keys are remembered, for how long, and what becomes of late and early events."""

    max: int = Field(default=100_000, ge=1, le=10_000_000)
    idle: Span = None
    min_events: int = Field(default=0, ge=0, le=1_000_000)
    late: Literal["accept", "dead_letter", "abstain"] = "accept"
    silent_after: Span = None

    @property
    def idle_ms(self) -> int | None:
        """After how much event time without an event a key begins again; None for never."""
        return None if self.idle is None else span_ms(self.idle)

    @property
    def silent_ms(self) -> int | None:
        """Return how long a key without an event is not silent yet; None if nobody asks."""
        return None if self.silent_after is None else span_ms(self.silent_after)
