"""A small, read-only HTTP server on its own thread, which shows `endpoints`.

One thread serves all connections. Each gets one response and a short time; if all slots are taken,
the oldest connection is closed for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import threading
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from detectd.telemetry.endpoints import PLAIN, Page, pages, probes
from detectd.telemetry.hosts import asked_host, hosts_of
from detectd.telemetry.listen_address import NotListening, Tcp, Unix, listener, parse
from detectd.telemetry.token_proof import (
    CHALLENGE_HEADER,
    PROOF_HEADER,
    SCHEME,
    Challenges,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from detectd.telemetry.health import Health
    from detectd.telemetry.hosts import Hosts
    from detectd.telemetry.listen_address import Listener
    from detectd.telemetry.metrics import Metrics

log = structlog.get_logger()

PLACES = 100
HEAD_BYTES = 16 << 10
READS = ("GET", "HEAD")
NOT_OURS = "no service here has this name; if one should, set server.allowed_hosts"

# Seconds for a whole exchange, for the client to close after it, and for both when others wait.
EXCHANGE_SECONDS = 5.0
LINGER_SECONDS = 1.0
GRACE_SECONDS = 0.5
PAUSE_SECONDS = 0.05

STOP_SECONDS = 2.0


@contextlib.contextmanager
def serve(
    listen: str,
    token: str | None,
    health: Health,
    metrics: Metrics,
    allowed_hosts: Sequence[str] = (),
) -> Iterator[str | None]:
    """Serve `health` and `metrics` at `listen`; yield the bound address, None if nowhere.

    Raise ConfigError as `parse` does. An address that cannot be bound is only a warning, so that
    the service still runs.
    """
    address = parse(listen, token)
    if address is None:
        yield None
        return
    try:
        bound = listener(address)
    except NotListening as failed:
        log.warning("server.not_listening", reason=str(failed), hint=failed.fix)
        yield None
        return
    place = place_of(address, bound.port)
    # Without a token, a port is open to every process of this host.
    known = token is not None or isinstance(address, Unix)
    # Browsers cannot reach a unix socket, so any host name is allowed there.
    hosts = hosts_of(address.host, allowed_hosts) if isinstance(address, Tcp) else None
    shown = pages(health, metrics, edges=known)
    server = Server(bound, place, token, hosts, shown, probes(health))
    log.info("server.listening", address=bound.address)
    try:
        yield bound.address
    finally:
        server.stop()


class Server:
    """Serve on a daemon thread from now on, until `stop`.

    `shown` is for clients with the token, `open_to_all` for all others that request a host of
    `hosts`, or any host if that is None.
    """

    def __init__(
        self,
        bound: Listener,
        place: str,
        token: str | None,
        hosts: Hosts | None,
        shown: Mapping[str, Callable[[], Page]],
        open_to_all: Mapping[str, Callable[[], Page]],
    ) -> None:
        self._bound = bound
        self._token = None if token is None else token.strip().encode()
        self._challenges = Challenges(self._token or b"", place)
        self._hosts = hosts
        self._refused_host = False
        self._shown = shown
        self._open_to_all = open_to_all
        self._loop = asyncio.new_event_loop()
        self._accepting = self._loop.create_task(self._accept())
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and release the address."""
        with contextlib.suppress(RuntimeError):  # it has already ended
            self._loop.call_soon_threadsafe(self._accepting.cancel)
        self._thread.join(STOP_SECONDS)
        self._bound.remove()

    def _run(self) -> None:
        with (
            contextlib.closing(self._loop),
            self._bound.socket,
            contextlib.suppress(asyncio.CancelledError),
        ):
            self._loop.run_until_complete(self._accepting)

    async def _accept(self) -> None:
        self._bound.socket.setblocking(False)
        clients: dict[asyncio.Task[None], float] = {}
        try:
            while True:
                await _make_place(clients)
                await self._somebody()
                try:
                    client, _ = self._bound.socket.accept()
                except OSError:  # gone already, or no file descriptor is free
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                client.setblocking(False)
                exchange = self._loop.create_task(self._exchange(client))
                clients[exchange] = self._loop.time()
                exchange.add_done_callback(clients.pop)
        finally:
            for exchange in clients:
                exchange.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _somebody(self) -> None:
        """Wait for a client. (The loop's sock_accept, when cancelled, may lose the one it has.)"""
        knock = asyncio.Event()
        self._loop.add_reader(self._bound.socket, knock.set)
        try:
            await knock.wait()
        finally:
            self._loop.remove_reader(self._bound.socket)

    async def _exchange(self, client: socket.socket) -> None:
        """One request, one answer."""
        with client, contextlib.suppress(OSError):
            async with asyncio.timeout(EXCHANGE_SECONDS):
                head = await self._head(client)
                if not head:
                    return
                await self._loop.sock_sendall(client, self._answer(head))
            # If closed with unread bytes, the client could lose the response.
            client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._loop.sock_recv(client, HEAD_BYTES):
                    pass

    async def _head(self, client: socket.socket) -> bytes:
        """Read the request up to its empty line; as much as there is if it has none."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
            more = await self._loop.sock_recv(client, HEAD_BYTES)
            if not more:
                break
            head += more
        return head

    def _answer(self, head: bytes) -> bytes:
        request, complete, _ = head.partition(b"\r\n\r\n")
        line, *fields = request.decode("latin-1").split("\r\n")
        words = line.split(" ")
        if not complete or len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(_says(HTTPStatus.BAD_REQUEST, "this is not an HTTP request"))
        method, target, version = words
        try:
            host = asked_host(target, fields, version)
        except ValueError as unsound:
            return _response(
                _says(HTTPStatus.BAD_REQUEST, f"this is not an HTTP request: {unsound}")
            )
        page, *header = self._page(method, target, host, fields)
        return _response(page, *header, body=method != "HEAD")

    def _page(
        self, method: str, target: str, host: str | None, fields: list[str]
    ) -> tuple[Page, *tuple[str, ...]]:
        """Return the page, and its headers."""
        path = _path(target)
        scheme, sent = _credentials(fields)
        exchange = self._challenges.accept(sent) if self._token and scheme == SCHEME else None
        proven = bool(exchange or (self._token and self._admits(scheme, sent)))
        if not proven and not self._is_ours(host):
            return (_says(HTTPStatus.MISDIRECTED_REQUEST, NOT_OURS),)
        admitted = self._token is None or proven
        show = (self._shown if admitted else self._open_to_all).get(path)
        if show is None and not admitted:
            page = _says(HTTPStatus.UNAUTHORIZED, "send the bearer token of server.token_file")
            challenge = f"{CHALLENGE_HEADER}: {self._challenges.issue()}"
            return page, "WWW-Authenticate: Bearer", challenge
        if show is None:
            return (_says(HTTPStatus.NOT_FOUND, f"not found; available: {' '.join(self._shown)}"),)
        if method not in READS:
            page = _says(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are supported")
            return page, f"Allow: {', '.join(READS)}"
        try:
            page = show()
        except Exception:
            log.exception("server.failed", path=path)
            return (_says(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the log"),)
        return (page, f"{PROOF_HEADER}: {exchange.of_service(page.body)}") if exchange else (page,)

    def _is_ours(self, host: str | None) -> bool:
        """Return whether the host is allowed; the first refused one is logged."""
        if self._hosts is None or host is None or self._hosts.admit(host):
            return True
        if not self._refused_host:
            self._refused_host = True
            hint = "if this service has that name, add it to server.allowed_hosts"
            log.warning("server.host_refused", host=host[:100], hint=hint)
        return False

    def _admits(self, scheme: str, sent: str) -> bool:
        """Return whether the token was sent, compared in constant time."""
        assert self._token is not None
        same = hmac.compare_digest(sent.encode("latin-1"), self._token)
        return same and scheme == "bearer"


def _credentials(fields: list[str]) -> tuple[str, str]:
    """Return the scheme, in small letters, and the rest of the Authorization header."""
    named = (field.partition(":") for field in fields)
    sent = (value for name, _, value in named if name.lower() == "authorization")
    scheme, _, rest = next(sent, "").strip().partition(" ")
    return scheme.lower(), rest.strip()


async def _make_place(clients: Mapping[asyncio.Task[None], float]) -> None:
    """Where there are too many clients: until one has finished, or the oldest has had its time."""
    while len(clients) >= PLACES:
        oldest, since = next(iter(clients.items()))
        patience = since + GRACE_SECONDS - asyncio.get_running_loop().time()
        if patience > 0:
            await asyncio.wait(clients, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        else:
            oldest.cancel()
            await asyncio.wait([oldest])


def _path(target: str) -> str:
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def _says(status: HTTPStatus, what: str) -> Page:
    return Page(status, PLAIN, f"{what}\n".encode())


def _response(page: Page, *header: str, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *header,
        "",
        "",
    )
    return "\r\n".join(head).encode() + (page.body if body else b"")
