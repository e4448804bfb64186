"""Map librdkafka's errors to those of the service; `errors` does so for kafka-python's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from detectd.kafka.error_codes import Meaning, meaning
from detectd.kafka.errors import failure

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn librdkafka's errors into those of `detectd.errors`, in one line."""
    try:
        yield
    except KafkaException as failed:
        error = failed.args[0]
        text = " ".join(str(error.str()).split())
        raise failure(native_meaning(error), f"{error.name()}: {text}", doing) from failed


def native_meaning(error: Any) -> Meaning:
    """Return the row for an error of librdkafka."""
    return meaning(error.code(), error.name())
