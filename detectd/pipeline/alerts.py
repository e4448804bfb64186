"""Alarms, silences and gaps as JSON for the alerts topic, and in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from detectd.features.key_rows import in_words as key_in_words
from detectd.features.key_rows import name_of
from detectd.pipeline.json_pieces import to_json
from detectd.pipeline.records import LostPart, Outgoing, Topic

if TYPE_CHECKING:
    from detectd.features.silence import Silence
    from detectd.pipeline.records import Gap
    from detectd.rejection.drift import Alarm

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def alert(model: str, alarm: Alarm, record: str) -> Outgoing:
    """Return an alarm as a record for the alerts topic; `record` is the id of the record that
    raised it.

    Everything but the shares and `why` is also for readers who must not learn how near a score was
    to another verdict, see `output_detail`: `id` and `summary` are made without them.
    """
    seen = f"{model}\n{alarm.number} {alarm.event}\n{record}"
    summary = f"drift alarm {alarm.number} of model {model}: {alarm.moved}"
    # `alert` is what earlier releases have in place of a kind.
    body = _frame("drift", seen.encode(), "open", summary) | {"alert": "drift", "model": model}
    body |= alarm.as_dict() | {"why": in_words(alarm)}
    return Outgoing(Topic.ALERTS, to_json(body), key=model.encode())


def in_words(alarm: Alarm) -> str:
    """Return an alarm in words: what moved, by how much, and possible causes."""
    (_, abstain, anomaly), (_, abstained, anomalies) = alarm.recent, alarm.expected
    return (
        f"{alarm.moved}: of the latest events {abstain:.1%} fall in the abstention zone and "
        f"{anomaly:.1%} above it; {abstained:.1%} and {anomalies:.1%} were expected. Either the "
        "stream no longer resembles the training data, and the promise no longer holds, or "
        "neighbouring events depend on each other (bursts, trends), which looks the same."
    )


def silence_alert(partition: str, silence: Silence, span: str) -> Outgoing:
    """Return the start or end of a silence as a record for the alerts topic.

    Both have the same `id`; `span` is the configured time after which a key counts as silent.
    """
    name = name_of(silence.key)
    seen = f"{partition}\n{silence.since_ms!r} {silence.events}\n".encode()
    key = key_in_words(silence.key)
    body = _frame("silence", seen + name, silence.state, _summary(silence, span))
    body |= {
        "key": key,
        "since": _moment(silence.since_ms),
        "until": _moment(silence.until_ms),
        "events": silence.events,
        "silent_after": span,
    }
    if silence.state == "close":
        body["reason"] = "forgotten" if silence.forgotten else "returned"
    return Outgoing(Topic.ALERTS, to_json(body), key=None if key is None else name[1:])


def gap_alert(gap: Gap | LostPart) -> Outgoing:
    """Return what was lost of the source as a record for the alerts topic."""
    body: dict[str, Any]
    if isinstance(gap, LostPart):
        who, lost = gap.file, "a part" if gap.size is None else f"{gap.size:,} bytes or more"
        lost += f" after line {gap.line} lost before it was read"
        body = {"partition": None, "records": None, "file": who, "line": gap.line}
        body |= {"bytes": gap.size}
    else:
        who, lost = gap.partition, f"{gap.records:,} records lost before they were read"
        lost = "its log was replaced" if gap.reset and not gap.records else lost
        body = {"partition": who, "records": gap.records, "from": gap.begin, "to": gap.end}
        body |= {"reset": gap.reset}
    frame = _frame("gap", gap.seen.encode(), "open", f"{who}: {lost}; {gap.reason}", "critical")
    return Outgoing(Topic.ALERTS, to_json(frame | body | {"reason": gap.reason}), key=who.encode())


def _frame(
    kind: str, seen: bytes, state: str, summary: str, severity: str = "warning"
) -> dict[str, Any]:
    """Return the fields that all alerts have, in their order; `seen` is what no other alert of this
    kind has."""
    return {
        "id": f"{kind}/{blake2b(seen, digest_size=12).hexdigest()}",
        "kind": kind,
        "state": state,
        "key": None,
        "since": None,
        "until": None,
        "severity": severity,
        "summary": summary,
    }


def _summary(silence: Silence, span: str) -> str:
    key = key_in_words(silence.key)
    who = "events without a key" if key is None else key
    last = _moment(silence.since_ms)
    if silence.state == "open":
        return f"{who}: silent for more than {span}" + (f", last event {last}" if last else "")
    if silence.forgotten:
        return f"{who}: silent, and now forgotten to make room (keys.max)"
    if last is None or _moment(silence.until_ms) is None:
        return f"{who}: back"
    seconds = round((silence.until_ms - silence.since_ms) / 1000)
    return f"{who}: back after {timedelta(seconds=seconds)}"


def _moment(time_ms: float) -> str | None:
    """Return the time in ISO 8601; None if it is unknown or outside the calendar."""
    try:
        moment = EPOCH + timedelta(milliseconds=time_ms)
    except (OverflowError, ValueError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
