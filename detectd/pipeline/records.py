"""The data types that flow through the service, from a source to a sink.

A source yields `Record`s, the pipeline turns each into exactly one `Outgoing`, and a sink writes
those together with the `Position` from which the source resumes. Types with one instance per event
are msgspec structs: ten times as fast to create as a dataclass, and not tracked by the garbage
collector, since they cannot be part of a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec


class Topic(StrEnum):
    """The output topics. Each record ends on one of `OUTCOMES`; the first three are verdicts."""

    NORMAL = "normal"
    ANOMALY = "anomaly"
    ABSTAIN = "abstain"
    DEAD_LETTER = "dead_letter"
    ALERTS = "alerts"

    __hash__ = str.__hash__  # Enum's own hash is a Python call per look-up.


OUTCOMES = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN, Topic.DEAD_LETTER)


class Reason(StrEnum):
    """Why the service abstained, or gave a verdict that the score's rank does not give.

    An anomaly whose score is not finite is farther outside than the detector can compute. A routine
    score is normal, as its key reaches it at this time of day.
    """

    UNSTABLE = "unstable"
    WARMING_UP = "warming_up"
    LATE = "late"
    SCORE_NOT_FINITE = "score_not_finite"
    ROUTINE = "routine"


class Stage(StrEnum):
    """The stage at which a record failed to become a feature vector, a verdict or an output.

    An output of stage `deliver` was refused by its topic.
    """

    DECODE = "decode"
    FEATURES = "features"
    SCORE = "score"
    ENCODE = "encode"
    DELIVER = "deliver"


# Texts that stand for a missing value, compared case-insensitively.
MISSING_VALUES = ("", "NaN", "null", "NA", "-", "\\N")


class Dialect(msgspec.Struct, frozen=True, gc=False):
    """The format of CSV. `decimal_marks` are the decimal separators that numbers may have, one at a
    time."""

    delimiter: str = ","
    decimal_marks: str = "."
    encoding: str = "utf-8"


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record's bytes as read from the source.

    `id` is the source position, unique in the stream: topic/partition/offset, or file:line.
    `columns` is the header of a CSV row, and `dialect` its format; without columns the value is
    JSON. `dropped` counts the bytes that the source left out because the record was too large.
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


@dataclass(frozen=True, slots=True)
class Gap:
    """Records of a partition that were lost before they were read; `reset` if its log was replaced.

    It was to continue at offset `begin` and continues at `end`. `records` is a difference of
    offsets, so it may include offsets without a record. `seen` is what no other gap has; a process
    that finds the same gap again after a crash has the same.
    """

    partition: str
    records: int
    reset: bool
    reason: str
    begin: int
    end: int
    seen: str


@dataclass(frozen=True, slots=True)
class LostPart:
    """A part of a file that was lost before it was read: `size` bytes or more, None if unknown,
    after a line. `file` is its name in the ids of its records; `seen` is that of a `Gap`."""

    file: str
    line: int
    size: int | None
    reason: str
    seen: str


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
    """One output record: its topic, and everything that a sink needs to write it."""

    topic: Topic
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class KeyRecord(msgspec.Struct, frozen=True, gc=False):
    """The stored state of a partition's keys as a record; one without a value deletes."""

    partition: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """How far the stream has been processed, and the state to resume with.

    Both parts are JSON objects. Only the source reads and writes `source`, only the service
    `state`; a sink stores them in the same commit as the outputs and treats them as opaque, except
    that the Kafka sink recognises the offsets of a Kafka source.
    """

    source: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)
