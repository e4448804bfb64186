"""Processes that take each other's name, as containers with one host name and machine id do."""

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from tests.support.command import TOPICS, events
from tests.support.kafka_service import settle

# Sockets that no other process sees stand in for a network namespace of its own.
ALONE = """
import os, sys
from detectd.kafka import identity
from detectd.cli import main

of_host = identity._first_free
identity._first_free = lambda prefix, first: of_host(f"{prefix}-{os.getpid()}", first)
sys.exit(main(sys.argv[1:]))
"""


def contained(world, log):
    command = [sys.executable, "-c", ALONE, "run", "--config", str(world.path)]
    return subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_containers_with_one_name_part_and_go_on(fitted, kafka_broker, client):
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=4)
    settle(
        fitted,
        kafka_broker,
        source,
        dict(zip(TOPICS, sinks, strict=True)),
        kafka={"client": client},
    )
    logs = [fitted.home / "one.log", fitted.home / "two.log"]
    lines = [line.encode() for line in events(400)]
    with ExitStack() as stack:
        processes = [contained(fitted, stack.enter_context(path.open("wb"))) for path in logs]
        stack.callback(lambda: [process.kill() for process in processes])
        sent = 0

        def answered():
            marks = kafka_broker.committed_offsets(source).values()
            return sum(mark.offset for mark in marks)

        def renamed():
            return sum(path.read_text().count("service.renamed") for path in logs)

        deadline = time.monotonic() + 90
        while (not renamed() or answered() < sent) and time.monotonic() < deadline:
            if sent == answered() and sent < len(lines):
                chunk = lines[sent : sent + 20]
                records = ({"value": each, "partition": n % 4} for n, each in enumerate(chunk))
                kafka_broker.produce(source, *records)
                sent += len(chunk)
            time.sleep(0.2)
        for process in processes:
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [0, 0]
    (line,) = [
        json.loads(line)
        for path in logs
        for line in path.read_text().splitlines()
        if "service.renamed" in line
    ]
    assert line["transactional_id"].endswith("-1")
    assert "hostname" in line["hint"]
    assert answered() == sent
    assert sum(map(len, kafka_broker.read_committed(*sinks).values())) == sent
