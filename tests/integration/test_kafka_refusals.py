"""Brokers that know who may do what, and say no."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from detectd.errors import RefusedError
from detectd.kafka import KafkaClient
from detectd.pipeline.records import Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sources.kafka import KafkaSource
from tests.support.guarded import behind_login

if TYPE_CHECKING:
    from tests.support.broker import Broker


def login(user: str, password: str) -> dict[str, str]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }


@pytest.fixture(scope="module")
def guarded(kafka_broker: Broker) -> Broker:
    """A broker that lets nobody but its admin do anything; skipped where Kafka cannot be had."""
    return behind_login(kafka_broker)


@pytest.fixture(scope="module")
def topics(guarded: Broker) -> dict[Topic, str]:
    return dict(zip(Topic, guarded.create_topics(*Topic), strict=True))


def test_the_source_says_what_it_may_not_do(guarded: Broker, topics: dict[Topic, str]) -> None:
    client = KafkaClient(guarded.servers, extra=login("stranger", "secret"))
    source = KafkaSource(client, [topics[Topic.NORMAL]], acknowledges=True)
    with pytest.raises(RefusedError, match="TopicAuthorizationFailedError") as told:
        source.start(None)
    assert told.value.exit_code == 77
    assert topics[Topic.NORMAL] in str(told.value)
    assert "\n" not in str(told.value)
    source.close()


def test_the_sink_says_what_it_may_not_do(guarded: Broker, topics: dict[Topic, str]) -> None:
    sink = KafkaSink(KafkaClient(guarded.servers, extra=login("stranger", "secret")), topics)
    with pytest.raises(RefusedError, match="TopicAuthorizationFailedError"):
        sink.open()
    sink.close()


def test_a_right_that_is_lacking_after_the_start_is_named(
    guarded: Broker, topics: dict[Topic, str]
) -> None:
    with closing(guarded.client(KafkaAdminClient)) as admin:
        every = ResourcePattern(ResourceType.TOPIC, "*")
        look = ACL("User:looker", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, every)
        assert not admin.create_acls([look])["failed"]
    client = KafkaClient(guarded.servers, extra=login("looker", "secret"))
    sink = KafkaSink(client, topics)
    with pytest.raises(RefusedError, match="TransactionalIdAuthorizationFailedError"):
        sink.open()
    sink.close()
    source = KafkaSource(client, [topics[Topic.NORMAL]], acknowledges=True)
    with pytest.raises(RefusedError, match="GroupAuthorizationFailedError"):
        source.start(None)
    source.close()


def test_a_wrong_password_is_refused_at_once(guarded: Broker) -> None:
    client = KafkaClient(guarded.servers, extra=login("stranger", "wrong"))
    source = KafkaSource(client, ["events"], acknowledges=True)
    with pytest.raises(RefusedError, match="rejects the login by PLAIN") as told:
        source.start(None)
    assert "wrong" not in str(told.value)
    source.close()
