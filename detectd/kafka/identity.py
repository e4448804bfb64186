"""A name that is unique among running processes, and the same after a restart.

The same configuration runs on every host, yet each process needs its own transactional id. It
consists of the host's name, its machine id and the first free number on that host. The number is
held as a socket address in Linux's abstract namespace: the kernel releases it with the process,
however that ends, and a frozen process keeps it.
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
MOST_PROCESSES = 1000


class Identity:
    """The first free number among the processes of this host that share `scope`.

    Containers may share a host's name and machine id, but not the sockets: then two of them have
    the same number, which is noticed only when the brokers fence one of them. That one takes the
    `next` number.
    """

    def __init__(self, scope: str, beyond: Identity | None = None) -> None:
        digest = hashlib.sha256(scope.encode()).hexdigest()[:16]
        first = 0 if beyond is None else beyond.number + 1
        self._scope = scope
        self.number: int
        self._held, self.number = _first_free(f"\0detectd-{digest}", first)
        # Keep the earlier numbers: a new process would be fenced with them.
        self._beyond = beyond
        self.name = "-".join([socket.gethostname(), *_machine(), str(self.number)])

    def next(self) -> Identity:
        """Return the next free number, and keep this one."""
        return Identity(self._scope, self)

    def release(self) -> None:
        """Release the number for other processes."""
        self._held.close()
        if self._beyond:
            self._beyond.release()


def _first_free(prefix: str, first: int) -> tuple[socket.socket, int]:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    for number in range(first, MOST_PROCESSES):
        try:
            held.bind(f"{prefix}-{number}")
        except OSError:
            continue
        return held, number
    raise AssertionError(f"{MOST_PROCESSES} processes share one configuration on this host")


def _machine() -> list[str]:
    """Return the beginning of the machine id, which distinguishes hosts of the same name."""
    try:
        return [MACHINE_ID.read_text().strip()[:8]]
    except OSError:
        return []
