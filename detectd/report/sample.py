"""Render an output record for `detectd tap`: as JSON, or as a readable line.

Events are spliced in unchanged and never decoded: a number too large for a double, or nesting too
deep for a decoder, is not an error here. Records that are not outputs of detectd are shown as far
as possible.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.pipeline.fast_json import on_one_line
from detectd.pipeline.surrogates import decode_json
from detectd.report.terminal import one_line

if TYPE_CHECKING:
    from detectd.pipeline.records import Record

PREFIX = "detectd-"
FIGURES = ("verdict", "reason", "score", "rank", "p_value", "confidence", "model", "id")
TEXTS = ("verdict", "reason", "model", "id")
SHOWN = 120

to_json = msgspec.json.Encoder().encode


class _Shown(msgspec.Struct):
    """The displayed fields of a verdict or a dead letter."""

    id: str
    verdict: str = ""
    reason: str | None = None
    model: str | None = None
    score: float | None = None
    confidence: float | None = None
    event: msgspec.Raw = msgspec.Raw()
    stage: str = ""
    error: str = ""
    raw: str | None = None


decode = msgspec.json.Decoder(_Shown).decode
decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def as_json(record: Record, *, original: bool = False) -> str:
    """Return the value as it is; with `original` it is the event's own, and the verdict in the
    headers."""
    if original:
        return to_json(_gathered(record)).decode()
    event = _on_one_line(record.value or b"")
    return to_json(_undecodable(record.value)).decode() if event is None else event.decode()


def as_text(record: Record, *, original: bool = False) -> str:
    """Verdict and reason, the figures that matter, where it came from, and its beginning."""
    value = to_json(_gathered(record)) if original else record.value or b""
    try:
        shown = decode_json(value, decode)
    except (ValueError, RecursionError):
        beginning = value[:SHOWN].decode(errors="replace")
        return f"not an output of detectd  {one_line(record.id)}  {one_line(beginning)}"
    if shown.stage:
        words = ["dead_letter", shown.stage, shown.error]
    else:
        words = [shown.verdict, shown.reason or ""]
        figures = {"score": shown.score, "confidence": shown.confidence}
        known = [f"{name} {value:.6g}" for name, value in figures.items() if value is not None]
        words += known or (["no detail"] if shown.model else [])
    text = bytes(shown.event).decode(errors="replace") or shown.raw or ""
    words += [shown.id, " ".join(text[: 2 * SHOWN].split())[: SHOWN + 1]]
    return "  ".join(one_line(word, SHOWN + 1) for word in words if word)


def _gathered(record: Record) -> dict[str, Any]:
    """Return what an envelope would say, of a record whose value is the event as it came."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    gathered: dict[str, Any] = dict.fromkeys(FIGURES)
    for name in FIGURES:
        text = headers.get(PREFIX + name.replace("_", "-"))
        if text is not None:
            gathered[name] = text if name in TEXTS else _number(text)
    gathered["id"] = gathered["id"] or record.id
    event = _on_one_line(record.value or b"")
    return gathered | (
        _undecodable(record.value) if event is None else {"event": msgspec.Raw(event)}
    )


def _number(text: str) -> float | None:
    try:
        return msgspec.json.decode(text, type=float)
    except ValueError:
        return None


def _on_one_line(value: bytes) -> bytes | None:
    """JSON without the line breaks between its parts; None if it is no JSON in UTF-8."""
    try:
        value.decode()
        decode_json(value, decode_raw)
    except (ValueError, RecursionError):
        return None
    return on_one_line(value)


def _undecodable(value: bytes | None) -> dict[str, Any]:
    """Return bytes that are not JSON."""
    return {"raw": base64.b64encode(value or b"").decode(), "raw_encoding": "base64"}
