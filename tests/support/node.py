"""One broker of our own as a process: started, stopped, and started again where it was."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# Below the ports that Linux gives to outgoing connections: one of these could take the port of a
# broker that is down, and a client that looks for the broker could even connect to itself.
PORTS = range(12_000, 32_000)

# Kafka starts faster with the quick compiler and the plain collector, and a test needs no more.
JVM = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


@dataclass
class Node:
    """One broker of our own, and its own controller; `server` is where clients find it."""

    server: str
    home: Path
    command: Sequence[str]
    process: subprocess.Popen[bytes]

    @property
    def running(self) -> bool:
        """Whether the process is there; it may not answer yet."""
        return self.process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, with SIGTERM in an orderly way, and wait until it is gone."""
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def start(self) -> None:
        """Start it again, on its ports and its data, and wait until it answers."""
        self.process = spawn(self.command, self.home)
        await_listening([self])


def await_listening(nodes: Sequence[Node]) -> None:
    """Return when every node answers. Raise RuntimeError if one ends, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not all(listens(node.server) for node in nodes):
        if not all(node.running for node in nodes) or time.monotonic() > deadline:
            logs = "".join(tail(node.home) for node in nodes)
            raise RuntimeError(f"Kafka does not start:\n{logs}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        ports: list[int] = []
        for port in random.sample(PORTS, len(PORTS)):
            with suppress(OSError):
                stack.enter_context(socket.create_server((HOST, port)))
                ports.append(port)
            if len(ports) == count:
                break
        return ports


def java(jars: Path, main: str, *arguments: object, using: str = "-Xshare:auto") -> list[str]:
    """Return the command that runs a class of Kafka's, with one more option of Java's."""
    # An archive of classes is good only for the same jars in the same order.
    path = ":".join(map(str, sorted(jars.glob("*.jar"))))
    return ["java", *JVM, using, "-cp", path, main, *map(str, arguments)]


def spawn(command: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
    """Start the process; what it prints goes to the file `log` in its directory."""
    with (home / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def tail(home: Path) -> str:
    """Return the end of a process's log."""
    return (home / "log").read_text()[-4000:]


def listens(server: str) -> bool:
    """Return whether a connection to `host:port` is accepted."""
    host, port = server.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
