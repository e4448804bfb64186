"""Rules between sections: what one asks for and another has to provide.

Each rule yields a line for each mistake, so that all of them can be reported together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings

SET_KEY = "set event.key to the field that holds it"
SET_TIME = "set event.timestamp to the field that holds it"


def mistakes(settings: Settings) -> list[str]:
    """Return a line for each mistake, beginning with the key."""
    rules = (_ends, _training, _time, _keys, _columns)
    return [mistake for rule in rules for mistake in rule(settings)]


def _ends(settings: Settings) -> Iterator[str]:
    source, sink = settings.source, settings.sink
    if source.format == "avro" and settings.schema_registry.url is None:
        yield 'schema_registry.url: source.format = "avro" needs it'
    if settings.kafka.delivery == "at_least_once" and not source.kind == sink.kind == "kafka":
        yield "kafka.delivery: at_least_once needs Kafka at both ends; remove it"
    if settings.output.value == "original" and sink.kind != "kafka":
        yield (
            f'output.value: "original" puts the verdict in headers, and a {sink.kind} sink has '
            'none; set "envelope"'
        )
    clash = sorted(set(settings.topics.model_dump().values()) & set(source.topics))
    if clash and sink.kind == "kafka":
        yield f"source.topics: {clash[0]!r} is also an output in topics; name another"


def _training(settings: Settings) -> Iterator[str]:
    source, training = settings.source, settings.training
    if training.on_warmup == "hold" and source.kind == "stdin":
        yield (
            'training.on_warmup: "hold" rereads the stream, which stdin does not allow; set '
            '"abstain" or "pass"'
        )
    if source.kind == "file" and source.bounded and training.every_seconds is not None:
        yield (
            "training.every_seconds: a file that is read to its end gives the same verdicts each "
            "time, so retraining cannot follow the clock; set every_events, or "
            "source.follow = true"
        )


def _time(settings: Settings) -> Iterator[str]:
    """Yield what needs the events' time if they have none; Kafka's records have one."""
    if settings.event.timestamp is not None or settings.source.kind == "kafka":
        return
    if settings.event.timed:
        yield f"event.features: {settings.event.timed[0]!r} needs the event's time; {SET_TIME}"
    if settings.training.warmup_span_ms is not None:
        yield (
            f'training.warmup: "{settings.training.warmup}" is a span of event time; {SET_TIME}, '
            "or give a number of events"
        )
    if settings.keys.silent_after is not None:
        yield f"keys.silent_after: needs the event's time; {SET_TIME}"
    if settings.keys.routine:
        yield f"keys.routine: needs the event's time; {SET_TIME}"


def _keys(settings: Settings) -> Iterator[str]:
    """Yield what needs keys if events have none; Kafka's records may have one."""
    if settings.event.key is None and settings.source.kind != "kafka":
        asked = {
            "calibration.by_key": settings.calibration.by_key,
            "keys.silent_after": settings.keys.silent_after is not None,
            "keys.routine": settings.keys.routine,
        }
        yield from (f"{name}: needs a key; {SET_KEY}" for name, is_set in asked.items() if is_set)
    if settings.keys.silent_after is not None and settings.topics.alerts is None:
        yield (
            "keys.silent_after: silences are written as alerts; set topics.alerts to a topic (with "
            "files any name: they go to alerts.jsonl)"
        )


def _columns(settings: Settings) -> Iterator[str]:
    columns = settings.source.csv.columns
    lacks = next((name for name in settings.event.fields if name not in columns), None)
    if columns and lacks is not None:
        close = nearest(lacks, columns)
        asks = f"did you mean {close!r}?" if close else f"they are {', '.join(columns)}"
        yield f"source.csv.columns: {lacks!r} of event.features is not one of them; {asks}"
