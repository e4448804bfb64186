"""Access to Kafka's brokers: connection, identity and operations.

`kafka_python_client` and `confluent_client` are two transports with the same two classes,
`Consumer` and `Producer`; everything outside of the record path (topics, offsets of a group) uses
kafka-python, here. `error_codes` maps the errors of both. Begin with `KafkaClient` below. `avro`
reads records in Confluent's wire format.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.kafka.error_codes import Kind, meaning
from detectd.kafka.errors import explained, one_line
from detectd.kafka.login_probe import log_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import ModuleType

    from detectd.kafka.identity import Identity
    from detectd.pipeline.records import KeyRecord, Outgoing, Record

T = TypeVar("T")

CLOSE_SECONDS = 5.0
RETRY_SECONDS = 0.1

Place = tuple[str, int]  # topic and partition


class PartitionBatch(NamedTuple):
    """Records of one partition in order, the offset of the first and the one after the last."""

    place: Place
    first: int
    after: int
    records: list[Record]


# An output or a state record, its topic and partition, and its time in milliseconds. With None the
# key decides the partition, and the clock the time.
ProducerRecord = tuple["Outgoing | KeyRecord", str, int | None, int | None]


@dataclass
class Membership:
    """The group membership under which the consumer read the records: the brokers fence all others.

    The source writes `member` and the sink reads it; its content is private to the transport.
    `admitted` is whether any broker has accepted the login. `topic_ids` are those of the topics
    that are read, and `crowded` is when another member was first seen in a group that must be
    this process's alone. `recreated` are the partitions of recreated topics of which nothing is
    committed yet. The transport writes `displaced`: partitions without records at their offset.
    """

    member: Any = None
    admitted: bool = False
    topic_ids: dict[str, str] = field(default_factory=dict)
    crowded: float | None = None
    recreated: set[Place] = field(default_factory=set)
    displaced: dict[Place, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """How to connect to the brokers, and the identity of this process.

    `extra` holds options of kafka-python for every kind of client (`security_protocol`, ...), and
    `native` those of librdkafka. All times are in seconds; `patience` bounds how long one attempt
    waits for the brokers, and added partitions are detected within `metadata_age`. `identity` is
    kept as long as the client: it makes `transactional_id` unique to this process.
    """

    bootstrap_servers: Sequence[str]
    library: str = "kafka-python"
    group_id: str = "detectd"
    group_instance_id: str | None = None
    client_id: str = "detectd"
    transactional_id: str | None = None
    identity: Identity | None = None
    auto_offset_reset: str = "earliest"
    compression: str = "none"
    fetch_bytes: int = 32 << 20
    metadata_age: float = 30.0
    session_timeout: float = 45.0
    max_poll_interval: float = 300.0
    transaction_timeout: float = 60.0
    patience: float = 10.0
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    native: Mapping[str, Any] = field(default_factory=dict, repr=False)
    membership: Membership = field(default_factory=Membership)

    def renamed(self) -> KafkaClient:
        """Return the same client under another name, since another process uses this one."""
        assert self.identity
        old, identity = self.identity.name, self.identity.next()
        transactional, static = (
            name and name.removesuffix(old) + identity.name
            for name in (self.transactional_id, self.group_instance_id)
        )
        return replace(
            self,
            identity=identity,
            transactional_id=transactional,
            group_instance_id=static,
            membership=Membership(),
        )

    @property
    def transport(self) -> ModuleType:
        """Return the module with the configured library's `Consumer` and `Producer`."""
        if self.library == "confluent":
            from detectd.kafka import confluent_client

            return confluent_client
        from detectd.kafka import kafka_python_client

        return kafka_python_client

    def connect(self, kind: Callable[..., T], **options: object) -> T:
        """Return a client of kafka-python of that kind, connected.

        Raise BrokerUnavailableError if no broker responds in time, RefusedError if it denies
        access, and ConfigError if an option is wrong.
        """
        if not self.membership.admitted:
            self._log_in()
        common = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "bootstrap_timeout_ms": self.patience * 1000,
            "reconnect_backoff_max_ms": 1000,
            "client_id": self.client_id,
        }
        try:
            return kind(**common, **self.extra, **options)
        except kafka_errors.KafkaTimeoutError:
            servers = ", ".join(self.bootstrap_servers)
            raise BrokerUnavailableError(
                f"kafka.bootstrap_servers: no answer from {servers} within {self.patience:g} s; "
                "start the brokers, or correct the addresses"
            ) from None
        except (kafka_errors.KafkaConfigurationError, ValueError, AssertionError) as wrong:
            raise ConfigError(f"kafka: {one_line(wrong)}; correct the options") from wrong

    def _log_in(self) -> None:
        """Check that any of the brokers accepts the login. Raises as `log_in`."""
        reasons = []
        for server in self.bootstrap_servers:
            try:
                log_in(server, self.extra, self.patience / 2)
            except BrokerUnavailableError as away:
                reasons.append(str(away))
            else:
                self.membership.admitted = True
                return
        raise BrokerUnavailableError(f"{reasons[0]}; start the brokers, or correct the addresses")

    def partitions(self, topics: Collection[str]) -> dict[str, int]:
        """Return the number of partitions of each topic, 0 if it does not exist.

        Raise RefusedError if access is denied.
        """
        with closing(self.connect(KafkaAdminClient)) as admin, explained("listing the topics"):
            found = self.patiently(lambda: admin.describe_topics(list(topics)))
            for topic in found:
                if meaning(topic["error_code"], "").kind is Kind.REFUSED:
                    raise kafka_errors.for_code(topic["error_code"])(topic["name"])
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def patiently(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, and retry while the brokers are not ready."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return ask()
            except kafka_errors.RetriableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
