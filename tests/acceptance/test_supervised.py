"""The command under a manager that listens, does not listen, or has nowhere to put what it says."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from tests.support.command import events, start


@pytest.fixture
def manager(tmp_path):
    """The end of the notify socket at which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def supervised(world, manager, *command, **options):
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000000"}
    return start(*command, "--config", world.path, env=environment, **options)


def hear(manager, *words):
    """Listen until a message has all the words."""
    while True:
        message = manager.recv(1 << 16).decode()
        if all(word in message for word in words):
            return message.splitlines()


def test_the_manager_hears_a_life_from_its_start_to_its_end(fitted, manager):
    fitted.write(source={"follow": True})
    fitted.lines(fitted.events, events(500))
    with supervised(fitted, manager, "run") as service:
        assert manager.recv(4096).startswith(b"STATUS=loading the model\nEXTEND_TIMEOUT_USEC=")
        ready = hear(manager, "READY=1")
        # The configuration lets a turn take longer than the second of this watchdog.
        assert int(ready[1].removeprefix("WATCHDOG_USEC=")) > 60_000_000
        turned = hear(manager, "WATCHDOG=1", "STATUS=", " % of a promised ")
        assert turned[1].removeprefix("STATUS=")[0].isdecimal()
        hear(manager, "WATCHDOG=1")  # the loop turns where nothing arrives, too
        service.send_signal(signal.SIGTERM)
        hear(manager, "STOPPING=1")
        assert service.wait(timeout=30) == 0


def test_a_warm_up_and_its_fit_are_told(world, manager):
    world.write(training={"warmup": 20_000}, detector={"name": "ABOD"})
    world.lines(world.events, events(20_000))
    with supervised(world, manager, "run") as service:
        hear(manager, "WATCHDOG=1", "STATUS=no model is active yet", "events collected")
        hear(manager, "WATCHDOG=1", "STATUS=training a model", "EXTEND_TIMEOUT_USEC=")
        service.kill()


def test_a_notify_socket_that_is_not_there_is_harmless(fitted):
    fitted.lines(fitted.events, events(200))
    done = fitted.run("run", env={"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "1000000"})
    assert done.returncode == 0, done.stderr
    assert sum(map(len, fitted.outputs().values())) == 200


def test_logs_that_find_no_room_are_lost_and_nothing_else(fitted):
    fitted.lines(fitted.events, events(500))
    with Path("/dev/full").open("w") as full:
        with start("run", "--config", fitted.path, stderr=full) as service:
            summary, _ = service.communicate(timeout=60)
        assert service.returncode == 0
        fitted.write(detector={"name": "nothing"})
        with start("check", "--config", fitted.path, stderr=full) as refused:
            assert refused.wait(timeout=60) == 78
    assert "kept" in summary
    assert sum(map(len, fitted.outputs().values())) == 500


def test_logs_whose_reader_has_gone_are_lost_and_nothing_else(fitted):
    fitted.lines(fitted.events, events(500))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        service = start("run", "--config", fitted.path, stderr=nobody)
        service.communicate(timeout=60)
    assert service.returncode == 0
    assert sum(map(len, fitted.outputs().values())) == 500


def test_a_secret_that_others_can_read_is_warned_of_by_check_and_run(fitted):
    """The test's own directories are closed to others, so the file lies where all may enter."""
    with tempfile.NamedTemporaryFile("w", prefix="token-") as token:
        token.write("hush")
        token.flush()
        Path(token.name).chmod(0o644)
        fitted.write(server={"listen": "127.0.0.1:0", "token_file": token.name})
        fitted.lines(fitted.events, events(50))
        checked, ran = fitted.run("check"), fitted.run("run")
    warning = f"server.token_file: any user on this host can read {token.name}"
    assert f"WARNING   {warning}" in checked.stdout
    assert '"event": "secret.exposed"' in ran.stderr
    assert (checked.returncode, ran.returncode) == (0, 0)


def test_a_secret_in_the_clear_is_warned_of_once_by_check_and_run(fitted):
    (fitted.home / "token").write_text("hush-hush")
    (fitted.home / "token").chmod(0o600)
    fitted.write(server={"listen": "0.0.0.0:0", "token_file": "token"})
    fitted.lines(fitted.events, events(50))
    checked, ran = fitted.run("check"), fitted.run("run")
    warning = "server.listen: clients of 0.0.0.0:0 send the token unencrypted"
    assert checked.stdout.count(f"WARNING   {warning}") == 1
    assert ran.stderr.count(warning) == 1
    assert '"event": "secret.in_the_clear"' in ran.stderr
    assert (checked.returncode, ran.returncode) == (0, 0)
    assert "hush-hush" not in "".join((checked.stdout, checked.stderr, ran.stdout, ran.stderr))


def test_a_port_that_is_taken_and_a_socket_left_over_stop_nothing(fitted, tmp_path):
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    fitted.lines(fitted.events, events(50))
    fitted.write(server={"listen": f"unix:{left}"})
    done = fitted.run("run")
    assert f'"address": "unix:{left}", "event": "server.listening"' in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        fitted.write(server={"listen": f"127.0.0.1:{port}"})
        again = fitted.run("run")
    assert '"event": "server.listening"' in again.stderr
    assert f":{port}" not in again.stderr
    assert (done.returncode, again.returncode) == (0, 0)
