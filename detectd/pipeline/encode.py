"""From verdicts and dead letters to the JSON of the four topics.

The original event is spliced in as it came, never decoded and encoded again, so no digit of it
changes on the way through. Nor is the rest encoded for each event: what follows from the rank alone
is encoded once a rank, and the score, the id and the event are put between its pieces.
"""

from __future__ import annotations

import base64
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import msgspec

from detectd.pipeline import memory_budget
from detectd.pipeline.records import Outgoing, Reason, RecordError, Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectd.pipeline.records import Event, Record
    from detectd.rejection import Rejector

# In the order of the rejector's verdict codes.
VERDICTS = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN)

to_json = msgspec.json.Encoder().encode

Header = tuple[str, bytes]
EVENT = b',"event":'
SCORE = "detectd-score"


class Envelope(msgspec.Struct):
    """The value of an output record up to the event. Null is what does not apply."""

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


class DeadLetter(msgspec.Struct):
    """The value of a dead letter: the record's own bytes, and why they went no further.

    `dropped` counts the bytes that the source has left out.
    """

    id: str
    stage: str
    error: str
    raw: str | None
    raw_encoding: str
    dropped: int | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True):
    """What all events at one rank share: the bytes before the score and the id, and headers."""

    topic: Topic
    before_score: bytes
    before_id: bytes
    verdict: Header
    model: Header
    figures: tuple[Header, ...]


class Answers(dict[tuple[int, int, int], Answer]):
    """A model's answers by verdict code, rank and count of scores below, made when looked up.

    With n continuous scores there are n+1; beyond `MOST` they are forgotten, and made anew.
    """

    MOST = 16_384

    def __init__(self, rejector: Rejector, model: str) -> None:
        super().__init__()
        self._rejector = rejector
        self._model = model

    def __missing__(self, place: tuple[int, int, int]) -> Answer:
        if len(self) >= self.MOST:
            self.clear()
        topic = VERDICTS[place[0]]
        reason = Reason.UNSTABLE if topic is Topic.ABSTAIN else None
        found = self[place] = _answer(self._rejector, self._model, topic, reason, *place[1:])
        return found

    @cached_property
    def not_finite(self) -> Answer:
        """The answer to rows that are so far outside that their score is no finite number."""
        n, reason = self._rejector.zone.n, Reason.SCORE_NOT_FINITE
        return _answer(self._rejector, self._model, Topic.ANOMALY, reason, n, n)


def _answer(
    rejector: Rejector, model: str, topic: Topic, reason: Reason | None, rank: int, below: int
) -> Answer:
    """The answer to scores with that verdict, rank and count of scores below."""
    p_value, confidence, log_p_anomaly, log_p_normal = rejector.figures(rank, below)
    frame = Envelope(
        verdict=topic,
        reason=reason,
        score=0.0,
        rank=rank,
        p_value=p_value,
        confidence=confidence,
        log_p_anomaly=log_p_anomaly,
        log_p_normal=log_p_normal,
        model=model,
        id="",
        event=msgspec.Raw(b"null"),
    )
    head, score, rest = to_json(frame).partition(b'"score":0.0')
    figures = {"reason": reason, "rank": rank, "p_value": p_value, "confidence": confidence}
    return Answer(
        topic=topic,
        before_score=head + score.removesuffix(b"0.0"),
        before_id=rest.removesuffix(b'"","event":null}'),
        verdict=_header("verdict", topic),
        model=_header("model", model),
        figures=tuple(_header(name, value) for name, value in figures.items() if value is not None),
    )


def envelopes(
    answers: Iterable[Answer],
    scores: Sequence[float],
    records: Iterable[Record],
    events: Iterable[Event],
    imputed: Iterable[tuple[str, ...]],
) -> list[Outgoing]:
    """Verdicts as output records: the events, framed by the answers at their scores."""
    return [
        Outgoing(
            answer.topic,
            b"".join(
                (
                    answer.before_score,
                    score,
                    answer.before_id,
                    to_json(record.id),
                    EVENT,
                    event.json,
                    _end(event.key, event.timestamp_ms, names),
                )
            ),
            event.key,
            (*record.headers, answer.verdict, (SCORE, score), answer.model),
            event.timestamp_ms,
            record.partition,
        )
        for answer, score, record, event, names in zip(
            answers, _as_json(scores), records, events, imputed, strict=True
        )
    ]


def originals(
    answers: Iterable[Answer],
    scores: Sequence[float],
    records: Iterable[Record],
    events: Iterable[Event],
) -> list[Outgoing]:
    """The same, with the records' own values, byte for byte, and the figures as headers."""
    return [
        Outgoing(
            answer.topic,
            record.value or b"",
            event.key,
            (
                *record.headers,
                answer.verdict,
                (SCORE, score),
                answer.model,
                *answer.figures,
                _header("id", record.id),
            ),
            event.timestamp_ms,
            record.partition,
        )
        for answer, score, record, event in zip(
            answers, _as_json(scores), records, events, strict=True
        )
    ]


def explained(out: Outgoing, why: bytes, *, original: bool) -> Outgoing:
    """The same output with its explanation, an object in JSON: as a field, or as a header."""
    if original:
        headers = (*out.headers, ("detectd-explanation", why))
        return msgspec.structs.replace(out, headers=headers)
    return msgspec.structs.replace(out, value=b'%b,"explanation":%b}' % (out.value[:-1], why))


def without_score(out: Outgoing) -> Outgoing:
    """The same output without the header of a score that is no finite number, null in its value."""
    headers = tuple(header for header in out.headers if header != (SCORE, b"null"))
    return msgspec.structs.replace(out, headers=headers)


def _as_json(scores: Sequence[float]) -> list[bytes]:
    """Each of the scores as JSON writes it: null if it is infinite."""
    return to_json(scores)[1:-1].split(b",") if scores else []


def unscored(
    record: Record,
    event: Event,
    reason: Reason = Reason.WARMING_UP,
    *,
    verdict: Topic = Topic.ABSTAIN,
    original: bool = False,
) -> Outgoing:
    """Return the output of an event that gets no score, with the reason why."""
    nothing = dict.fromkeys(Envelope.__struct_fields__[2:9])
    body = Envelope(verdict, reason, id=record.id, event=msgspec.Raw(event.json), **nothing)
    headers: tuple[Header, ...] = (_header("verdict", verdict),)
    if original:
        headers = (*headers, _header("reason", reason), _header("id", record.id))
    return Outgoing(
        topic=verdict,
        value=(record.value or b"")
        if original
        else to_json(body)[:-1] + _end(event.key, event.timestamp_ms),
        key=event.key,
        headers=record.headers + headers,
        timestamp_ms=event.timestamp_ms,
        partition=record.partition,
    )


def _end(key: bytes | None, timestamp_ms: int | None, imputed: tuple[str, ...] = ()) -> bytes:
    """The end of a value, behind the event or the raw record."""
    if key is None and timestamp_ms is None and not imputed:
        return b"}"
    start = b',"imputed":%b' % to_json(imputed) if imputed else b""
    named = b"" if key is None else _key(key)
    return start + named + (b"}" if timestamp_ms is None else b',"timestamp":%d}' % timestamp_ms)


def _key(key: bytes) -> bytes:
    """The key as a field of JSON."""
    return _known_key(key) if len(key) <= memory_budget.CACHED_KEY_BYTES else _key_field(key)


def _key_field(key: bytes) -> bytes:
    text, encoding = _text(key)
    return (b',"key":' if encoding == "utf-8" else b',"key_base64":') + to_json(text)


_known_key = lru_cache(memory_budget.CACHED_KEYS)(_key_field)  # keys come again


def _header(name: str, figure: str | float) -> Header:
    text = figure if isinstance(figure, str) else repr(figure)
    return f"detectd-{name.replace('_', '-')}", text.encode()


def dead_letter(record: Record, defect: RecordError) -> Outgoing:
    """A record that could not become a feature vector, or an output."""
    raw, encoding = (None, "none") if record.value is None else _text(record.value)
    body = DeadLetter(record.id, defect.stage, defect.error, raw, encoding)
    if record.dropped:
        body.dropped = record.dropped
    return Outgoing(
        topic=Topic.DEAD_LETTER,
        value=to_json(body)[:-1] + _end(record.key, record.timestamp_ms),
        key=record.key,
        headers=(*record.headers, ("detectd-stage", defect.stage.encode())),
        timestamp_ms=record.timestamp_ms,
        partition=record.partition,
    )


def size(out: Outgoing) -> int:
    """The bytes that key, value and headers take, with room for the lengths between them."""
    total = len(out.value) + len(out.key or b"")
    for name, value in out.headers:
        total += len(name) + len(value) + 10
    return total


def too_large(record: Record, out: Outgoing, limits: Mapping[Topic, int]) -> Outgoing:
    """The dead letter for a record whose output has no room on its topic.

    It keeps the record's bytes where these have room, and else says where they still are.
    """
    defect = RecordError(
        Stage.ENCODE,
        f"the output has {size(out):,} bytes and the topic {out.topic} takes "
        f"{limits[out.topic]:,}; raise its max.message.bytes",
    )
    whole = dead_letter(record, defect)
    if size(whole) <= limits.get(Topic.DEAD_LETTER, size(whole)):
        return whole
    rest = f"{defect.error}; the record's bytes have no room here and are at the source still"
    return dead_letter(
        msgspec.structs.replace(record, value=None, key=None, headers=()),
        RecordError(defect.stage, rest),
    )


def _text(raw: bytes) -> tuple[str, str]:
    """Bytes as JSON can hold them, and how."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"
    if len(raw) >= memory_budget.ESCAPED_BYTES and memory_budget.escaped(raw) > 1.5 * len(raw):
        return base64.b64encode(raw).decode(), "base64"
    return text, "utf-8"
