"""Asking services over real sockets, among others that are none."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.telemetry import asking
from detectd.telemetry.asking import running
from detectd.telemetry.listening import MORE_PORTS
from detectd.telemetry.server import serve


@pytest.fixture
def port():
    """A port with free ones above it, below those that the kernel gives to clients."""
    for first in range(20_500, 30_000, MORE_PORTS + 1):
        with ExitStack() as held:
            try:
                for each in range(first, first + MORE_PORTS + 1):
                    held.enter_context(socket.create_server(("127.0.0.1", each)))
            except OSError:
                continue
        return first
    raise AssertionError("no ports are free")


@contextmanager
def stranger(port, body):
    """Somebody else's server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_every_process_of_a_configuration_is_found(port, health, metrics, answer):
    answer()
    listen = f"127.0.0.1:{port}"
    with serve(listen, None, health, metrics), serve(listen, None, health, metrics) as second:
        told = running(listen, None)
    assert [each.address for each in told] == [listen, second]
    assert all(each.status["model"]["version"] for each in told)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"version": 1}', b"\xff"])
def test_strangers_are_passed_over(port, health, metrics, body):
    with stranger(port, body), serve(f"127.0.0.1:{port}", None, health, metrics) as bound:
        assert [each.address for each in running(f"127.0.0.1:{port}", None)] == [bound]


def test_where_nobody_listens_there_is_one_line(port):
    with pytest.raises(DetectdError) as nobody:
        running(f"127.0.0.1:{port}", None)
    assert str(nobody.value) == (
        f"no detectd answers at 127.0.0.1:{port} to {port + MORE_PORTS}: is it running?"
    )


def test_somebody_who_never_answers_is_told_of(port, health, metrics, monkeypatch):
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(DetectdError, match="within"):
        running(f"127.0.0.1:{port}", None)
    with (
        socket.create_server(("127.0.0.1", port)),
        serve(f"127.0.0.1:{port}", None, health, metrics),
    ):
        deaf, ours = running(f"127.0.0.1:{port}", None)
    assert (deaf.status, deaf.why) == (None, "no answer within 0.2 s")
    assert ours.status["state"] == "starting"


def test_the_token_is_sent_whatever_letters_it_has(port, health, metrics):
    with serve(f"0.0.0.0:{port}", "schlüssel\n", health, metrics):
        assert running(f"0.0.0.0:{port}", "schlüssel")[0].status
        with pytest.raises(DetectdError, match=r"another token than that of server\.token_file"):
            running(f"127.0.0.1:{port}", "key")


def test_a_unix_socket_is_asked_too(health, metrics, tmp_path):
    listen = f"unix:{tmp_path}/detectd.sock"
    with serve(listen, None, health, metrics):
        (told,) = running(listen, None)
    assert (told.address, told.status["state"]) == (listen, "starting")
    with pytest.raises(DetectdError, match="is it running"):
        running(listen, None)
    (tmp_path / "file").touch()
    with pytest.raises(DetectdError, match="Not a directory"):
        running(f"unix:{tmp_path}/file/socket", None)


@pytest.mark.parametrize(("listen", "why"), [("", "is nowhere"), ("127.0.0.1:0", "any port")])
def test_there_must_be_a_place_to_ask_at(listen, why):
    with pytest.raises(ConfigError, match=why):
        running(listen, None)
