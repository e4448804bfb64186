"""Schema registries for the tests: a real one (Apicurio), and one that fails as it is told to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.node import HOST, START_SECONDS, STOP_SECONDS, free_ports, listens, spawn, tail

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

APICURIO = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"
POM = Path(__file__).with_name("pom.xml")
JSON = "application/vnd.schemaregistry.v1+json"

# The mark of a record in Confluent's format.
MAGIC = b"\x00"


class UnavailableError(Exception):
    """There is no registry here to test with; the message says how to get one."""


def framed(number: int, body: bytes) -> bytes:
    """A record of the schema with that id."""
    return MAGIC + number.to_bytes(4, "big") + body


def register(url: str, subject: str, schema: Any, *references: tuple[str, str, int]) -> int:
    """Register a schema, with references as (name, subject, version), and return its id."""
    body = {
        "schema": json.dumps(schema),
        "references": [
            {"name": name, "subject": other, "version": version}
            for name, other, version in references
        ],
    }
    request = urllib.request.Request(
        f"{url}/subjects/{subject}/versions",
        json.dumps(body).encode(),
        {"Content-Type": JSON},
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        number: int = json.load(answer)["id"]
    return number


@contextmanager
def apicurio(directory: Path) -> Iterator[str]:
    """The url of a registry of our own, killed at the end. See `fetch`."""
    (port,) = free_ports(1)
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    command += [f"-Dquarkus.http.host={HOST}", f"-Dquarkus.http.port={port}"]
    (jar,) = fetch().glob("*-runner.jar")
    process = spawn([*command, "-jar", str(jar)], directory)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(f"{HOST}:{port}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the registry does not start:\n{tail(directory)}")
            time.sleep(0.05)
        yield f"http://{HOST}:{port}/apis/ccompat/v7"
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def fetch() -> Path:
    """The directory of the registry, fetched at the first call and kept."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise UnavailableError(f"no {program}: apt install default-jre maven")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detectd-tests"
    home = cache / f"apicurio-{APICURIO.split(':')[2]}"
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy"]
        command += [f"-Dartifact={APICURIO}", f"-DoutputDirectory={temporary}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout + done.stderr)[-2000:]
            raise UnavailableError(f"mvn cannot fetch {APICURIO}: {said}")
        (archive,) = Path(temporary).glob("*.tar.gz")
        fresh = Path(temporary) / "fresh"
        shutil.unpack_archive(archive, fresh, filter="data")
        # Another run may have been quicker; what it fetched is the same.
        with suppress(OSError):
            fresh.rename(home)
    return home


class StandIn:
    """A registry that has what is in `schemas` and `versions`, and fails as `faults` say.

    Each fault answers one request in the registry's place; `asked` are the paths of all requests,
    and `authorizations` their credentials.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.faults: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.url = ""
        self.closing = threading.Event()

    def add(self, number: int, schema: Any, **more: Any) -> None:
        self.schemas[number] = {"schema": json.dumps(schema), **more}

    def add_version(self, subject: str, version: int, schema: Any, **more: Any) -> None:
        path = f"/subjects/{subject}/versions/{version}"
        self.versions[path] = {"schema": json.dumps(schema), **more}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.authorizations.append(handler.headers["Authorization"])
        if self.faults:
            self.faults.pop(0)(handler)
            return
        _, *parts = handler.path.split("/")
        if parts[:2] == ["schemas", "ids"]:
            found = self.schemas.get(int(parts[2]))
            code = 40403
        else:
            found = self.versions.get(handler.path)
            code = 40402
        if found is None:
            send(handler, 404, {"error_code": code, "message": "not found"})
        else:
            send(handler, 200, found)

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Say nothing until the test is over."""
        self.closing.wait(START_SECONDS)


def send(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    """Answer the request with bytes, or with a value as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", JSON)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def fails(status: int, body: Any = b"") -> Callable[[BaseHTTPRequestHandler], None]:
    """A fault: answer with that status and body."""
    return lambda handler: send(handler, status, body)


def drops(handler: BaseHTTPRequestHandler) -> None:
    """A fault: close the connection without an answer."""
    handler.close_connection = True


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    """A fault: promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"schema": ')
    handler.close_connection = True


@contextmanager
def stand_in(tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """A registry that fails as it is told to, while the context lasts."""
    registry = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that leaves is part of the tests."""

    with Server((HOST, 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        registry.url = f"http{'s' if tls else ''}://{HOST}:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        try:
            yield registry
        finally:
            registry.closing.set()
            server.shutdown()
