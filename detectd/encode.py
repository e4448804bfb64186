"""From verdicts and dead letters to the JSON of the four topics.

The original event is spliced in as it came, never decoded and encoded again, so no digit of it
changes on the way through.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from detectd.records import Defect, Outgoing, Reason, Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from detectd.records import Event, Record


class Envelope(msgspec.Struct):
    """The value of an output record. A field is null where it does not apply."""

    verdict: str
    reason: str | None
    score: float | None
    rank: int | None
    p_value: float | None
    confidence: float | None
    log_p_anomaly: float | None
    log_p_normal: float | None
    model: str | None
    id: str
    event: msgspec.Raw
    imputed: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    key: str | msgspec.UnsetType = msgspec.UNSET
    key_base64: str | msgspec.UnsetType = msgspec.UNSET
    timestamp: int | msgspec.UnsetType = msgspec.UNSET


# The fields of an envelope that are headers too, and those that are when the value is the record's.
HEADERS = ("verdict", "score", "model")
ALL_HEADERS = (*HEADERS, "reason", "rank", "p_value", "confidence", "id")


class DeadLetter(msgspec.Struct):
    """The value of a dead letter: the record's own bytes, and why they went no further."""

    id: str
    stage: str
    error: str
    raw: str | None
    raw_encoding: str


def envelope(
    verdict: Topic, record: Record, event: Event, *, original: bool = False, **figures: object
) -> Outgoing:
    """One verdict as an output record; `figures` are the remaining fields of `Envelope`.

    With `original` the value is the record's own, byte for byte, and the figures are headers.
    """
    fields = dict.fromkeys(Envelope.__struct_fields__[1:9]) | figures
    if event.key is not None:
        text, encoding = _text(event.key)
        fields["key" if encoding == "utf-8" else "key_base64"] = text
    if event.timestamp_ms is not None:
        fields["timestamp"] = event.timestamp_ms
    body = Envelope(verdict=verdict, id=record.id, event=msgspec.Raw(event.json), **fields)  # type: ignore[arg-type]
    return Outgoing(
        topic=verdict,
        value=(record.value or b"") if original else msgspec.json.encode(body),
        key=event.key,
        headers=(*record.headers, *_headers(body, ALL_HEADERS if original else HEADERS)),
        timestamp_ms=event.timestamp_ms,
        partition=record.partition,
    )


def _headers(body: Envelope, fields: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for field in fields:
        figure = getattr(body, field)
        if figure is not None:
            text = figure if isinstance(figure, str) else repr(figure)
            yield f"detectd-{field.replace('_', '-')}", text.encode()


def warming_up(record: Record, event: Event, *, original: bool = False) -> Outgoing:
    """The answer while there is no model yet."""
    return envelope(Topic.ABSTAIN, record, event, original=original, reason=Reason.WARMING_UP)


def dead_letter(record: Record, defect: Defect) -> Outgoing:
    """A record that could not become a feature vector with a finite score."""
    raw, encoding = (None, "none") if record.value is None else _text(record.value)
    body = DeadLetter(record.id, defect.stage, defect.error, raw, encoding)
    return Outgoing(
        topic=Topic.DEAD_LETTER,
        value=msgspec.json.encode(body),
        key=record.key,
        headers=(*record.headers, ("detectd-stage", defect.stage.encode())),
        timestamp_ms=record.timestamp_ms,
        partition=record.partition,
    )


def size(out: Outgoing) -> int:
    """The bytes that key, value and headers take, with room for the lengths between them."""
    headers = sum(len(name) + len(value) + 10 for name, value in out.headers)
    return len(out.value) + len(out.key or b"") + headers


def too_large(record: Record, out: Outgoing, limits: Mapping[Topic, int]) -> Outgoing:
    """The dead letter for a record whose output has no room on its topic.

    It keeps the record's bytes where these have room, and else says where they still are.
    """
    defect = Defect(
        Stage.ENCODE,
        f"the output has {size(out):,} bytes and the topic {out.topic} takes "
        f"{limits[out.topic]:,}; raise its max.message.bytes",
    )
    whole = dead_letter(record, defect)
    if size(whole) <= limits.get(Topic.DEAD_LETTER, size(whole)):
        return whole
    rest = f"{defect.error}; the record's bytes have no room here and are at the source still"
    return dead_letter(
        replace(record, value=None, key=None, headers=()), Defect(defect.stage, rest)
    )


def _text(raw: bytes) -> tuple[str, str]:
    """Bytes as JSON can hold them, and how."""
    try:
        return raw.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"
