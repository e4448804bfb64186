"""What the manager hears, over real sockets, at times that the tests choose."""

from __future__ import annotations

import os
import socket
import time

import pytest

from detectd.telemetry.health import Health
from detectd.telemetry.systemd import SystemdNotifier, sentence

OURS = {"WATCHDOG_PID": str(os.getpid())}


class Manager:
    """The end of the socket at which systemd listens."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def heard(self):
        """All messages since it last listened, each as a mapping."""
        messages = []
        while True:
            try:
                lines = self.socket.recv(1 << 16).decode().split("\n")
            except BlockingIOError:
                return messages
            messages.append(dict(line.split("=", 1) for line in lines))


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


@pytest.fixture
def supervisor(manager, health):
    return SystemdNotifier(health, {"NOTIFY_SOCKET": manager.path})


def watching(manager, health, usec, **more):
    return SystemdNotifier(health, {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": usec, **more})


def test_the_status_has_the_rate_and_the_promise(supervisor, manager, clock, health, answer):
    answer()
    supervisor.turned(0)
    clock.now += 2.0
    supervisor.turned(24_862)
    first, second = manager.heard()
    promised = health.state.serving.promise.exact.rejection_rate_upper
    assert second == {
        "WATCHDOG": "1",
        "STATUS": f"12,431 events/s, abstaining 5.0 % of a promised {100 * promised:.1f} %",
    }
    assert first["STATUS"].startswith("0 events/s")


def test_a_thousand_turns_a_second_are_one_message(supervisor, manager, clock, answer):
    answer()
    for turn in range(3 * 1024):
        supervisor.turned(turn)
        clock.now += 1 / 1024
    assert len(manager.heard()) == 3


def test_a_loop_that_does_not_turn_feeds_no_watchdog(supervisor, manager, clock):
    supervisor.ready()
    clock.now += 3600.0
    assert [message for message in manager.heard() if "WATCHDOG" in message] == []


@pytest.mark.parametrize(
    ("usec", "more", "said"),
    [
        ("10000000", {}, {"READY": "1", "WATCHDOG_USEC": "60000000"}),
        ("90000000", {}, {"READY": "1"}),
        ("10000000", {"WATCHDOG_PID": "1"}, {"READY": "1"}),  # meant for another process
        ("10000000", OURS, {"READY": "1", "WATCHDOG_USEC": "60000000"}),
        ("", {}, {"READY": "1"}),
        ("soon", {}, {"READY": "1"}),
    ],
)
def test_a_watchdog_shorter_than_a_turn_is_lengthened(manager, health, usec, more, said):
    watching(manager, health, usec, **more).ready()
    assert manager.heard() == [said]


def test_a_try_that_takes_longer_than_a_turn_lengthens_it_once(manager, health):
    supervisor = watching(manager, health, "60000000")
    for _ in range(2):
        health.turned(within=90.0)
        supervisor.waiting("kafka:\nnobody answers", within=90)
    said = {
        "WATCHDOG": "1",
        "STATUS": "waiting: kafka: nobody answers",
        "EXTEND_TIMEOUT_USEC": "90000000",
    }
    assert manager.heard() == [said | {"WATCHDOG_USEC": "90000000"}, said]


def test_a_long_fit_asks_for_time_and_feeds_the_watchdog(supervisor, manager, clock):
    for _ in range(16):
        supervisor.holding()
        clock.now += 1 / 8
    said = {"WATCHDOG": "1", "STATUS": "training a model", "EXTEND_TIMEOUT_USEC": "30000000"}
    assert manager.heard() == [said, said]


def test_a_reload_begins_at_a_time_and_ends_ready(supervisor, manager):
    before = time.monotonic_ns() // 1000
    supervisor.reloading()
    supervisor.ready()
    reloading, ready = manager.heard()
    assert reloading["RELOADING"] == "1"
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert ready == {"READY": "1"}


def test_a_start_asks_for_time_and_a_stop_is_told(supervisor, manager):
    supervisor.starting()
    supervisor.stopping()
    starting, stopping = manager.heard()
    assert starting["EXTEND_TIMEOUT_USEC"] == "1800000000"
    assert stopping["STOPPING"] == "1"


def test_what_troubles_it_stands_beside_the_figures(health, clock, answer):
    answer()
    clock.now += 40.0
    said = sentence(health.state, 0.0, clock.now)
    assert said.startswith("0 events/s, abstaining 5.0 % of")
    assert said.endswith("events/0: no record for 42.0 s, source.stale_after is 30 s")


def test_a_standby_says_so_and_no_verdict_is_no_share(health, clock, serving):
    health.opened()
    health.assigned({})
    health.answering(serving, {})
    said = sentence(health.state, 0.0, clock.now)
    assert "abstaining none yet of" in said
    assert said.endswith("standby: other members of the group own all partitions")


def test_an_abstract_socket_is_heard_too(health):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the kernel chooses an abstract name
        listening.settimeout(10)
        address = "@" + listening.getsockname()[1:].decode()
        SystemdNotifier(health, {"NOTIFY_SOCKET": address}).ready()
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "relative", "@nobody", "/" + "x" * 200])
def test_nobody_at_the_other_end_is_harmless(health, address):
    supervisor = SystemdNotifier(health, {"NOTIFY_SOCKET": address})
    supervisor.ready()
    supervisor.turned(1)
    supervisor.stopping()


def test_a_manager_that_has_gone_is_harmless_and_one_that_is_back_is_told(tmp_path, health):
    first = Manager(tmp_path / "notify")
    supervisor = SystemdNotifier(health, {"NOTIFY_SOCKET": first.path})
    first.socket.close()
    supervisor.ready()
    (tmp_path / "notify").unlink()
    supervisor.ready()
    second = Manager(tmp_path / "notify")
    supervisor.ready()
    assert second.heard() == [{"READY": "1"}]
    second.socket.close()


def test_a_manager_that_never_reads_holds_up_no_turn(manager, clock, monkeypatch):
    # A turn that waited for it would last for longer than a test may.
    monkeypatch.setattr("detectd.telemetry.systemd.PATIENCE_SECONDS", 1000.0)
    health = Health(60.0, clock=clock)
    supervisor = SystemdNotifier(health, {"NOTIFY_SOCKET": manager.path})
    for turn in range(2000):  # more than any queue of the kernel takes
        clock.now += 1.0
        supervisor.turned(turn)
    assert len(manager.heard()) < 2000
