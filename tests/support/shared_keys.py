"""Members of a group that share the state of keys on a topic in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from detectd.features.key_table import KeyTable
from detectd.features.key_tables import KeyTables
from detectd.pipeline.records import KeyRecord, Record
from detectd.service.shared_keys import SharedKeys
from detectd.sinks import KeysRead
from tests.support.key_tables import score

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

OPS = (("mean(cpu)", 2), ("last(cpu)", 1))


class Topic:
    """Committed records, in order. It stands for the sink as well."""

    def __init__(self) -> None:
        self.records: list[KeyRecord] = []

    def read_keys(self, partitions: Collection[int]) -> Generator[KeysRead]:
        found = [each for each in self.records if each.partition in partitions]
        middle = len(found) // 2
        if found:
            yield KeysRead(found[:middle], 0.5)
            yield KeysRead([], 0.5)
            yield KeysRead(found[middle:], 1.0)

    def compact(self) -> None:
        """Keep the last record of each key, and no tombstones, as brokers do in the end."""
        last = {(each.partition, each.key): i for i, each in enumerate(self.records)}
        kept = sorted(last.values())
        self.records = [self.records[i] for i in kept if self.records[i].value is not None]

    def latest(self) -> dict[tuple[int, bytes], bytes]:
        """What a reader ends with, by partition and key."""
        found: dict[tuple[int, bytes], bytes] = {}
        for each in self.records:
            found.pop((each.partition, each.key), None)
            if each.value is not None:
                found[each.partition, each.key] = each.value
        return found


class Member:
    """A process that answers events of partitions of the topic `events`."""

    def __init__(
        self,
        topic: Topic,
        *,
        ops: Any = OPS,
        max_keys: int = 4,
        identity: str = "host",
        group: str = "readers",
        rewinds: bool = False,
    ) -> None:
        words = sum(size for _, size in ops)
        self.topic = topic
        self.claims: dict[str, int] = {}
        self.tables = KeyTables(lambda: KeyTable(words, max_keys=max_keys, idle_ms=30.0))
        features: Any = SimpleNamespace(tables=self.tables, ops=ops)
        self.keys = SharedKeys(features, "detectd.keys", group, identity, rewinds=rewinds)
        self.keys.restore({})

    def know(self, partition: int, offset: int, pause: Any = lambda _: False) -> bool:
        source: Any = SimpleNamespace(claims=lambda: dict(self.claims))
        sink: Any = self.topic
        return self.keys.know([record(partition, offset)], source, sink, pause)

    def answer(self, partition: int, offset: int, events: list[Any]) -> list[Any]:
        """Answer events that begin at the offset."""
        assert self.know(partition, offset)
        return score(self.tables.of(f"events/{partition}"), events)

    def commit(self, partition: int, after: int) -> list[KeyRecord]:
        """Commit what was answered of the partition, up to the offset."""
        written = self.keys.records({"offsets": {"events": {str(partition): after}}})
        self.topic.records += written
        self.keys.on_commit()
        return written


def record(partition: int, offset: int) -> Record:
    """Return a record of the input; of it only the place is looked at."""
    return Record(f"events/{partition}/{offset}", b"", partition=partition)
