"""Unforeseen errors while a record is answered: its dead letter, and not the stream's end. Pure.

An exception that has no words of its own is a defect of detectd or of a library, met by the bytes
of one record. Lack of memory and faults of the host are not that record's, nor is what has a
message for the operator.
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
# A replay gives the same bytes, and no two processes have the same addresses.
ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


class Unforeseen(Exception):  # noqa: N818 - what happened, not what is wrong
    """An exception of a stage in which a batch was; one of its records, or all, are to blame."""

    def __init__(self, stage: Stage, cause: Exception) -> None:
        super().__init__(in_words(cause))
        self.stage = stage
        self.cause = cause


class During:
    """A context that turns an unforeseen error into `Unforeseen` of a stage."""

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
    return RecordError(stage, f"{in_words(cause)}; this is a defect of detectd, please report it")


def in_words(cause: Exception) -> str:
    """Return the exception's type and message on one line, the same in every process."""
    message = ADDRESS.sub("0x…", " ".join(str(cause).split()))[:LONGEST]
    message = message.encode(errors="backslashreplace").decode()
    return f"{type(cause).__name__}: {message}" if message else type(cause).__name__
