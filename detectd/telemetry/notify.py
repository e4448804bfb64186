"""systemd's notify protocol: a datagram with the state, sent where NOTIFY_SOCKET says."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(**state: str | int) -> None:
    """Tell systemd, where it listens: `notify(READY=1, STATUS="…")`.

    A manager that has gone away is no reason to stop, so failures to send are passed over.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value}" for name, value in state.items())
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.connect(address)
        channel.sendall(message.encode())
