"""What a broker starts from: its configuration, a formatted directory, an archive of its classes.

The last two are made once and kept beside Kafka's jars. The one saves each start a Java of its own
that formats, the other the reading and verifying of some thousands of classes.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.node import HOST, Node, await_listening, free_ports, java, spawn, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLUSTER = base64.urlsafe_b64encode(b"detectd-tests-01")[:22].decode()
PLAIN = {"CLIENT": "PLAINTEXT", "INTERNAL": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}


def ports(protocols: Mapping[str, str], nodes: int = 1) -> list[dict[str, int]]:
    """A port for each listener of each node."""
    free = iter(free_ports(nodes * len(protocols)))
    return [{name: next(free) for name in protocols} for _ in range(nodes)]


def make(
    jars: Path,
    home: Path,
    number: int,
    listeners: Sequence[Mapping[str, int]],
    protocols: Mapping[str, str] = PLAIN,
    more: Mapping[str, object] | None = None,
) -> Node:
    """Start the node of that number, of those that listen there, in a new directory."""
    home.mkdir(parents=True)
    config = _write(home, _properties(number, listeners, home, protocols) | dict(more or {}))
    kept = jars / f"formatted-{number}-{CLUSTER}"
    _keep(kept, lambda fresh: _format(jars, number, fresh))
    shutil.copytree(kept, home / "data")
    # Java does without an archive that it cannot use.
    command = java(jars, "kafka.Kafka", config, using=f"-XX:SharedArchiveFile={_archive(jars)}")
    server = f"{HOST}:{listeners[number - 1]['CLIENT']}"
    return Node(server, home, command, spawn(command, home))


def _properties(
    number: int,
    listeners: Sequence[Mapping[str, int]],
    home: Path,
    protocols: Mapping[str, str],
) -> dict[str, object]:
    """The configuration of one node."""
    replicas = min(3, len(listeners))
    return {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": ",".join(
            f"{voter}@{HOST}:{those['CONTROLLER']}" for voter, those in enumerate(listeners, 1)
        ),
        "listeners": ",".join(
            f"{name}://{HOST}:{port}" for name, port in listeners[number - 1].items()
        ),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in protocols.items()
        ),
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": home / "data",
        "default.replication.factor": replicas,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min(2, replicas),
        "transaction.state.log.num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        # Tests wait for the brokers to miss a member that was killed.
        "group.min.session.timeout.ms": 1000,
        # Brokers look every ten seconds for transactions of the dead; tests can wait for less.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # A broker that nobody uses writes to its log of metadata twice a second, for as long as
        # the whole run lasts; this takes more than all else that it does then.
        "metadata.max.idle.interval.ms": 0,
    }


def _write(home: Path, properties: Mapping[str, object]) -> Path:
    config = home / "server.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    return config


def _format(jars: Path, number: int, data: Path) -> None:
    home = data.parent
    listeners = ports(PLAIN, number)
    config = _write(home, _properties(number, listeners, home, PLAIN) | {"log.dirs": data})
    tool = java(jars, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", config)
    if spawn(tool, home).wait():
        raise RuntimeError(f"Kafka does not format:\n{tail(home)}")


def _archive(jars: Path) -> Path:
    """The archive for this Java; another one could not use it."""
    found = Path(shutil.which("java") or "java").resolve()
    kept = jars / f"classes-{found.stat().st_mtime_ns:x}.jsa"
    _keep(kept, lambda fresh: _record(jars, fresh))
    return kept


def _record(jars: Path, archive: Path) -> None:
    """Run a broker once; at its end Java writes down the classes that it has loaded."""
    home = archive.parent
    listeners = ports(PLAIN)
    _format(jars, 1, home / "data")
    config = _write(home, _properties(1, listeners, home, PLAIN))
    command = java(jars, "kafka.Kafka", config, using=f"-XX:ArchiveClassesAtExit={archive}")
    node = Node(f"{HOST}:{listeners[0]['CLIENT']}", home, command, spawn(command, home))
    try:
        await_listening([node])
    finally:
        node.stop()


def _keep(kept: Path, make: Callable[[Path], None]) -> None:
    """Make it if it is not there. What runs make at the same time is the same."""
    if kept.exists():
        return
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        fresh = Path(temporary) / "fresh"
        make(fresh)
        with suppress(OSError):
            fresh.rename(kept)
