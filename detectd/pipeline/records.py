"""The vocabulary: what flows through the service, from a source to a sink.

Nothing here does anything. A source gives `Record`s, the pipeline turns each into exactly one
`Outgoing`, and a sink writes those together with the `Position` that the source goes on from.
What there is one of for every event is a msgspec struct: made in a tenth of a dataclass's time,
and nothing that the garbage collector need look at, as none of it can be part of a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec


class Topic(StrEnum):
    """Where outputs go. Each record ends on one of `OUTCOMES`; the first three are verdicts."""

    NORMAL = "normal"
    ANOMALY = "anomaly"
    ABSTAIN = "abstain"
    DEAD_LETTER = "dead_letter"
    ALERTS = "alerts"

    __hash__ = str.__hash__  # An Enum's own is a call in Python for each look-up.


OUTCOMES = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN, Topic.DEAD_LETTER)


class Reason(StrEnum):
    """Why the service abstained from a verdict, or gave one without a rank of its own.

    An anomaly whose score is no finite number is farther outside than the detector can reckon.
    """

    UNSTABLE = "unstable"
    WARMING_UP = "warming_up"
    LATE = "late"
    SCORE_NOT_FINITE = "score_not_finite"


class Stage(StrEnum):
    """Where a record failed to become a feature vector, a verdict or an output.

    An output of stage `deliver` was refused by its topic.
    """

    DECODE = "decode"
    FEATURES = "features"
    SCORE = "score"
    ENCODE = "encode"
    DELIVER = "deliver"


# Text that stands for a value that is not there, in any case of letters.
MISSING_VALUES = ("", "NaN", "null", "NA", "-", "\\N")


class Dialect(msgspec.Struct, frozen=True, gc=False):
    """How CSV is written. `decimal_marks` are those that numbers may have, one at a time."""

    delimiter: str = ","
    decimal_marks: str = "."
    encoding: str = "utf-8"


class Record(msgspec.Struct, frozen=True, gc=False):
    """Bytes as the source gave them.

    `id` is the source position, unique in the stream: topic/partition/offset, or file:line.
    `columns` is the header under which a CSV row stands, and `dialect` how it is written; no
    columns means that the value is JSON. `dropped` counts the bytes that the source left out
    because the record had no bearable size.
    """

    id: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None
    partition: int | None = None
    columns: tuple[str, ...] | None = None
    dropped: int = 0
    dialect: Dialect = Dialect()


class Event(msgspec.Struct, frozen=True, gc=False):
    """A decoded record: the original value as one line of JSON, its key and its timestamp."""

    json: bytes
    key: bytes | None
    timestamp_ms: int | None


class RecordError(Exception):
    """Why a record cannot become a feature vector."""

    def __init__(self, stage: Stage, error: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One output record: where it goes, and what a sink needs to write it."""

    topic: Topic
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class KeyRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of what is remembered of a partition's keys; without a value, that it is gone."""

    partition: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """How far the stream has been answered, and what must be remembered with that.

    Both parts are JSON objects. `source` is written and read by the source alone, `state` by the
    service alone; a sink stores them in the same commit as the outputs, and looks into neither,
    except that the Kafka sink recognises the offsets of a Kafka source.
    """

    source: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)
