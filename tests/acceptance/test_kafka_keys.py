"""Features that remember, on Kafka: whoever answers a partition knows its keys' past."""

import json
import shutil
import signal
import time
from contextlib import ExitStack, closing
from itertools import count
from typing import Any, ClassVar

import numpy as np
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from tests.support.command import TOPICS, World, events
from tests.support.complaints import one_line
from tests.support.kafka_service import run_until, service, settle, stop, times_logged
from tests.support.waiting import until

PARTITIONS = 4
HOSTS = 13
FEATURES = [
    "a",
    {"of": "b", "fn": "mean", "window": 5},
    {"of": "a", "fn": "diff"},
    {"of": "b", "fn": "ewma", "half_life": 10, "surprise": True},
]
HASTE = {
    "session_timeout_seconds": 3,
    "transaction_timeout_seconds": 8,
    "max_poll_interval_seconds": 20,
}


def hosts(number, seed=0):
    """Events of hosts: each with the number of its host."""
    return [
        (i % HOSTS, json.dumps(json.loads(line) | {"host": f"host-{i % HOSTS}"}))
        for i, line in enumerate(events(number, seed))
    ]


class Hosts(World):
    """A world of a group, over an input that it shares."""

    source = ""
    sinks: ClassVar[dict[str, str]] = {}
    broker: Any = None

    @property
    def group(self):
        return self.config["kafka"]["group_id"]

    @property
    def keys(self):
        return self.config["topics"]["keys"]


@pytest.fixture(scope="module")
def a_model_of_hosts(tmp_path_factory):
    """A model store whose features remember."""
    world = World(tmp_path_factory.mktemp("hosts"))
    world.write(event={"key": "host", "features": FEATURES})
    lines = (line for _, line in hosts(1500, seed=1))
    done = world.run("fit", "--input", world.lines(world.home / "training.jsonl", lines))
    assert done.returncode == 0, done.stderr
    return world.home / "models"


@pytest.fixture
def make(tmp_path, a_model_of_hosts, kafka_broker):
    """Makes worlds over one input, each a group with outputs and a topic for keys of its own."""
    (source,) = kafka_broker.create_topics("in", partitions=PARTITIONS)
    numbers = count()

    def made(**changes):
        home = tmp_path / f"world-{next(numbers)}"
        home.mkdir()
        world = Hosts(home)
        world.source, world.broker = source, kafka_broker
        names = kafka_broker.create_topics(*TOPICS, partitions=PARTITIONS)
        world.sinks = dict(zip(TOPICS, names, strict=True))
        settle(world, kafka_broker, source, world.sinks | {"keys": f"keys-{names[0]}"})
        shutil.copytree(a_model_of_hosts, home / "models")
        world.write(
            event={"key": "host", "features": FEATURES},
            source={"batch_records": 100},
            kafka=HASTE | {"group_id": names[0], "create_topics": True},
        )
        world.write(**changes)
        return world

    return made


def produce(world, number, seed=0):
    world.broker.produce(
        world.source,
        *(
            {"value": line.encode(), "partition": host % PARTITIONS}
            for host, line in hosts(number, seed)
        ),
    )


def committed(world):
    return sum(mark.offset for mark in world.broker.committed_offsets(world.group).values())


def answers(world):
    """What was answered of each event: topic, and every byte."""
    names = {name: topic for topic, name in world.sinks.items()}
    found = {}
    for name, records in world.broker.read_committed(*names).items():
        for record in records:
            place = json.loads(record.value)["id"]
            assert place not in found
            found[place] = (names[name], record.key, record.value, record.headers)
    return found


def logged(process, event):
    lines = map(json.loads, process.log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def said(errors, event):
    lines = (json.loads(line) for line in errors.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_processes_that_are_killed_answer_as_one_that_is_not(make, library):
    world, calm = make(kafka={"client": library}), make()
    total = 4000
    produce(world, total // 2)
    rng = np.random.default_rng(11)
    with ExitStack() as running:
        living = [running.enter_context(service(world)) for _ in range(2)]
        until(lambda: committed(world) > 0)
        for seed in (1, 2):
            # One that works is killed, in the middle of whatever it does; another takes its place.
            before = committed(world)
            time.sleep(rng.uniform(0.05, 0.6))
            victim = living.pop(0)
            victim.send_signal(signal.SIGKILL)
            produce(world, total // 4, seed)
            living.append(running.enter_context(service(world)))
            until(lambda before=before: committed(world) > before)
        until(lambda: committed(world) == total, 120)
        assert any(logged(each, "keys.restored") for each in living)
        for each in living:
            stop(each)
    run_until(calm, lambda: committed(calm) == total)
    assert len(answers(calm)) == total
    assert answers(world) == answers(calm)


def test_a_restart_goes_on_and_partitions_that_move_take_their_keys_along(make):
    world, calm = make(), make()
    produce(world, 400)
    run_until(world, lambda: committed(world) == 400)
    produce(world, 400, seed=1)
    with service(world) as first:
        until(lambda: committed(world) == 800)
        # All in one batch, or as they come.
        lines = logged(first, "keys.restored")
        assert sum(line["keys"] for line in lines) == HOSTS
        assert sorted(name for line in lines for name in line["partitions"]) == [
            f"{world.source}/{p}" for p in range(PARTITIONS)
        ]
        with service(world) as second:

            def shared():
                produce(world, 52, seed=2)
                return times_logged(second, "keys.restored")

            until(shared)
            until(lambda: committed(world) == sum(map(len, ends(world).values())))
            stop(second)
        produce(world, 400, seed=3)
        until(lambda: committed(world) == sum(map(len, ends(world).values())))
        stop(first)
    run_until(calm, lambda: committed(calm) == committed(world))
    assert answers(world) == answers(calm)


def ends(world):
    return world.broker.read_committed(world.source)


def test_features_that_change_keep_what_is_still_good(make, a_model_of_hosts):
    world = make()
    produce(world, 200)
    run_until(world, lambda: committed(world) == 200)
    changed = [*FEATURES[:2], {"of": "a", "fn": "max", "window": 5}]
    world.write(event={"features": changed})
    lines = (line for _, line in hosts(1500, seed=1))
    done = world.run("fit", "--input", world.lines(world.home / "training.jsonl", lines))
    assert done.returncode == 0, done.stderr
    produce(world, 200, seed=1)
    errors = run_until(world, lambda: committed(world) == 400)
    (line,) = said(errors, "keys.features_changed")
    assert (len(line["kept"]), len(line["begin"])) == (1, 1)
    assert len(line["dropped"]) >= 2
    assert sum(line["keys"] for line in said(errors, "keys.restored")) == HOSTS


def test_offsets_that_were_set_back_begin_anew_and_give_the_same_bytes(make):
    world, calm = make(), make()
    produce(world, 400)
    run_until(world, lambda: committed(world) == 400)
    before = answers(world)
    with closing(world.broker.client(KafkaAdminClient)) as admin:
        admin.delete_groups([world.group])
    shutil.rmtree(world.home / "models")  # and with it the copy of the position
    shutil.copytree(calm.home / "models", world.home / "models")
    sinks = world.broker.create_topics(*TOPICS, partitions=PARTITIONS)
    world.sinks = dict(zip(TOPICS, sinks, strict=True))
    world.write(topics=world.sinks)
    errors = run_until(world, lambda: committed(world) == 400)
    told = said(errors, "keys.restarted")
    assert [line["level"] for line in told] == ["warning"] * PARTITIONS
    assert answers(world) == before


def configure(world, **wanted):
    change = ConfigResource(ConfigResourceType.TOPIC, world.keys, configs=wanted)
    with closing(world.broker.client(KafkaAdminClient)) as admin:
        admin.alter_configs([change])


def test_a_topic_that_does_not_fit_is_told_before_it_loses_anything(make):
    world = make()
    done = world.run("check", "--connect")
    assert done.returncode == 0, done.stdout
    assert "WARNING: does not exist yet; will be created" in told(done.stdout, world.keys)
    with closing(world.broker.client(KafkaAdminClient)) as admin:
        admin.create_topics({world.keys: {"num_partitions": 2}})
        admin.wait_for_topics([world.keys])
    configure(world, **{"cleanup.policy": "delete"})
    for command in (["check", "--connect"], ["run"]):
        done = world.run(*command)
        assert done.returncode == 78
        assert "cleanup.policy = delete deletes keys; set it to compact" in (
            told(done.stdout, world.keys) or done.stderr
        )
    configure(world, **{"cleanup.policy": "compact"})
    done = world.run("check", "--connect")
    assert "2 partitions, and the input has 4; add partitions" in told(done.stdout, world.keys)
    one_line(world.run("run"), 78, f"topics.keys: {world.keys!r}: 2 partitions, and the input")
    with closing(world.broker.client(KafkaAdminClient)) as admin:
        admin.create_partitions({world.keys: PARTITIONS})
        admin.wait_for_topics([world.keys])
    done = world.run("check", "--connect")
    assert done.returncode == 0, done.stdout
    assert "  ok  4 partitions, compacted" in told(done.stdout, world.keys)


def told(output, name):
    return "".join(line for line in output.splitlines() if f" {name} " in line)


def test_a_partition_that_nothing_comes_from_is_told_once_whoever_dies(make):
    """By the clock, in a transaction that names the partition; and the closing ends by events."""
    world = make()
    (topic,) = world.broker.create_topics("alerts")
    world.write(keys={"silent_after": "1s"}, topics={"alerts": topic})
    produce(world, HOSTS)

    def told():
        return [json.loads(record.value) for record in world.broker.read_committed(topic)[topic]]

    with service(world) as first:
        until(lambda: len(told()) >= HOSTS)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with service(world) as second:
        produce(world, HOSTS, seed=9)
        until(lambda: len(told()) >= 2 * HOSTS)
        until(lambda: len(told()) >= 3 * HOSTS)
        stop(second)
    ids = [(each["state"], each["id"]) for each in told()]
    assert len(set(ids)) == len(ids)
    opened = [which for state, which in ids if state == "open"]
    assert len(opened) == 2 * HOSTS
    assert {which for state, which in ids if state == "close"} == set(opened[:HOSTS])
