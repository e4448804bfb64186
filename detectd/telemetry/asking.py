"""Asking a running service how it is doing: the other side of `server`.

Several processes with one configuration have a port each, one after another, so all of these are
asked at once. Whatever else listens there is passed over.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.errors import ConfigError, DetectdError
from detectd.telemetry.listening import MORE_PORTS, Tcp, Unix, parse

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 5.0

# Where a service that listens everywhere is near.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens here


class Told(NamedTuple):
    """What one address said: its /status, or why it said nothing of use."""

    address: str
    status: dict[str, Any] | None
    why: str = ""


class _OverUnix(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """See `HTTPConnection`."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def running(listen: str, token: str | None) -> list[Told]:
    """What is said at `server.listen`: at least one status, and who there keeps theirs back.

    Raises DetectdError where no service answers, ConfigError where `listen` is no place to ask at.
    """
    address = parse(listen, token)
    if address is None:
        raise ConfigError('server.listen: "" is nowhere; set an address to see a running service')
    if isinstance(address, Tcp) and not address.port:
        raise ConfigError("server.listen: port 0 is any port; name one to find the service at")
    places = _places(address)
    with ThreadPoolExecutor(len(places)) as at_once:
        told = [each for each in at_once.map(lambda place: _ask(place, token), places) if each]
    if not any(each.status for each in told):
        last = places[-1]
        ports = f" to {last.port}" if isinstance(last, Tcp) and len(places) > 1 else ""
        why = told[0].why if told else "is it running?"
        raise DetectdError(f"no detectd answers at {listen}{ports}: {why}")
    return told


def _places(address: Tcp | Unix) -> list[Tcp | Unix]:
    if isinstance(address, Unix):
        return [address]
    host = EVERYWHERE.get(address.host, address.host)
    last = min(address.port + MORE_PORTS, 65535)
    return [Tcp(host, port) for port in range(address.port, last + 1)]


def _ask(place: Tcp | Unix, token: str | None) -> Told | None:
    """What is said there; None where nobody listens, or somebody who is no detectd."""
    name = f"unix:{place.path}" if isinstance(place, Unix) else place.at(place.port)
    try:
        code, body = _get(place, "/status", token)
    except (ConnectionError, FileNotFoundError, http.client.HTTPException):
        return None
    except TimeoutError:
        return Told(name, None, f"no answer within {ANSWER_SECONDS:g} s")
    except OSError as failed:
        return Told(name, None, failed.strerror or str(failed))
    if code == http.HTTPStatus.UNAUTHORIZED:
        return Told(name, None, "it asks for another token than that of server.token_file")
    status = _status(body)
    return None if status is None else Told(name, status)


def _get(place: Tcp | Unix, path: str, token: str | None) -> tuple[int, bytes]:
    connection = (
        _OverUnix(place.path)
        if isinstance(place, Unix)
        else http.client.HTTPConnection(place.host, place.port, timeout=ANSWER_SECONDS)
    )
    header = {} if token is None else {"Authorization": f"Bearer {token.strip()}".encode()}
    with contextlib.closing(connection):
        connection.request("GET", path, headers=header)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _status(body: bytes) -> dict[str, Any] | None:
    """The page, where it is one of ours."""
    try:
        page = json.loads(body)
    except ValueError:
        return None
    ours = isinstance(page, dict) and {"version", "state", "promise", "outputs"} <= page.keys()
    return page if ours else None
