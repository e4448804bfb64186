"""Asking services over real sockets, among others that are none."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.telemetry import client
from detectd.telemetry.client import of_configuration, running
from detectd.telemetry.health import Health
from detectd.telemetry.listen_address import MORE_PORTS
from detectd.telemetry.server import serve
from detectd.telemetry.token_proof import CHALLENGE_SECONDS, Challenges, Exchange, new_nonce


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


@pytest.mark.slow
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
        f"no detectd answers at 127.0.0.1:{port} to {port + MORE_PORTS}: is the service running?"
    )


def test_somebody_who_never_answers_is_told_of(port, health, metrics, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
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
        with pytest.raises(DetectdError, match=r"a token other than that of server\.token_file"):
            running(f"127.0.0.1:{port}", "key")


@contextmanager
def rogue(port, answers):
    """Somebody who has taken the port: keeps what is sent, and says what `answers` gives."""
    heard = []
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(10)

        def listen():
            for answer in answers:
                client, _ = server.accept()
                with client:
                    heard.append(client.recv(1 << 16))
                    client.sendall(answer(heard[-1]) if callable(answer) else answer)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            thread.join()


def http(status, body, *header):
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *header, "", ""]
    return "\r\n".join(head).encode() + body


PAGE = b'{"version": "1", "state": "ready", "promise": null, "outputs": {}, "config": "/a"}'


def test_who_took_the_port_neither_learns_the_token_nor_is_believed(port):
    challenged = http(401, b"", "Detectd-Challenge: 1-2-3")
    for answers, why in (
        ([http(200, PAGE)], "it asks for no token"),
        ([challenged, http(200, PAGE)], "does not prove"),
        ([challenged, http(200, PAGE, "Detectd-Proof: 00")], "does not prove"),
        ([challenged, challenged], "a token other than"),
    ):
        with rogue(port, answers) as heard, pytest.raises(DetectdError, match=why):
            running(f"127.0.0.1:{port}", "s3cret")
        assert len(heard) == len(answers)
        assert b"s3cret" not in b"".join(heard)


def test_who_took_a_port_cannot_pass_on_what_the_service_at_another_says(port, health, metrics):
    """It forwards each request, and the answer to it."""
    with serve(f"127.0.0.1:{port + 1}", "s3cret", health, metrics):

        def forward(request):
            with socket.create_connection(("127.0.0.1", port + 1)) as service:
                service.sendall(request)
                with service.makefile("rb") as answer:
                    return answer.read()

        with rogue(port, [forward, forward]):
            told = running(f"127.0.0.1:{port}", "s3cret")
    assert [bool(each.status) for each in told] == [False, True]
    assert "a token other than" in told[0].why


def test_what_was_heard_once_is_of_no_use_again(port, health, metrics, clock):
    token, place = b"s3cret", f"port {port}"
    challenges = Challenges(token, place, clock)
    exchange = Exchange(token, place, challenges.issue(), new_nonce())
    credentials = exchange.authorization().partition(" ")[2]
    assert challenges.accept(credentials) == exchange
    assert Challenges(token, place, clock).accept(credentials) is None  # of another start
    assert challenges.accept(exchange._replace(place="port 1").authorization()[8:]) is None
    assert challenges.accept(exchange._replace(token=b"other").authorization()[8:]) is None
    forged = exchange._replace(challenge="f" + exchange.challenge)
    assert challenges.accept(forged.authorization()[8:]) is None
    clock.now += CHALLENGE_SECONDS + 1
    assert challenges.accept(credentials) is None


def test_an_endless_answer_is_not_read_to_its_end(port, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_BYTES", 1000)
    with (
        rogue(port, [http(200, b"x" * 5000)]),
        pytest.raises(DetectdError, match="its answer has more than"),
    ):
        running(f"127.0.0.1:{port}", None)


def test_the_services_of_a_configuration_are_told_from_others(port, metrics, tmp_path):
    mine, other = tmp_path / "a.toml", tmp_path / "b.toml"
    (tmp_path / "link.toml").symlink_to(mine)
    listen = f"127.0.0.1:{port}"
    with serve(listen, None, Health(60.0, config=str(other)), metrics) as second:
        with serve(listen, None, Health(60.0, config=str(mine)), metrics) as first:
            told = running(listen, None)
            for path in (mine, tmp_path / "link.toml"):
                assert [each.address for each in of_configuration(told, path)] == [first]
        with pytest.raises(DetectdError, match="no service runs") as none:
            of_configuration(running(listen, None), mine)
    assert f"there are {other} at {second}" in str(none.value)
    assert "--all" in str(none.value)


def test_a_unix_socket_with_a_token_is_asked_too(health, metrics, tmp_path):
    listen = f"unix:{tmp_path}/detectd.sock"
    with serve(listen, "s3cret", health, metrics):
        assert running(listen, "s3cret\n")[0].status
        with pytest.raises(DetectdError, match=r"asks for a token; set server\.token_file"):
            running(listen, None)


def test_a_unix_socket_is_asked_too(health, metrics, tmp_path):
    listen = f"unix:{tmp_path}/detectd.sock"
    with serve(listen, None, health, metrics):
        (told,) = running(listen, None)
    assert (told.address, told.status["state"]) == (listen, "starting")
    with pytest.raises(DetectdError, match="is the service running"):
        running(listen, None)
    (tmp_path / "file").touch()
    with pytest.raises(DetectdError, match="Not a directory"):
        running(f"unix:{tmp_path}/file/socket", None)


@pytest.mark.parametrize(("listen", "why"), [("", "no server"), ("127.0.0.1:0", "any free port")])
def test_there_must_be_a_place_to_ask_at(listen, why):
    with pytest.raises(ConfigError, match=why):
        running(listen, None)
