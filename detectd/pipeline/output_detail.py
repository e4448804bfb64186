"""Outputs with reduced detail: the verdict, but not how close it was to another.

Someone who can send events and read their scores can probe what is still called normal. With
reduced detail, an output keeps only its verdict, reason, model, id and event; an alarm keeps what
moved; a dead letter, which was never judged, keeps everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from detectd.pipeline.records import Topic

if TYPE_CHECKING:
    from detectd.pipeline.records import Outgoing

Detail = Literal["full", "verdict"]

HEADERS = {f"detectd-{name}" for name in ("score", "rank", "p-value", "confidence", "explanation")}

# The figures of an envelope are the numbers and nulls between these fields, see `encode.Envelope`.
FIRST, BEHIND = b',"score":', b',"model":'

# The fields of an alarm that are kept, see `alerts.alert`.
FRAME = ("id", "kind", "state", "key", "since", "until", "severity", "summary")
OF_ALARMS = (*FRAME, "alert", "model", "number", "event", "after", "moved")


def shown(outgoing: list[Outgoing], detail: Detail, *, original: bool) -> list[Outgoing]:
    """Return the outputs with that detail; with `original` their values are the original events."""
    if detail == "full":
        return outgoing
    return [_verdict_only(out, original=original) for out in outgoing]


def _verdict_only(out: Outgoing, *, original: bool) -> Outgoing:
    if out.topic is Topic.DEAD_LETTER:
        return out
    if out.topic is Topic.ALERTS:
        return msgspec.structs.replace(out, value=_of_alarm(out.value))
    return msgspec.structs.replace(
        out,
        value=out.value if original else _without_figures(out.value),
        headers=tuple(header for header in out.headers if header[0] not in HEADERS),
    )


def _without_figures(envelope: bytes) -> bytes:
    before, _, rest = envelope.partition(FIRST)
    return before + rest[rest.index(BEHIND) :]


def _of_alarm(value: bytes) -> bytes:
    told = msgspec.json.decode(value)
    if told["kind"] != "drift":  # Only drift has figures of a model.
        return value
    return msgspec.json.encode({name: told[name] for name in OF_ALARMS if name in told})
