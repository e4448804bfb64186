"""Explain the settings of `[training]` in sentences for `detectd check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings.training import TrainingSettings

GUARDS = {
    "none": "any row may train, whatever its verdict",
    "anomaly": "rows judged anomalies train up to detector.contamination of the window",
    "anomaly_and_abstain": (
        "rows judged anomalies train up to detector.contamination of the window, abstained rows up "
        "to the promise"
    ),
    "normal_only": (
        "only rows judged normal train, also after an alarm; the suspicious share comes from the "
        "training rows of the model before, and no model is trained on more rows than that one"
    ),
}


def what_is_learnt(training: TrainingSettings, fewest: int) -> Iterator[str]:
    """Yield how models are replaced, and which rows train them; a refit takes at least `fewest`
    rows."""
    if training.refit == "never":
        yield "nothing after the first model: only an operator replaces it"
        return
    yield GUARDS[training.guard]
    if training.quarantine:
        yield (
            f"a row trains after {training.quarantine:,} more events at the earliest; an alarm, a "
            "refused model, `models rollback` and `models discard` drop what waits"
        )
    if training.after_alarm == "hold":
        yield "a model fitted after an alarm waits for `models activate` or `models discard`"
    if training.refit == "on_drift":
        yield from _after_alarms(training, fewest)
    elif training.quarantine:
        first = training.quarantine + fewest
        yield f"while alarms go on nothing new trains; the first refit takes {first:,} events"


def _after_alarms(training: TrainingSettings, fewest: int) -> Iterator[str]:
    begun = training.quarantine + fewest
    yield f"an alarm empties the window; the next model is fitted {begun:,} events later or more"
    if training.guard == "normal_only":
        yield "that model follows no change that the old one finds suspicious: fit by hand for one"
    elif training.after_alarm == "refit":
        yield (
            "it may change any verdict, and nobody looks at it: whoever can provoke an alarm can "
            'teach it; after_alarm = "hold" lets it wait for you'
        )
