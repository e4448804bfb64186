"""The training and replacement of models while the service runs."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from detectd.features.spans import PATTERN, span_ms
from detectd.settings.types import RELOADABLE, Seconds, Section

MOST_ROWS = 10_000_000

# Less than a minute is too short for a cycle, and more than ten years is a wrong unit.
SHORTEST_MS, LONGEST_MS = 60_000, 3_650 * 86_400_000


def _warmup(given: Any) -> int | str:
    if isinstance(given, int) and not isinstance(given, bool):
        if not 2 <= given <= MOST_ROWS:
            bound = "at least 2" if given < 2 else f"at most {MOST_ROWS:,}"
            raise ValueError(f"must be {bound} events (it is {given})")
        return given
    span = span_ms(given) if isinstance(given, str) else None
    if span is None:
        raise ValueError(
            'must be a whole number of events, or a span of event time like "7d", "36h" or "90m" '
            f"(it is {json.dumps(given, default=str)})"
        )
    if not SHORTEST_MS <= span <= LONGEST_MS:
        raise ValueError(f'must span from "1m" to "3650d" (it is "{given}")')
    return str(given).strip()


# Not a plain union: it would report the errors of each alternative.
Warmup = Annotated[
    int | str,
    BeforeValidator(
        _warmup,
        json_schema_input_type=Annotated[int, Field(ge=2, le=MOST_ROWS)]
        | Annotated[str, Field(pattern=PATTERN)],
    ),
]


class TrainingSettings(Section):
    """The training of the first model without `detectd fit`, and of the next ones."""

    warmup: Warmup = 2000
    on_warmup: Literal["abstain", "hold", "pass"] = "abstain"

    refit: Annotated[Literal["never", "every", "on_drift"], RELOADABLE] = "never"
    every_events: Annotated[int | None, RELOADABLE] = Field(default=None, ge=1)
    every_seconds: Annotated[Seconds | None, RELOADABLE] = None
    cooldown_events: Annotated[int, RELOADABLE] = Field(default=10_000, ge=0)
    max_per_key: int | None = Field(default=None, ge=2)
    window: int = Field(default=10_000, ge=2, le=MOST_ROWS)
    sample: Literal["sliding", "reservoir"] = "sliding"
    guard: Annotated[
        Literal["none", "anomaly", "anomaly_and_abstain", "normal_only"], RELOADABLE
    ] = "anomaly"
    quarantine: int = Field(default=0, ge=0, le=10_000_000)
    max_changed: Annotated[float, RELOADABLE] = Field(default=0.2, ge=0, le=1)
    on_refit: Annotated[Literal["activate", "shadow"], RELOADABLE] = "activate"
    after_alarm: Annotated[Literal["refit", "hold"], RELOADABLE] = "refit"
    deadline_seconds: Annotated[Seconds, RELOADABLE] = 600.0
    memory_bytes: Annotated[int, RELOADABLE] = Field(default=2 << 30, ge=256 << 20)

    @property
    def warmup_span_ms(self) -> int | None:
        """Return the span of event time that a warm-up lasts, or None if it is a number of
        events."""
        return span_ms(self.warmup) if isinstance(self.warmup, str) else None

    @property
    def warmup_rows(self) -> int:
        """Return how many rows the first model is trained on, at most if `warmup` is a span."""
        return self.window if isinstance(self.warmup, str) else self.warmup

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = self.every_events is not None or self.every_seconds is not None
        if (self.refit == "every") != given:
            raise ValueError(
                'refit = "every" goes with every_events, every_seconds or both; '
                "set them together or not at all"
            )
        if self.refit != "never" and self.window < self.warmup_rows:
            raise ValueError(
                f"window = {self.window} must be at least warmup = {self.warmup}, the number of "
                "rows that a model needs"
            )
        return self


class DriftSettings(Section):
    """The monitoring of the promise: one false alarm in N events on average."""

    average_run_length: float = Field(default=1e7, ge=100, allow_inf_nan=False)
