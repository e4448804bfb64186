"""Settings of topics that refuse or forget what the service writes."""

from __future__ import annotations

import pytest

from detectd.kafka.topic_settings import concerns, impossible, unfit_for_state

USUAL = {
    "cleanup.policy": "delete",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.type": "CreateTime",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
    "retention.ms": "604800000",
}


def test_the_brokers_defaults_concern_nobody() -> None:
    assert list(concerns(USUAL, keyed=False, replicas=1)) == []
    assert list(concerns({}, keyed=False, replicas=None)) == []
    assert impossible(USUAL, 1) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cleanup.policy": "compact"}, "rejects records without a key"),
        ({"cleanup.policy": "compact,delete"}, "rejects records without a key"),
        ({"message.timestamp.before.max.ms": "604800000"}, "older than 7 days"),
        ({"message.timestamp.after.max.ms": "60000"}, "newer than"),
        ({"message.timestamp.difference.max.ms": "86400000"}, "older or newer than 1 days"),
        ({"max.message.bytes": "1000"}, "larger outputs than max.message.bytes = 1,000"),
        ({"min.insync.replicas": "3"}, "stops when one broker is down"),
        ({"retention.ms": "3600000"}, "within 1 h"),
    ],
)
def test_each_setting_that_refuses_or_forgets_is_named(changed: dict[str, str], told: str) -> None:
    (said,) = concerns(USUAL | changed, keyed=False, replicas=3)
    assert told in said
    assert "set" in said or "raise" in said or "lower" in said


def test_a_compacted_topic_forgets_though_all_have_keys() -> None:
    (said,) = concerns(USUAL | {"cleanup.policy": "compact"}, keyed=True, replicas=3)
    assert "keeps one record of each key" in said


def test_a_topic_with_the_brokers_time_takes_every_timestamp() -> None:
    found = USUAL | {
        "message.timestamp.type": "LogAppendTime",
        "message.timestamp.before.max.ms": "1",
    }
    assert list(concerns(found, keyed=False, replicas=1)) == []


def test_too_few_replicas_refuse_everything() -> None:
    assert "reject every record" in str(impossible(USUAL | {"min.insync.replicas": "2"}, 1))


def unfit(changed: dict[str, str], **sizes: int) -> str | None:
    found = USUAL | {"cleanup.policy": "compact"} | changed
    return unfit_for_state(found, **({"partitions": 4, "inputs": 4, "largest": 1000} | sizes))


def test_a_compacted_topic_with_enough_partitions_holds_the_state_of_keys() -> None:
    assert unfit({}) is None
    assert unfit({}, partitions=5) is None
    assert unfit({"max.message.bytes": "1000"}) is None
    assert unfit_for_state({}, partitions=4, inputs=4, largest=1000) is None


def test_a_topic_that_would_lose_the_state_of_keys_is_unfit() -> None:
    assert "set it to compact" in str(unfit({"cleanup.policy": "delete"}))
    assert "set it to compact" in str(unfit({"cleanup.policy": "compact,delete"}))
    assert "3 partitions, and the input has 4" in str(unfit({}, partitions=3))
    assert "takes 1,000 bytes; raise it" in str(unfit({"max.message.bytes": "999"}))
