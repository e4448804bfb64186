"""From verdicts and dead letters to the JSON of the four topics.

The original event is spliced in as it came, never decoded and encoded again, so no digit of it
changes on the way through.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from detectd.records import Outgoing, Reason, Topic

if TYPE_CHECKING:
    from detectd.records import Defect, Event, Record


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


class DeadLetter(msgspec.Struct):
    """The value of a dead letter: the record's own bytes, and why they went no further."""

    id: str
    stage: str
    error: str
    raw: str | None
    raw_encoding: str


def envelope(verdict: Topic, record: Record, event: Event, **figures: object) -> Outgoing:
    """One verdict as an output record; `figures` are the remaining fields of `Envelope`."""
    fields = dict.fromkeys(Envelope.__struct_fields__[1:9]) | figures
    if event.key is not None:
        text, encoding = _text(event.key)
        fields["key" if encoding == "utf-8" else "key_base64"] = text
    if event.timestamp_ms is not None:
        fields["timestamp"] = event.timestamp_ms
    body = Envelope(verdict=verdict, id=record.id, event=msgspec.Raw(event.json), **fields)  # type: ignore[arg-type]
    headers = [("detectd-verdict", verdict.encode())]
    if body.score is not None:
        headers.append(("detectd-score", repr(body.score).encode()))
    if body.model is not None:
        headers.append(("detectd-model", body.model.encode()))
    return Outgoing(
        topic=verdict,
        value=msgspec.json.encode(body),
        key=event.key,
        headers=(*record.headers, *headers),
        timestamp_ms=event.timestamp_ms,
        partition=record.partition,
    )


def warming_up(record: Record, event: Event) -> Outgoing:
    """The answer while there is no model yet."""
    return envelope(Topic.ABSTAIN, record, event, reason=Reason.WARMING_UP)


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


def _text(raw: bytes) -> tuple[str, str]:
    """Bytes as JSON can hold them, and how."""
    try:
        return raw.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"
