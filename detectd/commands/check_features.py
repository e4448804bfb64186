"""The output of `detectd check` on features: meaning, cost, and declarations without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd import derive
from detectd.features import Category, Declared, History, routine
from detectd.features.declaring import is_surprise
from detectd.features.description import describe, slowest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings
    from detectd.settings.event import EventSettings


def what_features_are(settings: Settings) -> Iterator[str]:
    """Yield a line for each feature that is a function, and a warning for each declaration without
    effect."""
    event = settings.event
    time = event.timestamp or "the record's timestamp"
    yield from (f"feature   {line}" for line in describe(event.declared, time))
    if derive.keeps_keys(settings):
        yield from _keys(settings)
    elif given := sorted(settings.keys.model_fields_set):
        yield (
            f"WARNING   keys.{given[0]} has no effect: no feature uses a key's history; declare "
            "one that does, or remove [keys]"
        )
    if settings.detector.name == "TailSum":
        yield from _added_up(event)


def _keys(settings: Settings) -> Iterator[str]:
    """Yield notes on a key or a time that is not configured, and on young keys."""
    event, keys = settings.event, settings.keys
    on_kafka = settings.source.kind == "kafka"
    if event.key is None and not on_kafka:
        yield "feature   all events share one key, because event.key is not set"
    label, events = slowest(event.declared)
    if keys.min_events < events - 1:
        yield (
            f"feature   keys.min_events = {keys.min_events}: events are judged before {label} is "
            f"complete; with {events - 1}, the first {events - 1} events of a key abstain"
        )
    if event.timestamp is None and not on_kafka:
        for key, in_use in (("idle", keys.idle is not None), ("late", keys.late != "accept")):
            if in_use:
                yield (
                    f"WARNING   keys.{key} has no effect, because events have no time; set "
                    "event.timestamp to the field that holds it"
                )
    if keys.routine:
        yield f"feature   keys.routine: {routine.MEANING}; {routine.KEY_BYTES:,} bytes per key"


def _added_up(event: EventSettings) -> Iterator[str]:
    """Warn about columns that TailSum would add to surprises in spite of their units."""
    odd = [label for label, each in zip(event.labels, event.declared, strict=True) if _raw(each)]
    if odd:
        yield (
            f"WARNING   detector.name: TailSum adds up surprises, and {', '.join(odd)} "
            f"{'is not one' if len(odd) == 1 else 'are not'}; use a function with surprise = true, "
            "or another detector"
        )


def _raw(declared: Declared) -> bool:
    """Return whether a feature has its own unit and no weight."""
    if not isinstance(declared, History | Category):
        return True
    return not is_surprise(declared) and "weight" not in dict(declared.params)
