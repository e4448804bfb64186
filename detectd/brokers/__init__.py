"""What all of Kafka's clients share: how to reach the brokers, and what their errors mean here."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from detectd.errors import ConfigError, DetectdError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

T = TypeVar("T")

CLOSE_SECONDS = 5.0
RETRY_SECONDS = 0.1

REFUSALS = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)

MENDS = {
    kafka_errors.ProducerFencedError: "another process with this transactional id took over; "
    "give each process its own kafka.transactional_id",
    kafka_errors.CommitFailedError: "the group gave the partitions to others before the commit; "
    "a restart goes on from the last one",
    kafka_errors.MessageSizeTooLargeError: "raise max.message.bytes of the output topics",
    kafka_errors.UnsupportedCodecError: "install the library of that compression",
}


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """How to reach the brokers, and who we are to them.

    `extra` holds further options of kafka-python, for every kind of client (`security_protocol`,
    `ssl_cafile`, ...). `patience` bounds in seconds how long a start waits for the brokers.
    """

    bootstrap_servers: Sequence[str]
    group_id: str = "detectd"
    client_id: str = "detectd"
    transactional_id: str | None = None
    auto_offset_reset: str = "earliest"
    patience: float = 30.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def connect(self, kind: Callable[..., T], **options: object) -> T:
        """A client of that kind, connected. Raises DetectdError where no broker answers in time."""
        servers = ", ".join(self.bootstrap_servers)
        common = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "bootstrap_timeout_ms": self.patience * 1000,
            "reconnect_backoff_max_ms": 1000,
            "client_id": self.client_id,
        }
        try:
            return kind(**common, **self.extra, **options)
        except kafka_errors.KafkaTimeoutError:
            # kafka-python takes a failed login for a lost connection, and tries on.
            login = " or the credentials" if "sasl_mechanism" in self.extra else ""
            raise DetectdError(
                f"kafka.bootstrap_servers: no answer from {servers} within {self.patience:g} s; "
                f"start the brokers, or correct the addresses{login}"
            ) from None
        except (kafka_errors.KafkaConfigurationError, ValueError) as wrong:
            raise ConfigError(f"kafka: {one_line(wrong)}; correct the options") from wrong

    def partitions(self, topics: Collection[str]) -> dict[str, int]:
        """How many partitions each topic has, 0 where there is no such topic.

        Raises RefusedError where we may not know.
        """
        with closing(self.connect(KafkaAdminClient)) as admin, explained("looking for the topics"):
            found = self.patiently(lambda: admin.describe_topics(list(topics)))
            for topic in found:
                error = kafka_errors.for_code(topic["error_code"])
                if issubclass(error, REFUSALS):
                    raise error(topic["name"])
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, asked again while the brokers say that they are not ready yet."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return ask()
            except kafka_errors.RetriableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn kafka-python's errors into those of `detectd.errors`, in one line."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        # An earlier error that broke the client comes wrapped in the error of the next call.
        inner = [cause for cause in error.args if isinstance(cause, kafka_errors.KafkaError)]
        cause = inner[0] if inner else error
        if isinstance(cause, REFUSALS):
            raise RefusedError(
                f"the brokers refuse us, {doing}: {one_line(cause)}; grant the right, "
                "or correct the credentials"
            ) from error
        mend = MENDS.get(type(cause), "a restart goes on from the last commit")
        raise DetectdError(f"Kafka failed, {doing}: {one_line(cause)}; {mend}") from error


def one_line(error: BaseException) -> str:
    """The error's class, if its text does not name it, and its text."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return text if name in text else f"{name}: {text}".removesuffix(": ")
