"""What librdkafka's errors mean for the service; `failures` does so for kafka-python's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from detectd.brokers.failures import Fenced
from detectd.errors import ConfigError, DetectdError, Interrupted, RefusedError, Revoked

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = ("AUTHORIZATION_FAILED", "AUTHENTICATION")
REVOKED = ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "FENCED_INSTANCE_ID")
FENCED = ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn librdkafka's errors into those of `detectd.errors`, in one line."""
    try:
        yield
    except KafkaException as failed:
        raise _meaning(failed.args[0], doing) from failed


def _meaning(error: Any, doing: str) -> DetectdError:
    name, text = error.name(), " ".join(str(error.str()).split())
    what = f"{name}: {text}"
    if any(part in name for part in REFUSED):
        return RefusedError(
            f"the brokers refuse us, {doing}: {what}; grant the right, or correct the credentials"
        )
    if name in REVOKED:
        return Revoked(f"the group has gone on without us, {doing}: {what}")
    if name in FENCED:
        return Fenced(f"the brokers have ended our transaction, {doing}: {what}")
    if name == "_INVALID_ARG":
        return ConfigError(f"kafka: {doing}: {what}; correct the options")
    return Interrupted(f"Kafka failed, {doing}: {what}")
