"""Unexpected errors while a record is processed become its dead letter and do not stop the stream.
Pure.

An exception without a message for the operator is a bug in detectd or in a library, triggered by
the bytes of one record. Lack of memory and host failures are not the record's fault, nor are errors
with a message for the operator.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from detectd.errors import DetectdError
from detectd.pipeline.records import RecordError

if TYPE_CHECKING:
    from types import TracebackType

    from detectd.pipeline.records import Stage

NOT_THE_RECORDS = (MemoryError, OSError, DetectdError)

LONGEST = 200
# Addresses differ between processes, and a replay must give the same bytes.
ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


class Unforeseen(Exception):  # noqa: N818 - what happened, not what is wrong
    """An unexpected exception of a stage, caused by one or more records of its batch."""

    def __init__(self, stage: Stage, cause: Exception) -> None:
        super().__init__(in_words(cause))
        self.stage = stage
        self.cause = cause


class During:
    """A context manager that turns an unexpected error into `Unforeseen` of a stage."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if isinstance(raised, Exception) and not isinstance(raised, NOT_THE_RECORDS):
            raise Unforeseen(self._stage, raised) from raised


def defect(stage: Stage, cause: Exception) -> RecordError:
    """Return the dead letter's reason. Raises `cause` itself if it is not the record's."""
    if isinstance(cause, NOT_THE_RECORDS):
        raise cause
    return RecordError(stage, f"{in_words(cause)}; this is a bug in detectd; please report it")


def in_words(cause: Exception) -> str:
    """Return the exception's type and message on one line, the same in every process."""
    message = ADDRESS.sub("0x…", " ".join(str(cause).split()))[:LONGEST]
    message = message.encode(errors="backslashreplace").decode()
    return f"{type(cause).__name__}: {message}" if message else type(cause).__name__
