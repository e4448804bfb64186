"""The real service between the topics of a broker."""

from __future__ import annotations

import json
import signal
import time
from contextlib import contextmanager, suppress

from tests.support.command import events, start


def kafka_keys(broker, name):
    """Return the keys of the section `kafka` for this broker and group."""
    return {"bootstrap_servers": broker.servers, "group_id": name, "client_id": name}


def settle(world, broker, source, sinks, **changes):
    """Configure the world's service between these topics."""
    world.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_seconds": 0.2},
        sink={"kind": "kafka", "directory": None},
        topics=sinks,
        kafka=kafka_keys(broker, source) | changes.pop("kafka", {}),
        server={"listen": ""},
        **changes,
    )


@contextmanager
def service(world, **options):
    """The running command; its stderr goes to a file, so that nothing waits for us to read it."""
    path = world.home / f"stderr-{time.monotonic_ns()}"
    with path.open("wb") as stderr:
        process = start("run", "--config", world.path, stderr=stderr, **options)
    process.log = path
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        process.stdout.close()


def run_until(world, satisfied, seconds=90):
    """The service, until what it has written is enough; then SIGTERM. Gives its stderr."""
    deadline = time.monotonic() + seconds
    with start("run", "--config", world.path) as service:
        started = any("service.started" in line for line in service.stderr)
        while (
            started and not satisfied() and service.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.2)
        service.send_signal(signal.SIGTERM)
        errors = service.stderr.read()
        assert service.wait(timeout=60) == 0, errors
    return errors


def stop(process):
    """Stop the service in order; it must exit with 0."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0, process.log.read_text()


def times_logged(process, event):
    """Return how often the service has logged the event."""
    return sum(line["event"] == event for line in logged(process))


def logged(process):
    """Return what the service has logged; it may be writing the next line."""
    return list(map(json.loads, process.log.read_text().rpartition("\n")[0].splitlines()))


def committed(broker, world):
    """Return how many records the group has committed."""
    return sum(mark.offset for mark in broker.committed_offsets(world.source).values())


def produce(broker, world, count):
    """Write events to the four partitions of the source in turn."""
    lines = events(count)
    broker.produce(
        world.source, *({"value": v.encode(), "partition": i % 4} for i, v in enumerate(lines))
    )
