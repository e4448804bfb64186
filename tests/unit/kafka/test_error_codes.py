"""The table of errors: every code that either client knows has a row, and the right one."""

from __future__ import annotations

import inspect
from typing import Any

import confluent_kafka
import pytest
from kafka import errors as kafka_errors
from kafka.consumer import fetcher

from detectd.errors import (
    BrokerUnavailableError,
    ConfigError,
    DetectdError,
    PartitionsRevokedError,
    RefusedError,
)
from detectd.kafka import error_codes
from detectd.kafka.confluent_errors import explained as native_explained
from detectd.kafka.error_codes import TABLE, Kind
from detectd.kafka.errors import FencedError, explained, failure, kafka_python_meaning

NO_ERROR = 0


def classes(module: Any) -> list[type[BaseException]]:
    return [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, kafka_errors.KafkaError)
    ]


KAFKA_PYTHON = sorted({*classes(kafka_errors), *classes(fetcher)}, key=lambda each: each.__name__)

NATIVE = sorted(
    (name, number)
    for name, number in vars(confluent_kafka.KafkaError).items()
    if isinstance(number, int) and name.lstrip("_").isupper()
)


def test_each_error_of_kafka_python_has_a_row() -> None:
    numbers = {each: getattr(each, "errno", None) for each in KAFKA_PYTHON}
    keys = {each.__name__ if number is None else number for each, number in numbers.items()}
    assert keys - {NO_ERROR} - TABLE.keys() == set()


def test_each_error_of_librdkafka_has_a_row() -> None:
    assert {number for _, number in NATIVE} - {NO_ERROR} - TABLE.keys() == set()
    local = {number: name for name, number in NATIVE if number < -1}
    assert {number: TABLE[number].name for number in local} == local


def test_there_are_as_many_as_the_libraries_have() -> None:
    assert len(KAFKA_PYTHON) > 140
    assert len(NATIVE) > 180


def test_no_code_stands_twice() -> None:
    rows = (*error_codes.BROKERS, *error_codes.LIBRDKAFKA, *error_codes.KAFKA_PYTHON)
    assert len(rows) == len(TABLE) == len({row.name for row in rows})


def test_who_gives_up_says_what_to_do() -> None:
    kinds = (Kind.RECORD, Kind.FAILED, Kind.REFUSED, Kind.CONFIG)
    assert [row for row in TABLE.values() if row.kind in kinds and not row.fix] == []


@pytest.mark.parametrize(
    ("kind", "error", "exit_code"),
    [
        (Kind.PASSING, BrokerUnavailableError, 1),
        (Kind.REVOKED, PartitionsRevokedError, 1),
        (Kind.FENCED, FencedError, 1),
        (Kind.FAILED, DetectdError, 1),
        (Kind.REFUSED, RefusedError, 77),
        (Kind.CONFIG, ConfigError, 78),
        (Kind.RECORD, ConfigError, 78),
    ],
)
def test_each_kind_ends_as_it_should(kind: Kind, error: type[DetectdError], exit_code: int) -> None:
    row = error_codes.Meaning(1, "SOME_ERROR", kind, "do something")
    told = failure(row, "SOME_ERROR: text", "writing")
    assert type(told) is error
    assert told.exit_code == exit_code
    assert "SOME_ERROR: text" in str(told)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (kafka_errors.OffsetMetadataTooLargeError(), "OFFSET_METADATA_TOO_LARGE"),
        (kafka_errors.KafkaTimeoutError(), "KafkaTimeoutError"),
        (kafka_errors.SaslAuthenticationFailedError(), "SASL_AUTHENTICATION_FAILED"),
        (type("New", (kafka_errors.AuthorizationError,), {})(), "AuthorizationError"),
    ],
    ids=str,
)
def test_an_error_has_its_own_row_or_that_of_its_nearest_base(
    error: BaseException, name: str
) -> None:
    assert kafka_python_meaning(error).name == name


def test_a_code_of_a_newer_broker_may_pass() -> None:
    found = kafka_python_meaning(kafka_errors.for_code(9_999)("new"))
    assert found.kind is Kind.PASSING
    native = confluent_kafka.KafkaError(9_999)
    with pytest.raises(BrokerUnavailableError), native_explained("writing"):
        raise confluent_kafka.KafkaException(native)


def test_the_cause_counts_not_the_error_that_wraps_it() -> None:
    cause = kafka_errors.TopicAuthorizationFailedError("events")
    with pytest.raises(RefusedError, match="events"), explained("writing"):
        raise kafka_errors.KafkaError("no more", cause)
