"""The state of keys on a compacted topic: it moves with its partition between processes.

A commit's changes are written in its transaction. When a partition is assigned, its keys are read
back before its first event is scored; when it is revoked, they are dropped. As long as the source's
claim is unchanged, no other process can have committed to the partition. If the claim changed while
the keys were read, the batch is abandoned.

So no commit of a former owner is missed: either it was complete when the group returned this
process's offset, or it is refused for its old generation; see `sinks.kafka_keys`.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import ConfigError, PartitionsRevokedError
from detectd.pipeline.records import KeyRecord
from detectd.pipeline.vectors import partition_of
from detectd.service import key_records
from detectd.service.key_records import COUNTERS, LAYOUTS, Names
from detectd.service.key_rows_read import RowsRead
from detectd.sources.kafka_position import offsets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from detectd.features.key_rows import Remap
    from detectd.features.state import FeatureState
    from detectd.pipeline.records import Record
    from detectd.service.key_records import Layouts
    from detectd.service.key_rows_read import Settled
    from detectd.sinks import Sink
    from detectd.sources import Source

log = structlog.get_logger()

# How often to poll the group and to update telemetry while keys are read.
PAUSE_SECONDS = 1.0


@dataclass
class Known:
    """A partition whose keys have been read.

    `written` is its record of layouts, which `layouts` contains beside the current one; `stale` are
    names on the topic that are to be deleted.
    """

    claim: int
    written: bytes
    layouts: Layouts = field(default_factory=dict)
    stale: Sequence[bytes] = ()


class SharedKeys:
    """The state of keys of a consumer `group`. It is a `KeyMemory`.

    Under another `identity` of keys and times the state is invalid. `rewinds` is whether the state
    may be ahead of the group's offsets, as it is without transactions. `topic` is for messages.
    """

    def __init__(
        self, features: FeatureState, topic: str, group: str, identity: str, *, rewinds: bool
    ) -> None:
        self.features = features
        self._tables = features.tables
        self._ops = features.ops
        self._topic = topic
        self._names = Names(group)
        self._identity = identity
        self._rewinds = rewinds
        self._mark = key_records.mark_of(identity, self._ops)
        self._known: dict[str, Known] = {}
        # Partitions with changes in the next commit, each with its record of layouts.
        self._going: dict[str, bytes] = {}
        self._told: set[tuple[str, ...]] = set()

    def restore(self, state: dict[str, Any]) -> None:  # noqa: ARG002 - all is on the topic
        """Reset all keys: each partition's are read when it is assigned."""
        self._tables.restore({})
        self._known, self._going = {}, {}

    def snapshot(self) -> dict[str, Any]:
        """Return nothing: all state is on the topic."""
        return {}

    def know(
        self,
        records: Sequence[Record],
        source: Source,
        sink: Sink,
        pause: Callable[[float], bool],
    ) -> bool:
        """Read the keys of the records' partitions, unless they are loaded.

        Call `pause` repeatedly while that takes long, with the share read so far. Return False if
        that returned True: the load is given up. Raise PartitionsRevokedError if the partitions of
        the records were revoked.
        """
        claims = source.claims()
        for name in [n for n, known in self._known.items() if known.claim != claims.get(n)]:
            self._tables.drop(name)
            del self._known[name]
        firsts: dict[str, Record] = {}
        for record in records:
            firsts.setdefault(partition_of(record), record)
        begins = {
            name: int(record.id.rpartition("/")[2])
            for name, record in firsts.items()
            if name not in self._known
        }
        if not begins:
            return True
        if not begins.keys() <= claims.keys():
            raise _revoked(begins.keys() - claims.keys())
        began = time.monotonic()
        found = self._read(begins.keys(), sink, pause)
        if found is None:
            return False
        now = source.claims()
        if gone := [name for name in firsts if now.get(name) != claims.get(name)]:
            raise _revoked(gone)
        for name, read in found.items():
            self._take_over(name, claims[name], read, begins[name])
        size = sum(read.bytes for read in found.values())
        if size:
            seconds = round(time.monotonic() - began, 3)
            keys = sum(len(self._tables.of(name)) for name in found)
            log.info(
                "keys.restored", partitions=sorted(found), keys=keys, bytes=size, seconds=seconds
            )
        return True

    def records(self, position: Mapping[str, Any]) -> list[KeyRecord]:
        """Return what a commit of this position must write: the changes of its partitions.

        Changes of other partitions would not be fenced by the group's offsets.
        """
        self._going = {}
        found: list[KeyRecord] = []
        for (topic, partition), after in offsets_in(position).items():
            name = f"{topic}/{partition}"
            known = self._known.get(name)
            if known and (known.stale or self._tables.of(name).changed):
                written = key_records.layouts(
                    self._identity, known.layouts | {self._mark: self._ops}
                )
                self._going[name] = written
                found += (
                    KeyRecord(partition, key, value)
                    for key, value in self._changes(topic, name, known, written, after)
                )
        return found

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        for name, written in self._going.items():
            if known := self._known.get(name):
                self._tables.of(name).on_commit()
                known.written, known.stale = written, ()
        self._going = {}

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._going = {}
        self._tables.rollback()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _changes(
        self, topic: str, name: str, known: Known, written: bytes, after: int
    ) -> Iterator[tuple[bytes, bytes | None]]:
        if written != known.written:
            yield self._names.part(topic, LAYOUTS), written
        for gone in known.stale:
            yield self._names.row(topic, gone), None
        table = self._tables.of(name)
        for key, row in table.changed_rows():
            yield self._names.row(topic, key), None if row is None else self._mark + row
        yield self._names.part(topic, COUNTERS), key_records.counters(table.counters, after)

    def _read(
        self, names: Sequence[str] | Any, sink: Sink, pause: Callable[[float], bool]
    ) -> dict[str, RowsRead] | None:
        found = {name: RowsRead() for name in names}
        paused, told = time.monotonic(), False
        with closing(sink.read_keys({_number(name) for name in names})) as parts:
            for part in parts:
                if not told:
                    log.info("keys.restoring", partitions=sorted(names))
                    told = True
                for record in part.records:
                    self._take(record, found)
                if time.monotonic() - paused >= PAUSE_SECONDS:
                    if pause(part.share):
                        return None
                    paused = time.monotonic()
        return found

    def _take(self, record: KeyRecord, found: Mapping[str, RowsRead]) -> None:
        about = self._names.parsed(record.key)
        read = about and found.get(f"{about.topic}/{record.partition}")
        if about is None or read is None:
            return  # of another group, or of a partition that is not requested
        try:
            read.take(about, record.value)
        except ValueError as wrong:
            raise self._unreadable(record.partition, str(wrong)) from None

    def _take_over(self, name: str, claim: int, read: RowsRead, first: int) -> None:
        try:
            settled = read.settled(self._identity, self._ops, first, rewinds=self._rewinds)
            self._tables.drop(name)
            self._tables.of(name).restore(settled.rows)
        except ValueError as wrong:
            self._tables.drop(name)
            raise self._unreadable(_number(name), str(wrong)) from None
        self._known[name] = Known(claim, read.written, settled.layouts, settled.stale)
        self._tell(name, settled)

    def _tell(self, name: str, settled: Settled) -> None:
        if settled.restarted:
            log.warning("keys.restarted", partition=name, reason=settled.restarted)
        for moved in settled.moved:
            if moved.changes and (what := _summary(moved)) not in self._told:
                self._told.add(what)
                log.info(
                    "keys.features_changed",
                    kept=moved.stay,
                    begin=moved.begin,
                    dropped=moved.dropped,
                )

    def _unreadable(self, partition: int, why: str) -> ConfigError:
        return ConfigError(
            f"topics.keys: partition {partition} of {self._topic!r} cannot be read: {why}; go back "
            "to the version that wrote it, or name another topic to let all keys start over"
        )


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])


def _summary(moved: Remap) -> tuple[str, ...]:
    return (*moved.stay, "", *moved.begin, "", *moved.dropped)


def _revoked(names: Any) -> PartitionsRevokedError:
    return PartitionsRevokedError(
        f"{', '.join(sorted(names))} went to another member of the group before its keys were read"
    )
