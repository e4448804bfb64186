"""The output of `detectd check` on features: meaning, cost, and declarations without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd import derive
from detectd.features import Category, Declared, History, routine
from detectd.features.declaring import is_surprise
from detectd.features.description import describe, slowest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.features.parameters import Value
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
    elif weighed := [label for label, each in _declared(event) if _weight_of(each) is not None]:
        yield (
            f"WARNING   event.features: weight of {', '.join(weighed)} has no effect: only "
            'detector.name = "TailSum" adds up columns by weight; remove it'
        )


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
    odd = [(label, isinstance(each, Category)) for label, each in _declared(event) if _raw(each)]
    for of_category, instead in (
        (False, "a function with surprise = true"),
        (True, 'fn = "rarity" instead of "onehot"'),
    ):
        labels = [label for label, is_category in odd if is_category == of_category]
        if labels:
            yield (
                f"WARNING   detector.name: TailSum adds up surprises, and {', '.join(labels)} "
                f"{'is not one' if len(labels) == 1 else 'are not'}; use {instead}, or another "
                "detector"
            )


def _raw(declared: Declared) -> bool:
    """Return whether a feature has its own unit and no weight."""
    if not isinstance(declared, History | Category):
        return True
    return not is_surprise(declared) and _weight_of(declared) is None


def _weight_of(declared: Declared) -> Value | None:
    """Return the declared weight of a feature; None if it has none."""
    return dict(declared.params).get("weight") if isinstance(declared, History | Category) else None


def _declared(event: EventSettings) -> Iterator[tuple[str, Declared]]:
    return zip(event.labels, event.declared, strict=True)
