"""What kafka-python's errors mean for the service: refused, misconfigured, revoked, or away."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka import errors as kafka_errors

from detectd.errors import ConfigError, DetectdError, Interrupted, RefusedError, Revoked
from detectd.extras import how_to_get

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSALS = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)

REVOKED = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)

FENCED = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)

MISCONFIGURED = {
    kafka_errors.InconsistentGroupProtocolError: "the group has members that share partitions in "
    "another way; give this service a kafka.group_id of its own",
    kafka_errors.InvalidSessionTimeoutError: "set kafka.session_timeout_seconds within what the "
    "brokers allow (group.min.session.timeout.ms, group.max.session.timeout.ms)",
    kafka_errors.InvalidTransactionTimeoutError: "lower kafka.transaction_timeout_seconds, or "
    "raise the brokers' transaction.max.timeout.ms",
    kafka_errors.MessageSizeTooLargeError: "raise max.message.bytes of the output topics, or "
    "grant DescribeConfigs on them, so that too large outputs become dead letters",
    kafka_errors.UnsupportedCodecError: f"install the codecs: {how_to_get('codecs')}",
    kafka_errors.InvalidTopicError: "correct the name",
}


class Fenced(Interrupted):
    """The brokers take us for dead: a transaction took too long, or another has our id."""


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn kafka-python's errors into those of `detectd.errors`, in one line."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        # An earlier error that broke the client comes wrapped in the error of the next call.
        inner = [cause for cause in error.args if isinstance(cause, kafka_errors.KafkaError)]
        raise _meaning(inner[0] if inner else error, doing) from error


def one_line(error: BaseException) -> str:
    """The error's class, if its text does not name it, and its text."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return text if name in text else f"{name}: {text}".removesuffix(": ")


def _meaning(cause: kafka_errors.KafkaError, doing: str) -> DetectdError:
    what = one_line(cause)
    if isinstance(cause, REFUSALS):
        return RefusedError(
            f"the brokers refuse us, {doing}: {what}; grant the right, or correct the credentials"
        )
    if isinstance(cause, REVOKED):
        return Revoked(f"the group has gone on without us, {doing}: {what}")
    if isinstance(cause, FENCED):
        return Fenced(f"the brokers have ended our transaction, {doing}: {what}")
    mend = MISCONFIGURED.get(type(cause))
    if mend:
        return ConfigError(f"kafka: {doing}: {what}; {mend}")
    return Interrupted(f"Kafka failed, {doing}: {what}")
