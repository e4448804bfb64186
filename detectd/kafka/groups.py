"""Query a group, and the topics that it reads."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from detectd.kafka.errors import explained

if TYPE_CHECKING:
    from collections.abc import Collection

    from detectd.kafka import KafkaClient, Place


NO_ID = str(UUID(int=0))


def committed(client: KafkaClient) -> dict[Place, int]:
    """Return the group's committed offsets, by topic and partition."""
    group = client.group_id
    with closing(client.connect(KafkaAdminClient)) as admin, explained("reading the offsets"):
        found = client.patiently(lambda: admin.list_group_offsets([group])[group])
    return {tuple(place): at.offset for place, at in found.items() if at.offset >= 0}


def members(client: KafkaClient) -> dict[str, str]:
    """Return the group's members by their id, each as `client id at host`.

    The predecessor of this static member is left out: this process takes its place.
    """
    group = client.group_id
    with closing(client.connect(KafkaAdminClient)) as admin, explained("listing the members"):
        try:
            found = client.patiently(lambda: admin.describe_groups([group])[group])
        except kafka_errors.GroupIdNotFoundError:
            return {}
    return {
        each["member_id"]: f"{each['client_id']} at {str(each['client_host']).lstrip('/')}"
        for each in found.get("members") or ()
        if not _is_predecessor(client, each)
    }


def topic_ids(client: KafkaClient, topics: Collection[str]) -> dict[str, str]:
    """Return each topic's id, which changes when a topic is deleted and recreated.

    Brokers before 2.8 return none.
    """
    with closing(client.connect(KafkaAdminClient)) as admin, explained("listing the topics"):
        found = client.patiently(lambda: admin.describe_topics(list(topics)))
    return {
        topic["name"]: str(topic["topic_id"])
        for topic in found
        if not topic["error_code"] and str(topic.get("topic_id") or NO_ID) != NO_ID
    }


def _is_predecessor(client: KafkaClient, member: Any) -> bool:
    static = client.group_instance_id
    return static is not None and member.get("group_instance_id") == static
