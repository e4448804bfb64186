"""Parse `server.listen`, and create its socket.

127.0.0.1:9464   [::1]:9464   localhost:9464     this host alone
unix:/run/detectd/detectd.sock                   users who may open the file
0.0.0.0:9464     detectd.example.com:9464        others too: a token is required
(empty)                                          nowhere
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detectd.errors import ConfigError, DetectdError
from detectd.filesystem import os_errors
from detectd.models.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKLOG = 1024

# Several processes with one configuration use consecutive ports.
MORE_PORTS = 15

# The kernel's limit for the path of a socket.
PATH_BYTES = 107

# How many times the lock of a socket's directory is tried.
LOOKS = 40
PAUSE_SECONDS = 0.05
GROUP_MAY = 0o660
FORMS = 'write 127.0.0.1:9464, [::1]:9464, unix:/run/detectd/detectd.sock, or "" for none'


class NotListening(DetectdError):  # noqa: N818 - what happened
    """The address cannot be used; `fix` is how to fix it."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host, by address or by name, and a port."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Return whether only this host can reach it. A name may resolve to anything."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def at(self, port: int) -> str:
        """Return the address as text, with another port."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A socket in the file system."""

    path: Path


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, its address, and the cleanup of its name after closing.

    `port` is 0 for a socket in the file system.
    """

    socket: socket.socket
    address: str
    port: int = 0
    remove: Callable[[], None] = lambda: None


def parse(listen: str, token: str | None) -> Tcp | Unix | None:
    """Return the parsed `server.listen`; None if it is empty.

    Raise ConfigError if it is invalid, or if others could reach it without a token.
    """
    if token is not None and not token.strip():
        raise ConfigError("server.token_file: the token is empty; write one into the file")
    if not listen:
        return None
    if listen.startswith("unix:"):
        return _unix(listen)
    address = _tcp(listen)
    if not address.loopback and token is None:
        raise ConfigError(
            f"server.listen: {listen} is not loopback; set server.token_file, or listen on "
            "127.0.0.1 or a unix socket"
        )
    return address


def _unix(listen: str) -> Unix:
    path = listen.removeprefix("unix:")
    if not path or "\0" in path:
        raise ConfigError(f"server.listen: {listen!r} names no file; {FORMS}")
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ConfigError(
            f"server.listen: {listen} is longer than the {PATH_BYTES} bytes that the path of a "
            "socket may have; name a shorter one"
        )
    return Unix(Path(path))


def _tcp(listen: str) -> Tcp:
    if "@" in listen:
        raise ConfigError(
            "server.listen: credentials do not belong in an address; set server.token_file"
        )
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    sound = bare and bare.isascii() and not any(map(str.isspace, bare))
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    if not (colon and sound and 0 <= number <= 65535) or bracketed != (":" in bare):
        raise ConfigError(f"server.listen: {listen!r} is not an address; {FORMS}")
    return Tcp("127.0.0.1" if bare == "localhost" else bare, number)


def listener(address: Tcp | Unix) -> Listener:
    """Return a listening socket there. Raise NotListening if that is impossible."""
    try:
        return _on_tcp(address) if isinstance(address, Tcp) else _on_unix(address.path)
    except OSError as refused:
        where = address.at(address.port) if isinstance(address, Tcp) else str(address.path)
        known = os_errors.TABLE.get(refused.errno or 0)
        passes = known is not None and known.kind is os_errors.Kind.RETRY
        fix = known.fix if known and passes else f"correct server.listen; {FORMS}"
        raise NotListening(f"{where}: {refused.strerror or refused}", fix) from None


def _on_tcp(address: Tcp) -> Listener:
    """Listen on the port, or the next free one above it. Port 0 is any free one."""
    last = min(address.port + MORE_PORTS, 65535) if address.port else 0
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, (host, _, *scope) = found[0]
    for port in range(address.port, last + 1):
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port, *scope))
            listening.listen(BACKLOG)
        except OSError as refused:
            listening.close()
            if refused.errno != errno.EADDRINUSE:
                raise
        else:
            bound = listening.getsockname()[1]
            return Listener(listening, address.at(bound), bound)
    raise NotListening(
        f"{address.host}: the ports {address.port} to {last} are taken",
        "set server.listen to a port with free ones above it",
    )


def _on_unix(path: Path) -> Listener:
    """Listen on the path, replacing a socket of a dead process. Its group may connect."""
    with _alone_in(path.parent):
        _make_room(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Restricted even before the chmod.
            os.fchmod(listening.fileno(), GROUP_MAY)
            listening.bind(str(path))
            path.chmod(GROUP_MAY)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise

    def remove() -> None:
        with contextlib.suppress(OSError, NotListening), _alone_in(path.parent):
            _make_room(path)

    return Listener(listening, f"unix:{path}", remove=remove)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Prevent two processes from both replacing an abandoned socket.

    A user who can read the directory can hold its lock. Processes of detectd hold it only for a
    moment: a longer wait means another user, and is given up.
    """
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(LOOKS):
            if try_lock(held, fcntl.LOCK_EX):
                break
            time.sleep(PAUSE_SECONDS)
        yield
    finally:
        os.close(held)


def _make_room(path: Path) -> None:
    """Remove a socket without a listener. Raise NotListening for anything else."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise NotListening(
            f"{path} exists and is not a socket", "remove it, or name another in server.listen"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # Its queue is full: it has a listener.
    raise NotListening(
        f"another process listens on {path}", "give each process its own server.listen"
    )
