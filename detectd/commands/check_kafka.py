"""`detectd check --connect`: test access to the brokers without changing anything."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from detectd import derive, wiring
from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError, RefusedError
from detectd.kafka import topics as broker_topics
from detectd.kafka.errors import explained
from detectd.kafka.login_probe import log_in
from detectd.kafka.topic_settings import (
    POLICY,
    RULES,
    SIZE,
    concerns,
    impossible,
    unfit_for_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.kafka import KafkaClient
    from detectd.settings import Settings

OK, WARNING, FAILED = "ok", "WARNING", "FAILED"


@dataclass
class Table:
    """The checks, their outcomes and details; `failures` are the errors."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    failures: list[DetectdError] = field(default_factory=list)

    def look(self, what: str, name: str, find: Callable[[], str]) -> bool:
        """Add a row with the result of `find`, or with its error."""
        try:
            found = find()
        except DetectdError as failed:
            self.rows.append((what, name, FAILED, str(failed)))
            self.failures.append(failed)
            return False
        self.rows.append((what, name, WARNING if found.startswith("WARNING") else OK, found))
        return True

    def lines(self) -> list[str]:
        """Return the aligned table, or a sentence if there are no checks."""
        if not self.rows:
            return ["nothing to connect to: neither source nor sink is Kafka"]
        widths = [max(len(row[column]) for row in self.rows) for column in range(3)]
        return [
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
            for row in self.rows
        ]

    def verdict(self) -> DetectdError | None:
        """Return the failure that decides the exit code: refused before misconfigured before
        unavailable."""
        if not self.failures:
            return None
        by_weight = (RefusedError, ConfigError, DetectdError)
        kind = next(k for k in by_weight if any(isinstance(each, k) for each in self.failures))
        return kind(f"{len(self.failures)} of {len(self.rows)} checks failed (see table)")


def connect_check(settings: Settings) -> Table:
    """Check brokers, login, topics, access rights and the schema registry, one row each."""
    table = Table()
    client = wiring.kafka_client(settings)
    if client:
        admitted = [
            table.look("broker", server, lambda server=server: _broker(client, server))  # type: ignore[misc]
            for server in settings.kafka.bootstrap_servers
        ]
        if any(admitted):
            _cluster(settings, client, table)
    if settings.source.format == "avro":
        url = str(settings.schema_registry.url)
        table.look("registry", url, lambda: _registry(settings))
    return table


def _registry(settings: Settings) -> str:
    wiring.schema_registry(settings).check()
    return "answers"


def _broker(client: KafkaClient, server: str) -> str:
    try:
        admitted = log_in(server, client.extra, client.patience / 2)
    except BrokerUnavailableError as away:
        raise BrokerUnavailableError(f"{away}; start the broker, or correct the address") from None
    client.membership.admitted = True
    return ", ".join([admitted.tls or "no TLS", admitted.sasl or "no login"])


def _cluster(settings: Settings, client: KafkaClient, table: Table) -> None:
    reads = list(settings.source.topics) if settings.source.kind == "kafka" else []
    writes = list(derive.output_topics(settings).values()) if settings.sink.kind == "kafka" else []
    with closing(client.connect(KafkaAdminClient)) as admin:
        for topic in reads:
            table.look("reads", topic, lambda topic=topic: _topic(settings, admin, topic, "READ"))  # type: ignore[misc]
        found = broker_topics.configs(client, writes, RULES) if table.rows and writes else {}
        for topic in writes:
            table.look(
                "writes",
                topic,
                lambda topic=topic: _output(settings, admin, topic, found.get(topic)),  # type: ignore[misc]
            )
        if state := derive.keys_topic(settings):
            table.look("state", state, lambda: _state(settings, client, admin, state))
        if reads:
            alone = settings.sink.kind == "file"
            table.look("group", client.group_id, lambda: _group(client, admin, alone=alone))
        if writes and settings.kafka.delivery == "exactly_once":
            name = str(client.transactional_id)
            table.look("transactions", name, lambda: _transactions(client, admin, name))


def _topic(settings: Settings, admin: Any, topic: str, operation: str) -> str:
    with explained(f"looking up {topic}"):
        (found,) = admin.describe_topics([topic])
        error = kafka_errors.for_code(found["error_code"])
        if issubclass(error, kafka_errors.AuthorizationError):
            raise error(topic)
    partitions = len(found["partitions"])
    if not partitions:
        if settings.kafka.create_topics:
            return "WARNING: does not exist yet; will be created"
        raise ConfigError("no such topic; create it, or set kafka.create_topics = true")
    _require(found["authorized_operations"], operation, f"topic {topic}")
    leaderless = sum(each["leader_id"] < 0 for each in found["partitions"])
    if leaderless:
        return f"WARNING: {leaderless} of {partitions} partitions have no leader"
    return f"{partitions} partitions"


def _output(settings: Settings, admin: Any, topic: str, found: dict[str, str] | None) -> str:
    there = _topic(settings, admin, topic, "WRITE")
    if there.startswith("WARNING"):
        return there
    if found is None or SIZE not in found:
        return f"WARNING: {there}; {SIZE} unknown, grant DescribeConfigs on it"
    replicas = _replicas(admin, topic)
    if refused := impossible(found, replicas):
        raise ConfigError(f"{there}; {refused}")
    # A dead letter has its record's key; an alert has its own.
    verdicts = bool(settings.event.key) and topic != settings.topics.dead_letter
    keyed = verdicts or topic == settings.topics.alerts
    troubles = list(concerns(found, keyed=keyed, replicas=replicas))
    if troubles:
        return f"WARNING: {there}; {'; '.join(troubles)}"
    return f"{there}, records up to {int(found[SIZE]):,} bytes"


def _state(settings: Settings, client: KafkaClient, admin: Any, topic: str) -> str:
    there = _topic(settings, admin, topic, "WRITE")
    if there.startswith("WARNING: does not exist"):
        return there
    _topic(settings, admin, topic, "READ")
    partitions = client.partitions([topic, *settings.source.topics])
    found = broker_topics.configs(client, [topic], RULES).get(topic, {})
    unfit = unfit_for_state(
        found,
        partitions=partitions[topic],
        inputs=max(partitions[each] for each in settings.source.topics),
        largest=derive.key_record_bytes(settings),
    )
    if unfit:
        raise ConfigError(unfit)
    if POLICY not in found:
        return f"WARNING: {there}; {POLICY} unknown, grant DescribeConfigs on it"
    if refused := impossible(found, _replicas(admin, topic)):
        raise ConfigError(f"{there}; {refused}")
    return there if there.startswith("WARNING") else f"{there}, compacted"


def _replicas(admin: Any, topic: str) -> int | None:
    """Return the smallest number of replicas of any partition."""
    with explained(f"looking up {topic}"):
        (found,) = admin.describe_topics([topic])
    return min((len(each["replica_nodes"]) for each in found["partitions"]), default=None)


def _group(client: KafkaClient, admin: Any, *, alone: bool) -> str:
    group = client.group_id
    with explained(f"looking up group {group}"):
        try:
            found = client.patiently(lambda: admin.describe_groups([group])[group])
        except kafka_errors.GroupIdNotFoundError:
            client.patiently(lambda: admin.list_group_offsets([group]))
            return "no members yet"
    _require(found.get("authorized_operations"), "READ", f"group {group}")
    members = len(found.get("members") or [])
    if alone and members:
        return f"WARNING: {members} members; file outputs need a group of their own"
    return f"{members} members"


def _transactions(client: KafkaClient, admin: Any, name: str) -> str:
    with explained(f"looking up transactional id {name}"):
        try:
            client.patiently(lambda: admin.describe_transactions([name]))
        except kafka_errors.TransactionalIdNotFoundError:
            return "not used yet"
    return "used before"


def _require(operations: list[Any] | None, wanted: str, what: str) -> None:
    names = {str(getattr(each, "name", each)).upper() for each in operations or ()}
    if names and not names & {wanted, "ALL"}:
        raise RefusedError(f"not allowed to {wanted.lower()} it; grant {wanted.title()} on {what}")
