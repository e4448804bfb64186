"""Explain the settings of `[training]` in sentences for `detectd check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings.training import TrainingSettings

GUARDS = {
    "none": "any row may be used for training, whatever its verdict",
    "anomaly": "rows judged anomalies are used up to detector.contamination of the window",
    "anomaly_and_abstain": (
        "rows judged anomalies are used up to detector.contamination of the window, abstained "
        "rows up to the promised rate"
    ),
    "normal_only": (
        "only rows judged normal are used, even after an alarm; the suspicious share comes from "
        "the training rows of the previous model, and no model is trained on more rows than that "
        "one"
    ),
}


def what_is_learnt(training: TrainingSettings, fewest: int) -> Iterator[str]:
    """Yield how models are replaced, and which rows train them; a refit takes at least `fewest`
    rows."""
    if training.refit == "never":
        yield "no retraining: only an operator replaces the first model"
        return
    yield GUARDS[training.guard]
    if training.quarantine:
        yield (
            f"a row is used {training.quarantine:,} events later at the earliest; an alarm, a "
            "refused model, `models rollback` and `models discard` drop the waiting rows"
        )
    if training.after_alarm == "hold":
        yield "a model fitted after an alarm waits for `models activate` or `models discard`"
    if training.refit == "on_drift":
        yield from _after_alarms(training, fewest)
    elif training.quarantine:
        first = training.quarantine + fewest
        yield f"while alarms continue, no new row is used; the first refit takes {first:,} events"


def _after_alarms(training: TrainingSettings, fewest: int) -> Iterator[str]:
    begun = training.quarantine + fewest
    yield f"an alarm empties the window; the next model is fitted at least {begun:,} events later"
    if training.guard == "normal_only":
        yield (
            "that model cannot follow a change that the old one finds suspicious: "
            "run `detectd fit` after such a change"
        )
    elif training.after_alarm == "refit":
        yield (
            "it may change any verdict without review: anyone who can provoke an alarm can "
            'influence it; after_alarm = "hold" makes it wait for approval'
        )
