"""What a test does to topics and their records, as their owners or the brokers would."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, TopicPartition

from detectd.pipeline.records import OUTCOMES, Topic
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.broker import Broker


def four_topics(broker: Broker, partitions: int = 1) -> dict[Topic, str]:
    """Create a topic for each outcome, with a name of its own."""
    names = [topic.value for topic in OUTCOMES]
    return dict(zip(OUTCOMES, broker.create_topics(*names, partitions=partitions), strict=True))


def fill(broker: Broker, topic: str, *partitions: int, count: int = 10) -> None:
    """Write numbered records to each of the partitions."""
    broker.produce(
        topic,
        *({"value": b"%d" % n, "partition": each} for each in partitions for n in range(count)),
    )


def add_partitions(broker: Broker, topic: str, count: int) -> None:
    """Raise the number of partitions to `count`."""
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.create_partitions({topic: count})
        admin.wait_for_topics([topic])
    broker.close()  # what it keeps would learn of the partitions only in minutes


def delete_records(broker: Broker, topic: str, before: int, partition: int = 0) -> None:
    """Delete the records before that offset, as retention does."""
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.delete_records({TopicPartition(topic, partition): before})


def create_again(broker: Broker, topic: str) -> None:
    """Delete the topic and create it again: the same name, another topic."""
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.delete_topics([topic])
        until(lambda: not admin.describe_topics([topic])[0]["partitions"])
        admin.create_topics({topic: {"num_partitions": 1}})
        admin.wait_for_topics([topic])
    broker.close()  # what it keeps knows the other one
