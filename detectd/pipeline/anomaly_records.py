"""Output records read back for display: time, key, score, features and record id."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.pipeline.feature_values import field_of
from detectd.pipeline.surrogates import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.pipeline.records import Outgoing, Record

    Read = Callable[[Record | Outgoing], "Anomaly | None"]

PREFIX = "detectd-"

# Events longer than this (bytes) are not decoded again to show their features.
LARGEST_EVENT = 65_536

# Keys, ids and textual features are cut to this many characters.
LONGEST = 200

# JSON readers may round larger integers.
LARGEST_INTEGER = 2**53

Value = float | int | bool | str | None


class Feature(msgspec.Struct, frozen=True):
    """A feature of an anomaly: its value in the event, and its share of what drove the score.

    `share` is in [0, 1], of all parts that raised the score; None if the output has no explanation.
    If that says how the feature was off, `way` is high or low; what was `expected` may be unknown.
    """

    name: str
    value: Value = None
    share: float | None = None
    way: str | None = None
    expected: float | None = None


class Anomaly(msgspec.Struct, frozen=True):
    """The data of one output record. `time_ms` is the event's Unix time; None if it has none."""

    id: str
    verdict: str
    time_ms: int | None = None
    key: str | None = None
    score: float | None = None
    p_value: float | None = None
    model: str | None = None
    features: tuple[Feature, ...] = ()

    @property
    def detailed(self) -> bool:
        """Return whether the output has a strength, which `output.detail = "verdict"` leaves
        out."""
        return self.p_value is not None

    @property
    def strength(self) -> tuple[float, float]:
        """Return a sort key that grows with strength: by p-value, which is comparable between
        models, then by score.

        An anomaly without a score lies beyond all scores.
        """
        p_value = 1.0 if self.p_value is None else self.p_value
        return -p_value, math.inf if self.score is None else self.score


class _Off(msgspec.Struct):
    way: str
    value: float
    expected: float | None = None


class _Explanation(msgspec.Struct):
    features: dict[str, float | None]
    off: dict[str, _Off] = {}


class _Written(msgspec.Struct):
    """The value of an output, as `encode` writes it; the event stays as it is."""

    verdict: str
    id: str
    score: float | None = None
    p_value: float | None = None
    model: str | None = None
    event: msgspec.Raw = msgspec.Raw(b"null")
    explanation: _Explanation | None = None
    key: str | None = None
    key_base64: str | None = None
    timestamp: int | None = None


decode = msgspec.json.Decoder(_Written).decode
decode_score = msgspec.json.Decoder(float).decode
decode_explanation = msgspec.json.Decoder(_Explanation).decode


def reader(names: Sequence[str], *, original: bool, most: int | None = None) -> Read:
    """Return a function that reads an output record, or an output; it returns None for foreign
    records.

    `names` are the fields that features read, shown of an output without an explanation; `most` is
    how many features are kept. With `original` the value is the event's
    own, and the verdict is in the headers.
    """
    parse = _of_headers if original else _of_envelope

    def read(out: Record | Outgoing) -> Anomaly | None:
        try:
            written = parse(out)
        except (ValueError, KeyError, RecursionError):
            return None
        moment = out.timestamp_ms if written.timestamp is None else written.timestamp
        return Anomaly(
            id=shortened(written.id),
            verdict=written.verdict,
            time_ms=moment,
            key=key_text(out.key) if written.key is None else shortened(written.key),
            score=written.score,
            p_value=written.p_value,
            model=written.model,
            features=_features(written, names, most),
        )

    return read


def key_text(key: bytes | None) -> str | None:
    """Return a key as text, cut if it is long; bytes that are no text are escaped."""
    return None if key is None else shortened(key.decode(errors="backslashreplace"))


def shortened(text: str) -> str:
    """Return text, or its beginning with a hash of the whole."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}…({len(text):,} characters, {hash_of(text)})"


def hash_of(text: str) -> str:
    """Return eight hexadecimal digits that identify a text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()


def _of_envelope(out: Record | Outgoing) -> _Written:
    written = decode_json(out.value or b"", decode)
    if written.key_base64 is not None:
        written.key = key_text(base64.b64decode(written.key_base64, validate=True))
    return written


def _of_headers(out: Record | Outgoing) -> _Written:
    """Return the same for an output whose value is the original event."""
    said = {name: content for name, content in out.headers if name.startswith(PREFIX)}

    def number(name: str) -> float | None:
        return decode_score(said[name]) if name in said else None

    why = said.get("detectd-explanation")
    model = said.get("detectd-model")
    return _Written(
        verdict=said["detectd-verdict"].decode(),
        id=said["detectd-id"].decode(),
        score=number("detectd-score"),
        p_value=number("detectd-p-value"),
        model=None if model is None else model.decode(),
        event=msgspec.Raw(out.value or b"null"),
        explanation=None if why is None else decode_explanation(why),
    )


def _features(written: _Written, names: Sequence[str], most: int | None) -> tuple[Feature, ...]:
    """Return the features with the largest part first; without an explanation the fields, in their
    order."""
    fields = _fields(bytes(written.event))
    if written.explanation is None:
        return tuple(Feature(name, _value(fields, name)) for name in names[:most])
    parts, ways = written.explanation.features, written.explanation.off
    raised = {name: part for name, part in parts.items() if part is not None and part > 0}
    largest = max(raised.values(), default=1.0)
    total = sum(part / largest for part in raised.values())  # at most the number of parts

    def share(name: str) -> float | None:
        return raised.get(name, 0.0) / largest / total if total else None

    def told(name: str) -> Feature:
        value, off = _value(fields, name), ways.get(name)
        if off is None:
            return Feature(name, value, share(name))
        return Feature(
            name, off.value if value is None else value, share(name), off.way, off.expected
        )

    return tuple(told(name) for name in [*parts][:most])


def _fields(event: bytes) -> Mapping[str, Any]:
    """Return the event's fields, as far as they can be shown. 1e400 is infinite here, not an
    error."""
    if len(event) > LARGEST_EVENT:
        return {}
    try:
        fields = json.loads(event)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _value(fields: Mapping[str, Any], name: str) -> Value:
    found = field_of(fields, name)
    if isinstance(found, str):
        return shortened(found)
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    if isinstance(found, int) and abs(found) > LARGEST_INTEGER:
        return shortened(str(found))
    return found if isinstance(found, (bool, int, float)) else None
