"""How models come about and are replaced while the service runs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from detectd.settings.section import Seconds, Section


class TrainingSettings(Section):
    """How the first model comes about without `detectd fit`, and the next ones."""

    warmup: int = Field(default=2000, ge=2, le=10_000_000)
    on_warmup: Literal["abstain", "hold", "pass"] = "abstain"

    refit: Literal["never", "every", "on_drift"] = "never"
    every_events: int | None = Field(default=None, ge=1)
    every_seconds: Seconds | None = None
    cooldown_events: int = Field(default=10_000, ge=0)
    window: int = Field(default=10_000, ge=2, le=10_000_000)
    sample: Literal["sliding", "reservoir"] = "sliding"
    guard: Literal["none", "anomaly", "anomaly_and_abstain", "normal_only"] = "anomaly"
    quarantine: int = Field(default=0, ge=0, le=10_000_000)
    max_changed: float = Field(default=0.2, ge=0, le=1)
    on_refit: Literal["activate", "shadow"] = "activate"
    after_alarm: Literal["refit", "hold"] = "refit"
    deadline_seconds: Seconds = 600.0
    memory_bytes: int = Field(default=2 << 30, ge=256 << 20)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = self.every_events is not None or self.every_seconds is not None
        if (self.refit == "every") != given:
            raise ValueError(
                'refit = "every" goes with every_events, every_seconds or both; '
                "set them together or not at all"
            )
        if self.refit != "never" and self.window < self.warmup:
            raise ValueError(
                f"window = {self.window} must be at least warmup = {self.warmup}, "
                "which is how many rows a model takes"
            )
        return self


class DriftSettings(Section):
    """How the promise is watched: one false alarm in so many events on average."""

    average_run_length: float = Field(default=1e7, ge=100, allow_inf_nan=False)
