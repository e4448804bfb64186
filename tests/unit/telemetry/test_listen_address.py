"""What `server.listen` means, and which socket it gives."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack, suppress

import pytest

from detectd.errors import ConfigError
from detectd.telemetry import listen_address
from detectd.telemetry.listen_address import MORE_PORTS, NotListening, Tcp, Unix, listener, parse


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("127.8.8.8:1", "127.8.8.8", 1),
        ("[::1]:65535", "::1", 65535),
        ("localhost:80", "127.0.0.1", 80),
    ],
)
def test_loopback_needs_no_token(listen, host, port):
    assert parse(listen, None) == Tcp(host, port)


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "[::]:9464", "10.0.0.1:9464", "detectd.example.com:9464"]
)
def test_an_address_that_others_reach_needs_a_token(listen):
    assert isinstance(parse(listen, "token"), Tcp)
    with pytest.raises(ConfigError) as refused:
        parse(listen, None)
    assert str(refused.value) == (
        f"server.listen: {listen} is not loopback; set server.token_file, or listen on "
        "127.0.0.1 or a unix socket"
    )


@pytest.mark.parametrize("token", ["", " \n"])
def test_an_empty_token_protects_nothing(token):
    with pytest.raises(ConfigError, match=r"server\.token_file: the token is empty"):
        parse("0.0.0.0:9464", token)


def test_a_unix_socket_and_nowhere():
    assert parse("unix:/run/detectd/detectd.sock", None).path.name == "detectd.sock"
    assert parse("", None) is None


@pytest.mark.parametrize(
    "listen",
    [
        "9464",
        ":9464",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "127.0.0.1:٣",
        "127.0.0.1:0000000000009464",
        "::1:9464",
        "[127.0.0.1]:9464",
        "[::1:9464",
        "a b:9464",
        "unix:",
        "unix:a\0b",
        "unix:/" + 108 * "a",
    ],
)
def test_what_is_no_address_is_refused_in_one_line(listen):
    with pytest.raises(ConfigError, match=r"^server\.listen: ") as refused:
        parse(listen, "token")
    assert "\n" not in str(refused.value)


def taken(*ports):
    """Sockets that listen on all of these ports; OSError where one cannot be had."""
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        return stack.pop_all()


def run_of_ports():
    """Ports in a row that nobody has, below those that the kernel gives to clients."""
    for first in range(20_000, 30_000, MORE_PORTS + 1):
        ports = range(first, first + MORE_PORTS + 1)
        with suppress(OSError), taken(*ports):
            return ports
    raise AssertionError("no ports are free")


def test_where_the_port_is_taken_the_next_free_one_is():
    first, second, third, *_ = run_of_ports()
    with taken(first, second):
        bound = listener(Tcp("127.0.0.1", first))
        with bound.socket:
            assert bound.address == f"127.0.0.1:{third}"
            assert bound.socket.getsockname()[1] == third


def test_where_all_ports_are_taken_nothing_listens():
    ports = run_of_ports()
    first, last = ports[0], ports[-1]
    with (
        taken(*ports),
        pytest.raises(NotListening, match=rf"ports {first} to {last} are taken"),
    ):
        listener(Tcp("127.0.0.1", first))


def test_above_the_last_port_there_is_none():
    with (
        taken(65534, 65535),
        pytest.raises(NotListening, match="ports 65534 to 65535 are taken"),
    ):
        listener(Tcp("127.0.0.1", 65534))


def test_an_address_of_another_host_cannot_be_bound():
    with pytest.raises(NotListening, match=r"192\.0\.2\.1:9464: Cannot assign") as failed:
        listener(Tcp("192.0.2.1", 9464))
    assert "server.listen" in failed.value.fix


def test_a_name_that_nobody_knows_cannot_be_bound():
    with pytest.raises(NotListening, match=r"nobody\.invalid:9464: "):
        listener(Tcp("nobody.invalid", 9464))


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_owner_and_group_may_connect_whatever_the_umask(tmp_path, umask):
    path = tmp_path / "socket"
    bound = listener(Unix(path))
    with bound.socket:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    bound.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_left_behind_by_a_dead_process_is_replaced(tmp_path):
    path = tmp_path / "socket"
    leave = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen()"
    subprocess.run([sys.executable, "-c", leave], check=True)
    assert path.is_socket()
    bound = listener(Unix(path))
    with bound.socket, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path):
    path = tmp_path / "socket"
    first = listener(Unix(path))
    with first.socket:
        with pytest.raises(NotListening, match="another process listens"):
            listener(Unix(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(NotListening, match="is not a socket"):
        listener(Unix(path))
    assert path.read_text() == "mine"


def test_a_socket_that_another_process_has_put_there_since_is_not_removed(tmp_path):
    path = tmp_path / "socket"
    first = listener(Unix(path))
    first.socket.close()
    second = listener(Unix(path))
    with second.socket:
        first.remove()
        assert path.is_socket()


def test_a_lock_that_somebody_else_holds_on_the_directory_does_not_keep_us_out(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(listen_address, "PAUSE_SECONDS", 0)
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        there = listen_address.listener(listen_address.Unix(tmp_path / "socket"))
        there.socket.close()
        there.remove()
    finally:
        os.close(held)
    assert list(tmp_path.iterdir()) == []
