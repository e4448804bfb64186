"""The host names under which the service responds, as protection against DNS rebinding.

A page in a browser may point its own name at this address, and then read the responses. Its
requests carry that name in their Host header, and no token. So a client that sends the token may
use any name; others may use an IP address, which cannot be a page's own name, and these names:
localhost, this host's, that of `server.listen`, `server.allowed_hosts`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOST = re.compile(r"(\[[^\[\]]+\]|[a-z0-9._-]+)(:[0-9]{0,5})?")


class Hosts:
    """The allowed names; one that begins with a dot matches all names that end in it."""

    def __init__(self, names: Iterable[str]) -> None:
        given = [name.lower().removesuffix(".") for name in names]
        self._names = {"localhost", *(name for name in given if not name.startswith("."))}
        self._endings = tuple(name for name in given if name.startswith("."))

    def admit(self, asked: str) -> bool:
        """Return whether the value of a Host header is an IP address or an allowed name."""
        found = HOST.fullmatch(asked.strip().lower())
        if found is None:
            return False
        host = found[1]
        if host.startswith("["):
            return _is_address(host[1:-1], 6)
        name = host.removesuffix(".")
        return _is_address(host, 4) or name in self._names or name.endswith(self._endings)


def hosts_of(listen: str, allowed: Sequence[str]) -> Hosts:
    """Return the names of a service at the host of `server.listen`."""
    own = socket.gethostname()
    return Hosts((own, own.partition(".")[0], listen, *allowed))


def asked_host(target: str, fields: Iterable[str], version: str) -> str | None:
    """Return the host of a request; None if it may omit that, and does.

    Raise ValueError if it names none or several, which valid clients do not.
    """
    named = [
        value.strip()
        for name, _, value in (field.partition(":") for field in fields)
        if name.lower() == "host"
    ]
    if len(named) > 1:
        raise ValueError("it has several Host headers")
    if not named and version != "HTTP/1.0":
        raise ValueError("it has no Host header")
    # A host in the request target overrides the header (RFC 9112, 3.2.2).
    if "://" in target and not target.startswith("/"):
        return urlsplit(target).netloc
    return named[0] if named else None


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
