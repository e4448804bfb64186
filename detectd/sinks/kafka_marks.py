"""The metadata of earlier commits that is stored with offsets on the brokers."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from detectd.sinks import commit_metadata

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient, Place


def marks(client: KafkaClient, name: str, own_group: str, own_place: Place) -> list[dict[str, Any]]:
    """Return the metadata of commits under the transactional id `name`.

    It is stored with the offsets of the source's group, and with that of `own_place` in
    `own_group`.
    """
    reader = client.connect(
        KafkaConsumer,
        group_id=own_group,
        enable_auto_commit=False,
        # The brokers then also respond only when no transaction is pending on the offset.
        isolation_level="read_committed",
    )
    with closing(reader):
        own = reader.committed(
            TopicPartition(*own_place), metadata=True, timeout_ms=client.patience * 1000
        )
    group = client.group_id
    with closing(client.connect(KafkaAdminClient)) as admin:
        offsets = client.patiently(lambda: admin.list_group_offsets([group])[group])
    memos = [own.metadata] if own else []
    memos += [offset.metadata for offset in offsets.values()]
    return [mark for mark in map(commit_metadata.read, memos) if mark.get("by") == name]
