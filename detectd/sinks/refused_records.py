"""Find the records of a commit that the brokers refuse, by test writes that are aborted."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from detectd.kafka import kafka_python_client
from detectd.kafka.errors import RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.kafka import KafkaClient, ProducerRecord
    from detectd.kafka.error_codes import Meaning

# Records not found in this time are left to the next attempt.
SECONDS = 30.0


def refused_records(
    attempt: Callable[[Sequence[int]], None], count: int, seconds: float = SECONDS
) -> dict[int, Meaning]:
    """Return the refused of `count` records, with reasons; empty if none is refused alone.

    `attempt` writes the records with these numbers, and raises RecordsRefused with their indices in
    that write. If the brokers name none, the suspects are halved until one is left.
    """
    deadline = time.monotonic() + seconds
    found: dict[int, Meaning] = {}
    parts: list[Sequence[int]] = [range(count)]
    while parts and time.monotonic() < deadline:
        part = parts.pop()
        try:
            attempt(part)
        except RecordsRefused as refused:
            certain = refused.certain or (refused.suspects if len(part) == 1 else {})
            found |= {part[place]: why for place, why in certain.items()}
            suspects = [] if certain else [part[place] for place in sorted(refused.suspects)]
            middle = (len(suspects) + 1) // 2
            rest = [number for number in part if number not in found and number not in suspects]
            parts += [each for each in (rest, suspects[middle:], suspects[:middle]) if each]
    return found


def tried(
    client: KafkaClient, name: str | None, batch_bytes: int, outputs: Sequence[ProducerRecord]
) -> dict[int, Meaning]:
    """Return the refused outputs, as reported by kafka-python.

    It writes under the transactional id `name`, and aborts.
    """
    with closing(kafka_python_client.Producer(client, name, batch_bytes)) as judge:

        def attempt(numbers: Sequence[int]) -> None:
            if name is None:
                judge.write([outputs[number] for number in numbers])
                return
            judge.begin()
            try:
                judge.write([outputs[number] for number in numbers])
            finally:
                judge.abort()

        if name is not None:
            judge.take_over()
        return refused_records(attempt, len(outputs))
