"""An output record for whoever taps the stream: as JSON, or in a line for the eye."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.surrogates import decode_json

if TYPE_CHECKING:
    from detectd.records import Record

PREFIX = "detectd-"
FIGURES = ("verdict", "reason", "score", "rank", "p_value", "confidence", "model", "id")
TEXTS = ("verdict", "reason", "model", "id")
SHOWN = 120


def as_json(record: Record, *, original: bool = False) -> str:
    """The value as it is; with `original` it is the event's own, and the verdict in the headers."""
    if original:
        return msgspec.json.encode(_gathered(record)).decode()
    return (record.value or b"").decode()


def as_text(record: Record, *, original: bool = False) -> str:
    """Verdict and reason, the figures that matter, where it came from, and its beginning."""
    fields = _gathered(record) if original else decode_json(record.value or b"")
    if "stage" in fields:
        words = ["dead_letter", fields["stage"], fields["error"]]
    else:
        words = [fields["verdict"], fields["reason"] or ""]
        figures = {"score": fields["score"], "confidence": fields["confidence"]}
        words += [f"{name} {value:.6g}" for name, value in figures.items() if value is not None]
    event = fields["event"] if "event" in fields else fields["raw"]
    text = event if isinstance(event, str) else msgspec.json.encode(event).decode()
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return "  ".join([*filter(None, words), fields["id"], " ".join(shown.split())])


def _gathered(record: Record) -> dict[str, Any]:
    """What an envelope would say, of a record whose value is the event as it came."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    gathered: dict[str, Any] = dict.fromkeys(FIGURES)
    for name in FIGURES:
        text = headers.get(PREFIX + name.replace("_", "-"))
        if text is not None:
            gathered[name] = text if name in TEXTS else msgspec.json.decode(text)
    value = record.value or b""
    try:
        return gathered | {"event": decode_json(value)}
    except ValueError:
        return gathered | {"raw": base64.b64encode(value).decode(), "raw_encoding": "base64"}
