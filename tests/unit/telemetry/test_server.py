"""The server over real sockets, with clients that behave and clients that do not."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import resource
import socket
import threading
import time
from pathlib import Path

import pytest
import structlog

from detectd.errors import ConfigError
from detectd.sources import Partition
from detectd.telemetry.metrics import Metrics
from detectd.telemetry.server import GRACE_SECONDS, PLACES, serve
from tests.support.exposition import families

PATHS = ("/metrics", "/healthz", "/readyz", "/status")


@pytest.fixture(autouse=True)
def told():
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture
def address(health, metrics):
    with serve("127.0.0.1:0", None, health, metrics) as bound:
        yield bound


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(8192, before[1])), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connect(address):
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(address.removeprefix("unix:"))
        return client
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=10)


def send(address, request):
    """The status and the body of the answer to these bytes, and its header."""
    with connect(address) as client:
        client.sendall(request)
        answer = http.client.HTTPResponse(client, method=request.split(b" ")[0].decode("latin-1"))
        answer.begin()
        return answer.status, answer.read(), dict(answer.getheaders())


def ask(address, path, method="GET", **header):
    fields = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return send(address, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())


def test_every_page_is_there_and_says_what_it_is(address, answer):
    answer()
    kinds = {path: ask(address, path)[2]["Content-Type"].split(";")[0] for path in PATHS}
    assert kinds == dict.fromkeys(PATHS, "text/plain") | {"/status": "application/json"}
    assert [ask(address, path)[0] for path in PATHS] == [200] * 4
    assert ask(address, "/readyz")[1] == b"ready\n"
    assert json.loads(ask(address, "/status")[1])["state"] == "ready"
    assert "detectd_ready" in families(ask(address, "/metrics")[1].decode())


def test_a_page_shows_the_moment_at_which_it_is_asked_for(address, metrics):
    for events in (1, 2):
        metrics.batch({"normal": 1}, {}, 0.1)
        line = f'detectd_events_total{{verdict="normal"}} {events}.0'
        assert line in ask(address, "/metrics")[1].decode()


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_header_of_get_and_no_body(address, path):
    code, body, header = ask(address, path, "HEAD")
    assert body == b""
    same = ask(address, path)
    assert (code, set(header)) == (same[0], set(same[2]))
    assert int(header["Content-Length"]) > 0


def test_the_query_is_no_part_of_the_path(address):
    assert ask(address, "/metrics?name[]=a")[0] == 200
    assert ask(address, "http://localhost/metrics")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/etc/passwd", "*", "//[", "/%2e%2e/metrics"])
def test_other_paths_are_not_there(address, path):
    code, body, _ = ask(address, path)
    assert (code, body) == (404, b"not found; available: /metrics /healthz /readyz /status\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_not_allowed(address, method):
    code, _, header = ask(address, "/metrics", method)
    assert (code, header["Allow"]) == (405, "GET, HEAD")


def test_an_unread_body_does_not_cost_the_client_its_answer(address):
    body = b"x" * 8_000_000
    head = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert send(address, head + body)[0] == 405


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics FTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 10_000,
        bytes(range(256)) + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(address, request_):
    with connect(address) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"


def test_a_failing_page_is_told_to_the_client_and_to_the_log(health, told):
    broken = Metrics(health, now=lambda: 1 / 0)
    with serve("127.0.0.1:0", None, health, broken) as address:
        assert ask(address, "/metrics")[0] == 500
        assert ask(address, "/healthz")[0] == 200
    assert [(e["event"], e["path"]) for e in told if e["log_level"] == "error"] == [
        ("server.failed", "/metrics")
    ]


def test_a_frozen_loop_turns_healthz_to_503_and_a_turn_turns_it_back(address, health, clock):
    assert ask(address, "/healthz")[0] == 200
    clock.now += 60.5
    assert ask(address, "/healthz")[:2] == (
        503,
        b"the loop last ran 60.5 s ago, its watchdog allows 60 s\n",
    )
    health.turned()
    assert ask(address, "/healthz")[0] == 200


PROBES = ("/healthz", "/readyz")


def test_a_token_is_asked_for_on_every_page_but_the_probes(health, metrics):
    with serve("0.0.0.0:0", "s3cret", health, metrics) as bound:
        address = bound.replace("0.0.0.0", "127.0.0.1")
        closed = [path for path in (*PATHS, "/elsewhere") if path not in PROBES]
        for path in closed:
            code, _, header = ask(address, path)
            assert (code, header["WWW-Authenticate"]) == (401, "Bearer")
        wrong = ("Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "s3cret", "é")
        for sent in (*wrong, "Detectd", "Detectd a b c", "Detectd - - -", "Detectd é-é é é"):
            assert ask(address, "/status", Authorization=sent)[0] == 401
        assert ask(address, "/status", Authorization="Bearer s3cret")[0] == 200
        assert ask(address, "/status", AUTHORIZATION="bearer  s3cret ")[0] == 200


def test_a_probe_without_the_token_gives_no_reasons_away(health, metrics, clock):
    with serve("0.0.0.0:0", "s3cret", health, metrics) as bound:
        address = bound.replace("0.0.0.0", "127.0.0.1")
        health.interrupted("kafka-1.internal:9092 is away")
        assert ask(address, "/healthz")[0] == 200
        assert ask(address, "/readyz")[:2] == (503, b"interrupted\n")
        assert b"kafka-1.internal" in ask(address, "/readyz", Authorization="Bearer s3cret")[1]
        clock.now += 60.5
        assert ask(address, "/healthz")[0] == 503
        assert ask(address, "/healthz", "POST")[0] == 405


def test_a_probe_without_the_token_is_ready_when_the_service_is(health, metrics, answer):
    answer()
    with serve("127.0.0.1:0", "s3cret", health, metrics) as address:
        assert ask(address, "/readyz")[:2] == (200, b"ready\n")


def test_a_token_file_ends_in_a_newline_and_may_hold_any_letter(health, metrics):
    with serve("127.0.0.1:0", "schlüssel\n", health, metrics) as address:
        assert ask(address, "/status", Authorization="Bearer schlüssel")[0] == 200


def test_others_are_not_let_in_without_a_token(health, metrics):
    with (
        pytest.raises(ConfigError, match="is not loopback"),
        serve("0.0.0.0:0", None, health, metrics),
    ):
        pass


def test_nowhere_is_nowhere(health, metrics, told):
    threads = threading.active_count()
    with serve("", None, health, metrics) as bound:
        assert bound is None
        assert threading.active_count() == threads
    assert told == []


def test_it_says_where_it_listens(health, metrics, told):
    with serve("127.0.0.1:0", None, health, metrics) as bound:
        pass
    assert told == [{"event": "server.listening", "address": bound, "log_level": "info"}]


def test_an_address_that_cannot_be_had_does_not_stop_the_service(health, metrics, told, tmp_path):
    nowhere = tmp_path / "missing" / "socket"
    with serve(f"unix:{nowhere}", None, health, metrics) as bound:
        assert bound is None
    (warning,) = told
    assert (warning["event"], warning["log_level"]) == ("server.not_listening", "warning")
    assert warning["reason"] == f"{nowhere}: No such file or directory"
    assert "server.listen" in warning["hint"]


def test_a_unix_socket_answers_and_is_gone_afterwards(health, metrics, tmp_path):
    path = tmp_path / "detectd.sock"
    with serve(f"unix:{path}", None, health, metrics) as bound:
        assert bound == f"unix:{path}"
        assert ask(bound, "/healthz")[0] == 200
    assert not path.exists()


def test_ipv6(health, metrics):
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        with serve("[::1]:0", None, health, metrics) as bound:
            assert bound.startswith("[::1]:")
            assert ask(bound, "/healthz")[0] == 200
        return
    pytest.skip("this host has no IPv6")


def test_after_it_nothing_listens_and_no_thread_or_file_is_left(health, metrics, monkeypatch):
    # Whoever waited for the client that hangs would wait for longer than a test may last.
    for limit in ("EXCHANGE_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(f"detectd.telemetry.server.{limit}", 1000.0)

    def left():
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    with serve("127.0.0.1:0", None, health, metrics):
        pass
    before = left()
    with serve("127.0.0.1:0", None, health, metrics) as address:
        hanging = connect(address)
        ask(address, "/healthz")
    with hanging:
        assert hanging.recv(1) == b""
    assert left() == before
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_clients_that_hang_do_not_keep_the_others_waiting(health, metrics, many_files, monkeypatch):
    # If they did, the others would wait for longer than a client does.
    monkeypatch.setattr("detectd.telemetry.server.EXCHANGE_SECONDS", 120)
    asked = 20
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(serve("127.0.0.1:0", None, health, metrics))
        ask(address, "/healthz")
        threads = threading.active_count()
        for i in range(2 * PLACES):
            client = stack.enter_context(connect(address))
            if i % 2:
                client.sendall(b"GET /metrics HTTP/1.1\r\n")
        started = time.monotonic()
        for _ in range(asked):
            assert ask(address, "/healthz")[0] == 200
        assert time.monotonic() - started < asked * GRACE_SECONDS
        assert threading.active_count() == threads


@pytest.mark.slow
def test_a_scrape_that_never_reads_does_not_keep_the_others_waiting(health, metrics, monkeypatch):
    # If it did, the others would wait for longer than a client does.
    monkeypatch.setattr("detectd.telemetry.server.EXCHANGE_SECONDS", 120)
    health.assigned({f"events/{i}": Partition(i, i, 0.0) for i in range(20_000)})
    with serve("127.0.0.1:0", None, health, metrics) as address, connect(address) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert ask(address, "/healthz")[0] == 200
        body = ask(address, "/metrics")[1]
        assert body.count(b"detectd_consumer_lag_records{") == 20_000


def drip(client):
    """A byte now and then, which does not help."""
    while True:
        client.sendall(b"a")
        time.sleep(0.05)


def test_a_client_has_little_time(address, monkeypatch):
    monkeypatch.setattr("detectd.telemetry.server.EXCHANGE_SECONDS", 0.3)
    with connect(address) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            drip(slow)


@pytest.mark.slow
def test_a_thousand_scrapes_at_once_are_all_answered(address, answer, many_files):
    answer()
    threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(1000):
            clients.append(stack.enter_context(connect(address)))
            clients[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        for client in clients:
            with client, client.makefile("rb") as received:
                page = received.read()
            assert page.startswith(b"HTTP/1.1 200 ")
            assert b"detectd_ready 1.0" in page
    assert threading.active_count() == threads
