"""Convert settings to the options of the service's parts, so that no part depends on the
settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectd import derive
from detectd.pipeline import memory_budget
from detectd.service.gathering import BatchLimits
from detectd.service.refit_schedule import RefitSchedule
from detectd.service.retraining import RetrainingOptions
from detectd.service.stream_rows import RowsOptions
from detectd.service.warmup import WarmupOptions

if TYPE_CHECKING:
    from detectd.models.serving import ServingOptions
    from detectd.models.trainer_process import Limits
    from detectd.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PhaseOptions:
    """The options for serving and for retraining; None for no retraining.

    `limits` apply to fitting a stored model again. `original` is whether outputs keep the bytes of
    the record.
    """

    serving: ServingOptions
    limits: Limits
    average_run_length: float
    original: bool
    retraining: RetrainingOptions | None


def phase_options(settings: Settings) -> PhaseOptions:
    """Return the options. Raise ConfigError if the refit settings could train no model."""
    return PhaseOptions(
        serving=derive.serving_options(settings),
        limits=derive.trainer_limits(settings),
        average_run_length=settings.drift.average_run_length,
        original=settings.output.value == "original",
        retraining=retraining_options(settings),
    )


def retraining_options(settings: Settings) -> RetrainingOptions | None:
    """Return the options; None without retraining. Raise ConfigError if no model could be
    trained."""
    training = settings.training
    if training.refit == "never":
        return None
    derive.require_trainable_warmup(settings)
    backfill = settings.source.kind == "file" and settings.source.bounded
    return RetrainingOptions(
        rows=RowsOptions(
            width=len(settings.event.columns),
            size=training.window,
            kind=training.sample,
            quarantine=training.quarantine,
            keyed=settings.calibration.by_key,
        ),
        schedule=RefitSchedule(
            refit=training.refit,
            every_events=training.every_events,
            every_seconds=training.every_seconds,
            cooldown_events=training.cooldown_events,
            guard=training.guard,
            max_changed=training.max_changed,
            fewest=derive.refit_rows(settings),
            backfill=backfill,
        ),
        serving=derive.serving_options(settings),
        limits=derive.trainer_limits(settings, gives_way=not backfill),
        hold_after_alarm=training.after_alarm == "hold",
    )


def batch_limits(settings: Settings) -> BatchLimits:
    """Return the limits of a batch: a part of the memory, and of the consumer's poll interval."""
    source = settings.source
    most = memory_budget.most_events(source.batch_bytes, settings.event.width)
    return BatchLimits(
        most_records=min(most, source.batch_records),
        answer_seconds=settings.kafka.max_poll_interval_seconds / 4,
        enough_bytes=memory_budget.slice_bytes(source.batch_bytes),
        copies=derive.copies(settings),
        wait_seconds=source.batch_seconds,
    )


def warmup_options(settings: Settings) -> WarmupOptions:
    """Return the options. Raise DetectdError if no warm-up could train the model."""
    derive.require_detector(settings)
    derive.require_trainable_warmup(settings)
    return WarmupOptions(
        goal=derive.warmup_goal(settings),
        recipe=derive.recipe(settings),
        on_warmup=settings.training.on_warmup,
        shared=settings.source.kind == "kafka",
        original=settings.output.value == "original",
        max_per_key=settings.training.max_per_key,
        by_key=settings.calibration.by_key,
    )
