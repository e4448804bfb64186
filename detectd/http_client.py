"""One HTTP request to a server that may be slow, broken, hostile or not HTTP at all.

The request ends, with a response or an error, within one total deadline, from the first packet to
the last byte. The response has a size limit, and comes from the requested server. Credentials are
never sent to another server, or without the encryption that the address requires.
"""

from __future__ import annotations

import io
import socket
import time
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPErrorProcessor, HTTPHandler, HTTPSHandler, Request, build_opener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

REDIRECTIONS = (301, 302, 303, 307, 308)
MOST_REDIRECTIONS = 3
PORTS = {"http": 80, "https": 443}


class TooLongError(HTTPException):
    """The response has more bytes than its limit."""


class RedirectedError(HTTPException):
    """The response redirects to another server."""


class Answer(NamedTuple):
    """A server's response, whatever its status."""

    status: int
    reason: str
    body: bytes

    @property
    def is_html(self) -> bool:
        """Return whether it is an HTML page: a login, a proxy, an error."""
        return self.body.lstrip()[:1] == b"<"


def is_address(url: str) -> bool:
    """Return whether a request could be sent there."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(sound) and url.isascii() and url.isprintable() and " " not in url


def ask(
    url: str,
    headers: Mapping[str, str],
    form: bytes | None = None,
    *,
    deadline: float,
    limit: int,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Return the response to GET, or to POST with a `form`, read before `deadline` (monotonic).

    Raise OSError if there is no response in time, and HTTPException if it is incomplete, longer
    than `limit` bytes (TooLongError), or redirects elsewhere (RedirectedError).
    """
    opener = build_opener(_Plain(deadline), _Secure(deadline, context), _AnyStatus)
    for _ in range(MOST_REDIRECTIONS + 1):
        request = Request(url, form, dict(headers))  # noqa: S310 - the scheme has been checked
        try:
            with opener.open(request, timeout=_left(deadline)) as response:
                if response.status not in REDIRECTIONS:
                    body = read_bounded(response, limit)
                    return Answer(response.status, response.reason or "", body)
                location = response.headers.get("Location", "")
        except UnicodeError:
            raise OSError("its host is not a host name") from None
        url = _redirected(url, location, form)
    raise RedirectedError(f"redirects more than {MOST_REDIRECTIONS} times")


def read_bounded(response: HTTPResponse, limit: int) -> bytes:
    """Return the whole body. Raise TooLongError at more than `limit` bytes, or IncompleteRead."""
    body = response.read(limit + 1)
    if len(body) > limit:
        raise TooLongError(f"answers with more than {limit:,} bytes")
    if response.length:
        raise IncompleteRead(body, response.length)
    return body


def _redirected(url: str, location: str, form: bytes | None) -> str:
    """Return the target of a redirection if it is on the same server and no less encrypted."""
    target = _joined(url, location)
    if not location or not is_address(target):
        raise RedirectedError("redirects to an invalid address")
    there, here = _server(target), _server(url)
    scheme, host, port = there
    upgraded = here[0] == "http" and scheme == "https" and host == here[1]
    if form is not None or not (there == here or upgraded):
        raise RedirectedError(f"redirects to {scheme}://{host}:{port}")
    return target


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _server(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


class _AnyStatus(HTTPErrorProcessor):
    """Return responses of every status, and follow no redirection automatically."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:  # noqa: ARG002
        return response

    def https_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:  # noqa: ARG002
        return response


class _Plain(HTTPHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> HTTPConnection:
            return _hurried(HTTPConnection(host, **options), self._deadline)

        return self.do_open(connection, req)


class _Secure(HTTPSHandler):
    def __init__(self, deadline: float, context: ssl.SSLContext | None) -> None:
        super().__init__(context=context)
        self._deadline = deadline
        self._trusting = context

    def https_open(self, req: Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> HTTPConnection:
            secure = HTTPSConnection(host, context=self._trusting, **options)
            return _hurried(secure, self._deadline)

        return self.do_open(connection, req)


def _hurried(connection: HTTPConnection, deadline: float) -> HTTPConnection:
    """Make the connection respect the deadline: the library's own timeout is per step."""
    connection._create_connection = partial(_connect, deadline)  # type: ignore[attr-defined]  # noqa: SLF001
    connection.response_class = partial(_Response, deadline)  # type: ignore[assignment]
    return connection


def _connect(deadline: float, address: tuple[str, int], *_: object) -> socket.socket:
    """Return a connection to the first of the host's addresses that accepts one."""
    failed = OSError("its host has no address")
    for family, kind, protocol, _name, place in socket.getaddrinfo(
        *address, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(place)
            connection.settimeout(_left(deadline))  # for the handshake of TLS, as a whole
        except OSError as away:
            connection.close()
            failed = away
        else:
            return connection
    raise failed


class _Response(HTTPResponse):
    """A response that is read completely before the deadline."""

    def __init__(self, deadline: float, sock: socket.socket, **options: Any) -> None:
        super().__init__(_Readable(sock, deadline), **options)  # type: ignore[arg-type]


class _Readable:
    """A socket with the interface that HTTPResponse needs."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """See `socket.socket`."""
        return io.BufferedReader(_Received(self._sock, self._deadline))


class _Received(io.RawIOBase):
    """The bytes received from a socket before the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        # Keep the connection open after the library has closed its socket.
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
