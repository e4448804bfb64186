"""Brokers that go and come, processes that freeze: the service goes on where it was."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict

import pytest

from tests.support.broker import cluster, fetch
from tests.support.command import TOPICS
from tests.support.kafka_service import (
    committed,
    logged,
    produce,
    service,
    settle,
    stop,
    times_logged,
)
from tests.support.node import HOST, free_ports
from tests.support.waiting import until

SECONDS = 60


@pytest.fixture(scope="module")
def mortal(kafka_broker, tmp_path_factory):
    """A broker that may be stopped."""
    if not kafka_broker.pids:
        pytest.skip("stops a broker, which must be our own")
    # One that was killed may come back only when its controller has missed it.
    soon = {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}
    with cluster(fetch(), tmp_path_factory.mktemp("mortal"), properties=soon) as broker:
        yield broker


@pytest.fixture
def world(fitted, mortal):
    """A configuration between new topics of the mortal broker, in haste."""
    source, *sinks = mortal.create_topics("in", *TOPICS, partitions=4)
    fitted.source, fitted.sinks = source, dict(zip(TOPICS, sinks, strict=True))
    times = {
        "session_timeout_seconds": 3,
        "transaction_timeout_seconds": 8,
        "max_poll_interval_seconds": 20,
        "retry_seconds": 60,
    }
    settle(fitted, mortal, source, fitted.sinks, kafka=times)
    fitted.write(source={"batch_records": 200}, log={"level": "debug"})  # a line a batch
    return fitted


def assert_each_once(broker, world, count):
    found = broker.read_committed(*world.sinks.values())
    where = defaultdict(list)
    for records in found.values():
        for record in records:
            where[json.loads(record.value)["id"]].append((record.partition, record.offset))
    assert len(where) == count
    assert not {name: places for name, places in where.items() if len(places) > 1}


def ready(process):
    """The answer of /readyz: its code, and its text."""
    (address,) = (x["address"] for x in logged(process) if x["event"] == "server.listening")
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_a_broker_that_is_away_is_waited_for_and_told_of_once(world, mortal):
    world.write(
        server={"listen": "127.0.0.1:0"},
        source={"stale_after": 3},
        log={"level": "info"},  # at debug, the client's own complaints are logged too
    )
    produce(mortal, world, 1000)
    (node,) = mortal.nodes
    node.stop()
    with service(world) as running:
        until(lambda: times_logged(running, "service.interrupted"))
        code, text = ready(running)
        assert (code, "interrupted" in text) == (503, True)
        node.start()
        until(lambda: committed(mortal, world) == 1000)
        until(lambda: ready(running)[0] == 200)
        # Fed nothing, it is not healthy in silence.
        until(lambda: "no record for" in ready(running)[1])
        assert ready(running)[0] == 503
        assert times_logged(running, "service.interrupted") == 1
        # Once more, in mid-run and without a warning.
        node.stop(signal.SIGKILL)
        until(lambda: times_logged(running, "service.interrupted") == 2)
        node.start()
        produce(mortal, world, 1000)
        until(lambda: committed(mortal, world) == 2000)
        stop(running)
        levels = Counter(line["level"] for line in logged(running))
    assert_each_once(mortal, world, 2000)
    assert levels.keys() <= {"info", "warning"}
    assert levels["warning"] <= 3


def test_patience_ends_with_one_line_and_a_stop_need_not_wait_for_it(world):
    world.write(kafka={"bootstrap_servers": [f"{HOST}:{free_ports(1)[0]}"]})
    with service(world) as running:
        until(lambda: times_logged(running, "service.interrupted"))
        stop(running)
    world.write(kafka={"retry_seconds": 1})
    with service(world) as running:
        assert running.wait(timeout=60) == 1
        last = running.log.read_text().splitlines()[-1]
    assert last.startswith("detectd: ")
    assert "no answer from" in last


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_a_frozen_process_is_replaced_and_finds_its_way_back(world, mortal, library):
    world.write(kafka={"client": library})
    produce(mortal, world, 4000)
    with service(world) as frozen:
        until(lambda: committed(mortal, world) >= 200)
        frozen.send_signal(signal.SIGSTOP)
        with service(world) as other:
            until(lambda: committed(mortal, world) == 4000)
            frozen.send_signal(signal.SIGCONT)
            produce(mortal, world, 1000)
            until(lambda: committed(mortal, world) == 5000)
            # Both live, and share the work again.
            until(lambda: shares(frozen, mortal, world) and shares(other, mortal, world))
            stop(frozen)
            stop(other)
    count = committed(mortal, world)
    assert_each_once(mortal, world, count)


def shares(process, broker, world):
    """Whether the process answers something of what comes now."""
    before = times_logged(process, "batch")
    produce(broker, world, 40)
    time.sleep(0.5)
    return times_logged(process, "batch") > before
