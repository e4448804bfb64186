"""Map the clients' errors to those of the service, by the table in `error_codes`.

kafka-python's errors are mapped here, librdkafka's in `confluent_errors`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka import errors as kafka_errors

from detectd.errors import (
    BrokerUnavailableError,
    ConfigError,
    DetectdError,
    PartitionsRevokedError,
    RefusedError,
)
from detectd.kafka.error_codes import TABLE, Kind, Meaning, meaning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# kafka-python wraps an unexpected error as text, which contains its number.
WRAPPED = re.compile(r"\[Error (-?\d+)\]")


class FencedError(BrokerUnavailableError):
    """The brokers aborted the transaction: it timed out, or another process has the same id.

    With `rival` another process certainly has it.
    """

    def __init__(self, message: str, *, rival: bool = False) -> None:
        super().__init__(message)
        self.rival = rival


class RecordsRefused(DetectdError):  # noqa: N818
    """Some records of this write will never be accepted; abort the transaction.

    `certain` are those that the brokers named, by their number in the write, and `suspects` those
    among which the others are.
    """

    def __init__(self, certain: Mapping[int, Meaning], suspects: Mapping[int, Meaning]) -> None:
        first = next(iter((certain or suspects).values()))
        super().__init__(f"the brokers reject records: {first.name}; {first.fix}")
        self.certain = certain
        self.suspects = suspects


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn kafka-python's errors into those of `detectd.errors`, in one line."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        # An earlier fatal error of the client is wrapped in the error of the next call.
        inner = [cause for cause in error.args if isinstance(cause, kafka_errors.KafkaError)]
        cause = inner[0] if inner else error
        raise failure(kafka_python_meaning(cause), one_line(cause), doing) from error


def kafka_python_meaning(error: BaseException) -> Meaning:
    """Return the row for an error of kafka-python, else the one for its nearest base class."""
    number = getattr(error, "errno", None)
    if number is None and (wrapped := WRAPPED.search(str(error))):
        number = int(wrapped[1])
    if number is not None:
        return meaning(number, type(error).__name__)
    names = [each.__name__ for each in type(error).__mro__]
    return meaning(next((name for name in names if name in TABLE), names[0]), names[0])


def failure(found: Meaning, what: str, doing: str) -> DetectdError:
    """Return the exception for an error that means `found` and reads `what`."""
    fix = f"; {found.fix}" if found.fix else ""
    match found.kind:
        case Kind.REFUSED:
            return RefusedError(f"the brokers refuse access while {doing}: {what}{fix}")
        case Kind.REVOKED:
            return PartitionsRevokedError(
                f"the group went on without this process while {doing}: {what}"
            )
        case Kind.FENCED:
            rival = found.name == "FENCED_INSTANCE_ID"
            return FencedError(
                f"the brokers ended the transaction while {doing}: {what}", rival=rival
            )
        case Kind.CONFIG | Kind.RECORD:
            return ConfigError(f"kafka: {doing}: {what}{fix}")
        case Kind.FAILED:
            return DetectdError(f"Kafka failed while {doing}: {what}{fix}")
        case Kind.PASSING:
            return BrokerUnavailableError(f"Kafka failed while {doing}: {what}{fix}")


def one_line(error: BaseException) -> str:
    """Return the error's class, if its text does not name it, and its text."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return text if name in text else f"{name}: {text}".removesuffix(": ")
