"""Hosts that share no disk answer with one model, and go over to the next together."""

import json

import pytest

from tests.support.command import TOPICS, World
from tests.support.kafka_service import committed, produce, service, settle, stop, times_logged
from tests.support.waiting import until


@pytest.fixture
def hosts(fitted, kafka_broker, tmp_path_factory):
    """One that has a model, and one that has none."""
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=4)
    other = World(tmp_path_factory.mktemp("other"))
    for host in (fitted, other):
        host.source, host.sinks = source, dict(zip(TOPICS, sinks, strict=True))
        models = {"models_topic": f"{source}.models", "create_topics": True}
        settle(host, kafka_broker, source, host.sinks, kafka=models)
    return fitted, other


def versions(broker, host):
    found = broker.read_committed(*host.sinks.values())
    return [json.loads(r.value)["model"] for topic in TOPICS[:3] for r in found[host.sinks[topic]]]


def test_a_host_without_a_model_answers_with_the_published_one(hosts, kafka_broker):
    publisher, other = hosts
    published = publisher.run("models", "publish")
    assert published.returncode == 0, published.stderr
    first = published.stdout.split()[1]
    produce(kafka_broker, other, 200)
    with service(other) as running:
        until(lambda: committed(kafka_broker, other) == 200)
        again = publisher.fit(count=1200, seed=5)
        assert again.returncode == 0, again.stderr
        second = again.stdout.splitlines()[-1].split()[1]
        until(lambda: times_logged(running, "model.serving") == 2)
        produce(kafka_broker, other, 200)
        until(lambda: committed(kafka_broker, other) == 400)
        stop(running)
    seen = versions(kafka_broker, other)
    assert (seen.count(first), seen.count(second)) == (200, 200)
    assert first != second


def test_processes_of_one_host_warm_up_once(hosts, kafka_broker):
    _, host = hosts
    host.write(training={"warmup": 400}, kafka={"models_topic": None})
    produce(kafka_broker, host, 300)
    with service(host) as one, service(host) as two:
        until(lambda: committed(kafka_broker, host) == 300)
        for wanted in range(500, 4000, 200):
            produce(kafka_broker, host, 200)
            until(lambda wanted=wanted: committed(kafka_broker, host) == wanted)
            if times_logged(one, "model.serving") and times_logged(two, "model.serving"):
                break
        stop(one)
        stop(two)
    answered = {version for version in versions(kafka_broker, host) if version}
    assert len(answered) == 1


def test_without_a_topic_there_is_nowhere_to_publish(fitted):
    done = fitted.run("models", "publish")
    assert done.returncode == 2
    assert "kafka.models_topic is not set" in done.stderr
