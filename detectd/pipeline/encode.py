"""Encode verdicts and dead letters as the JSON of the four topics.

The original event is spliced in unchanged, never decoded and encoded again, so every digit of it is
kept. What follows from the rank alone is encoded once per rank; the score, the id and the event are
inserted between its pieces.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from detectd.pipeline.json_pieces import end, to_json
from detectd.pipeline.records import Outgoing, Reason, Topic
from detectd.rejection import rank_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectd.pipeline.records import Event, Record
    from detectd.rejection import Stability

# In the order of the rejector's verdict codes.
VERDICTS = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN)
# One code more, for what is normal whatever the model's verdict.
ROUTINE = len(VERDICTS)
ANSWERS = (
    (Topic.NORMAL, None),
    (Topic.ANOMALY, None),
    (Topic.ABSTAIN, Reason.UNSTABLE),
    (Topic.NORMAL, Reason.ROUTINE),
)

Header = tuple[str, bytes]
EVENT = b',"event":'
SCORE = "detectd-score"


class Envelope(msgspec.Struct):
    """The value of an output record up to the event. Fields that do not apply are null."""

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


# The envelope's fields on the model, if none has scored the event.
NO_MODEL = dict.fromkeys(
    ("score", "rank", "p_value", "confidence", "log_p_anomaly", "log_p_normal", "model")
)


class Answer(msgspec.Struct, frozen=True):
    """The parts that all events at one rank share: the bytes before the score and the id, and the
    headers."""

    topic: Topic
    before_score: bytes
    before_id: bytes
    verdict: Header
    model: Header
    figures: tuple[Header, ...]


class Answers(dict[tuple[int, int, int], Answer]):
    """A model's answers by code (`ANSWERS`), rank and count of scores below, built on first use.

    With n continuous scores there are n+1; the cache is cleared at `MOST` entries.
    """

    MOST = 16_384

    def __init__(self, stability: Stability, model: str) -> None:
        super().__init__()
        self._stability = stability
        self._model = model

    def __missing__(self, place: tuple[int, int, int]) -> Answer:
        if len(self) >= self.MOST:
            self.clear()
        topic, reason = ANSWERS[place[0]]
        found = self[place] = _answer(self._stability, self._model, topic, reason, *place[1:])
        return found

    @cached_property
    def not_finite(self) -> Answer:
        """Return the answer to rows so far outside that their score is not a finite number."""
        n, reason = self._stability.n, Reason.SCORE_NOT_FINITE
        return _answer(self._stability, self._model, Topic.ANOMALY, reason, n, n)


class AnswersByKey(dict[tuple[int, int, int, int], Answer]):
    """A model's answers by number of calibration scores, verdict code, rank and count of scores
    below, for zones of single keys. Two zones of equal size share them.

    `tables` are the stabilities by size; the cache is cleared at `Answers.MOST` entries.
    """

    def __init__(self, tables: Mapping[int, Stability], model: str) -> None:
        super().__init__()
        self._tables = tables
        self._model = model
        self._not_finite: dict[int, Answer] = {}

    def __missing__(self, place: tuple[int, int, int, int]) -> Answer:
        if len(self) >= Answers.MOST:
            self.clear()
        topic, reason = ANSWERS[place[1]]
        found = _answer(self._tables[place[0]], self._model, topic, reason, *place[2:])
        self[place] = found
        return found

    def not_finite(self, n: int) -> Answer:
        """Return the answer to rows whose score is not a finite number, in a zone of n scores."""
        if n not in self._not_finite:
            table, reason = self._tables[n], Reason.SCORE_NOT_FINITE
            found = _answer(table, self._model, Topic.ANOMALY, reason, n, n)
            self._not_finite[n] = found
        return self._not_finite[n]


def _answer(
    stability: Stability, model: str, topic: Topic, reason: Reason | None, rank: int, below: int
) -> Answer:
    """Return the answer to scores with that verdict, rank and count of scores below."""
    p_value, confidence, log_p_anomaly, log_p_normal = rank_figures(stability, rank, below)
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
    """Return verdicts as output records: each event framed by the answer at its score."""
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
                    end(event.key, event.timestamp_ms, names),
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
    """Return the same, with the records' values unchanged and the figures as headers."""
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
    """Return the same output with its explanation, an object in JSON: as a field, or as a
    header."""
    if original:
        headers = (*out.headers, ("detectd-explanation", why))
        return msgspec.structs.replace(out, headers=headers)
    return msgspec.structs.replace(out, value=b'%b,"explanation":%b}' % (out.value[:-1], why))


def without_score(out: Outgoing) -> Outgoing:
    """Return the same output without the score header, for a score that is not finite; it is null
    in the value."""
    headers = tuple(header for header in out.headers if header != (SCORE, b"null"))
    return msgspec.structs.replace(out, headers=headers)


def _as_json(scores: Sequence[float]) -> list[bytes]:
    """Return each score as JSON; null if it is infinite."""
    return to_json(scores)[1:-1].split(b",") if scores else []


def unscored(
    record: Record,
    event: Event,
    reason: Reason = Reason.WARMING_UP,
    *,
    verdict: Topic = Topic.ABSTAIN,
    original: bool = False,
) -> Outgoing:
    """Return the output of an event without a score, with the reason."""
    body = Envelope(verdict, reason, id=record.id, event=msgspec.Raw(event.json), **NO_MODEL)
    headers: tuple[Header, ...] = (_header("verdict", verdict),)
    if original:
        headers = (*headers, _header("reason", reason), _header("id", record.id))
    return Outgoing(
        topic=verdict,
        value=(record.value or b"")
        if original
        else to_json(body)[:-1] + end(event.key, event.timestamp_ms),
        key=event.key,
        headers=record.headers + headers,
        timestamp_ms=event.timestamp_ms,
        partition=record.partition,
    )


def _header(name: str, figure: str | float) -> Header:
    text = figure if isinstance(figure, str) else repr(figure)
    return f"detectd-{name.replace('_', '-')}", text.encode()
