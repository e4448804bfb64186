"""A client of a running service's endpoints: the counterpart of `server`.

Several processes with one configuration have consecutive ports, so all of these are queried at
once. Other programs that listen there are skipped. The token is never sent: see `token_proof`.
"""

from __future__ import annotations

import hmac
import http.client
import io
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from detectd.errors import ConfigError, DetectdError
from detectd.telemetry.listen_address import MORE_PORTS, Tcp, Unix, parse
from detectd.telemetry.token_proof import (
    CHALLENGE_HEADER,
    PROOF_HEADER,
    Exchange,
    new_nonce,
    place_of,
)

# The total seconds for a response, however slowly it arrives.
ANSWER_SECONDS = 5.0

# The maximum bytes of a response; a status with ten thousand partitions has about two megabytes.
ANSWER_BYTES = 16 << 20
BLOCK = 64 << 10

# The local address of a service that listens on all interfaces.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens here


class StatusReply(NamedTuple):
    """The reply of one address: its /status, or the reason for none."""

    address: str
    status: dict[str, Any] | None
    why: str = ""


class _Received:
    """The bytes of a response, in the form that the standard library's client needs."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        """See `socket.socket`."""
        return io.BytesIO(self._content)


class _TooLongError(Exception):
    """The response has more than ANSWER_BYTES."""


def of_configuration(told: list[StatusReply], config: Path) -> list[StatusReply]:
    """Return the replies of services with this configuration, and those without a status.

    Raise DetectdError if there is none, which names services with other configurations.
    """
    there = [(each, each.status.get("config", "")) for each in told if each.status]
    ours = [each for each, path in there if path and Path(path).resolve() == config.resolve()]
    if not ours:
        others = ", ".join(f"{path or 'no file'} at {each.address}" for each, path in there)
        raise DetectdError(
            f"no service runs {config}; there are {others}; `detectd status --all` shows these"
        )
    return [each for each in told if each.status is None or each in ours]


def running(listen: str, token: str | None) -> list[StatusReply]:
    """Return the replies at `server.listen`: at least one status, and services that withhold
    theirs.

    Raise DetectdError if no service responds, ConfigError if `listen` cannot be queried.
    """
    address = parse(listen, token)
    if address is None:
        raise ConfigError(
            'server.listen: "" means no server; set an address to see a running service'
        )
    if isinstance(address, Tcp) and not address.port:
        raise ConfigError("server.listen: port 0 is any free port; name one to find the service")
    places = _places(address)
    with ThreadPoolExecutor(len(places)) as at_once:
        told = [each for each in at_once.map(lambda place: _ask(place, token), places) if each]
    if not any(each.status for each in told):
        last = places[-1]
        ports = f" to {last.port}" if isinstance(last, Tcp) and len(places) > 1 else ""
        why = told[0].why if told else "is the service running?"
        raise DetectdError(f"no detectd answers at {listen}{ports}: {why}")
    return told


def _places(address: Tcp | Unix) -> list[Tcp | Unix]:
    if isinstance(address, Unix):
        return [address]
    host = EVERYWHERE.get(address.host, address.host)
    last = min(address.port + MORE_PORTS, 65535)
    return [Tcp(host, port) for port in range(address.port, last + 1)]


def _ask(place: Tcp | Unix, token: str | None) -> StatusReply | None:
    """Return the reply of an address; None if nothing listens, or it is not detectd."""
    name = f"unix:{place.path}" if isinstance(place, Unix) else place.at(place.port)
    try:
        answer, body = _get(place)
        if answer.status != http.HTTPStatus.UNAUTHORIZED:
            return _unproven(name, body, token)
        challenge = answer.getheader(CHALLENGE_HEADER, "")
        if not challenge.isascii() or not challenge.isprintable() or " " in challenge:
            return None
        if token is None:
            return StatusReply(name, None, "it asks for a token; set server.token_file")
        secret = token.strip().encode()
        where = place_of(place, place.port if isinstance(place, Tcp) else 0)
        exchange = Exchange(secret, where, challenge, new_nonce())
        answer, body = _get(place, f"Authorization: {exchange.authorization()}\r\n")
    except (ConnectionError, FileNotFoundError, http.client.HTTPException):
        return None
    except TimeoutError:
        return StatusReply(name, None, f"no answer within {ANSWER_SECONDS:g} s")
    except _TooLongError:
        return StatusReply(name, None, f"its answer has more than {ANSWER_BYTES >> 20} MiB")
    except OSError as failed:
        return StatusReply(name, None, failed.strerror or str(failed))
    if answer.status == http.HTTPStatus.UNAUTHORIZED:
        return StatusReply(name, None, "it asks for a token other than that of server.token_file")
    proof = answer.getheader(PROOF_HEADER, "").encode()
    if not hmac.compare_digest(proof, exchange.of_service(body).encode()):
        return StatusReply(name, None, "its answer does not prove that it knows the token")
    status = _status(body)
    return None if status is None else StatusReply(name, status)


def _unproven(name: str, body: bytes, token: str | None) -> StatusReply | None:
    """Return a reply that needed no token, which is valid only if none is configured."""
    status = _status(body)
    if status is None:
        return None
    if token is not None:
        return StatusReply(name, None, "it asks for no token, and server.token_file is set")
    return StatusReply(name, status)


def _get(place: Tcp | Unix, header: str = "") -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response to GET /status with this header, and its body.

    Raise TimeoutError, OSError, HTTPException or _TooLongError.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    request = f"GET /status HTTP/1.1\r\nHost: {_host(place)}\r\nConnection: close\r\n{header}\r\n"
    received = bytearray()
    with _connect(place) as connection:
        connection.sendall(request.encode())
        while True:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            block = connection.recv(BLOCK)
            if not block:
                break
            received += block
            if len(received) > ANSWER_BYTES:
                raise _TooLongError
            if time.monotonic() > deadline:
                raise TimeoutError
    answer = http.client.HTTPResponse(_Received(bytes(received)))  # type: ignore[arg-type]
    answer.begin()
    return answer, answer.read()


def _connect(place: Tcp | Unix) -> socket.socket:
    if isinstance(place, Tcp):
        return socket.create_connection((place.host, place.port), timeout=ANSWER_SECONDS)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(place.path))
    except BaseException:
        connection.close()
        raise
    return connection


def _host(place: Tcp | Unix) -> str:
    return place.at(place.port) if isinstance(place, Tcp) else "localhost"


def _status(body: bytes) -> dict[str, Any] | None:
    """Return the status if it is one of detectd's, or None."""
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    keys = {"version", "state", "promise", "outputs"}
    ours = isinstance(page, dict) and keys <= page.keys() and type(page.get("config")) is str
    return page if ours else None
