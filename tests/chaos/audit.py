"""What four topics hold against what they should hold: each record of the input once, in order."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from tests.chaos.stream import NUMBER
from tests.support.command import TOPICS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from tests.support.broker import Broker

DEAD_LETTER = TOPICS[3]

# Brokers end the transactions of the dead when their time is over; readers wait for that.
SILENT_SECONDS = 90.0
EXAMPLES = 5


class _Identified(msgspec.Struct):
    id: str


@dataclass
class Findings:
    """All zero where each record was answered once. `examples` name the first of each kind."""

    records: int = 0
    dead_letters: int = 0
    poison: int = 0
    lost: int = 0
    doubled: int = 0
    strangers: int = 0
    out_of_order: int = 0
    misjudged: int = 0
    differing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.lost
            or self.doubled
            or self.strangers
            or self.out_of_order
            or self.misjudged
            or self.differing
            or self.dead_letters != self.poison
        )

    def note(self, kind: str, what: str) -> None:
        """Count one more of this kind, and keep the first few."""
        count = getattr(self, kind)
        setattr(self, kind, count + 1)
        if count < EXAMPLES:
            self.examples.append(f"{kind}: {what}")


def read(broker: Broker, *topics: str) -> Iterator[Any]:
    """Every committed record of the topics, by partition in the order of its offsets.

    Raises TimeoutError where readers do not get to the end: a transaction was left open.
    """
    options = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
    with closing(broker.client(KafkaConsumer, **options)) as plain:
        places = [TopicPartition(t, p) for t in topics for p in plain.partitions_for_topic(t)]
        # Where the partition ends, not where the last transaction does.
        ends = plain.end_offsets(places)
    reader = broker.client(
        KafkaConsumer, isolation_level="read_committed", max_poll_records=5000, **options
    )
    with closing(reader):
        reader.assign(places)
        reader.seek_to_beginning()
        deadline = time.monotonic() + SILENT_SECONDS
        behind = places
        while behind:
            for found in reader.poll(timeout_ms=200).values():
                deadline = time.monotonic() + SILENT_SECONDS
                yield from found
            behind = [place for place in behind if reader.position(place) < ends[place]]
            if behind and time.monotonic() > deadline:
                raise TimeoutError(f"readers do not get to the end of {behind}")


def inputs(records: Iterable[Any]) -> dict[str, int]:
    """The number of each record of the input, by its position."""
    return {f"{r.topic}/{r.partition}/{r.offset}": number(r) for r in records}


def number(record: Any) -> int:
    return int(dict(record.headers)[NUMBER])


def audit(
    source: Mapping[str, int],
    poison: Container[int],
    names: Mapping[str, str],
    outputs: Iterable[Any],
    undisturbed: Mapping[str, tuple[Any, ...]],
) -> Findings:
    """Hold the outputs against the input and against the answers of an undisturbed run.

    `names` are the outputs' topics by Kafka name; `undisturbed` is what `answer` gives, by id.
    """
    findings = Findings(poison=sum(n in poison for n in source.values()))
    seen: Counter[str] = Counter()
    last: dict[tuple[str, int, str], int] = {}
    for record in outputs:
        name, place = answer_id(record), f"{names[record.topic]}/{record.partition}"
        origin, offset = name.rsplit("/", 1)
        findings.records += 1
        findings.dead_letters += names[record.topic] == DEAD_LETTER
        seen[name] += 1
        if source.get(name) != number(record):
            findings.note("strangers", f"{name} in {place} at {record.offset}")
            continue
        if seen[name] > 1:
            findings.note("doubled", f"{name}, again in {place} at {record.offset}")
        if int(offset) < last.get((record.topic, record.partition, origin), -1):
            findings.note("out_of_order", f"{name} in {place} at {record.offset}")
        last[record.topic, record.partition, origin] = int(offset)
        if (names[record.topic] == DEAD_LETTER) != (source[name] in poison):
            findings.note("misjudged", f"{name} in {place} at {record.offset}")
        if answer(record, names) != undisturbed.get(name):
            findings.note("differing", f"{name} in {place} at {record.offset}: {record.value!r}")
    for name in source.keys() - seen.keys():
        findings.note("lost", name)
    return findings


def answer_id(record: Any) -> str:
    """The id in an output record: the position of its input."""
    return msgspec.json.decode(record.value, type=_Identified).id


def answer(record: Any, names: Mapping[str, str]) -> tuple[Any, ...]:
    """What must be the same whenever a record is answered."""
    return names[record.topic], record.key, record.value, tuple(record.headers)
