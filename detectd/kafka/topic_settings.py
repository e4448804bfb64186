"""Check the settings of a topic against the records that the service writes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DAY_MS = 86_400_000

POLICY = "cleanup.policy"
BEFORE = "message.timestamp.before.max.ms"
AFTER = "message.timestamp.after.max.ms"
DIFFERENCE = "message.timestamp.difference.max.ms"
STAMP = "message.timestamp.type"
SIZE = "max.message.bytes"
REPLICAS = "min.insync.replicas"
RETENTION = "retention.ms"

RULES = (POLICY, BEFORE, AFTER, DIFFERENCE, STAMP, SIZE, REPLICAS, RETENTION)

# Current brokers have no limit for the past, and an hour for the future, for which the service
# itself replaces timestamps.
AHEAD_MS = 3_600_000
PAST_MS = 10 * 365 * DAY_MS

# A topic with a smaller limit than the service's largest record causes dead letters.
DEFAULT_SIZE = 1_048_588


def concerns(found: Mapping[str, str], *, keyed: bool, replicas: int | None) -> Iterator[str]:
    """Yield what a topic with these settings will refuse or delete, and the fix.

    `keyed` is whether every output has a key; `replicas` is the topic's number of replicas.
    """
    if "compact" in found.get(POLICY, "") and not keyed:
        yield (
            f"{POLICY} = {found[POLICY]} rejects records without a key; "
            "set event.key, or set it to delete"
        )
    elif "compact" in found.get(POLICY, ""):
        yield f"{POLICY} = {found[POLICY]} keeps one record of each key; set it to delete"
    if found.get(STAMP) != "LogAppendTime":
        yield from _timestamps(found)
    if int(found.get(SIZE, DEFAULT_SIZE)) < DEFAULT_SIZE:
        yield f"larger outputs than {SIZE} = {int(found[SIZE]):,} become dead letters; raise it"
    least = int(found.get(REPLICAS, 1))
    if replicas is not None and least == replicas > 1:
        yield f"{REPLICAS} = {least} of {replicas} replicas stops when one broker is down; lower it"
    kept = int(found.get(RETENTION, -1))
    if "delete" in found.get(POLICY, "delete") and 0 <= kept < DAY_MS:
        yield f"{RETENTION} = {kept} deletes outputs within {kept / 3_600_000:g} h; raise it"


def impossible(found: Mapping[str, str], replicas: int | None) -> str | None:
    """Return why a topic with these settings refuses every record, with the fix."""
    least = int(found.get(REPLICAS, 1))
    if replicas is not None and least > replicas:
        return f"{REPLICAS} = {least} and {replicas} replicas reject every record; lower it"
    return None


def unfit_for_state(
    found: Mapping[str, str], *, partitions: int, inputs: int, largest: int
) -> str | None:
    """Return why a topic cannot hold the state of `inputs` partitions, with the fix.

    `found` are those of its settings that are known, `largest` the bytes of its largest record.
    """
    if found.get(POLICY, "compact") != "compact":
        return f"{POLICY} = {found[POLICY]} deletes keys; set it to compact"
    if partitions < inputs:
        return f"{partitions} partitions, and the input has {inputs}; add partitions"
    if int(found.get(SIZE, largest)) < largest:
        return (
            f"{SIZE} = {int(found[SIZE]):,}, and the state of a key takes {largest:,} bytes; raise "
            "it, or declare fewer features"
        )
    return None


def _timestamps(found: Mapping[str, str]) -> Iterator[str]:
    """Yield the limits of the event's own time; the old setting applies to both directions."""
    for name, usual in ((BEFORE, PAST_MS), (AFTER, AHEAD_MS), (DIFFERENCE, PAST_MS)):
        limit = int(found.get(name, usual))
        if limit < usual:
            side = {BEFORE: "older", AFTER: "newer"}.get(name, "older or newer")
            yield (
                f"{name} = {limit} rejects events that are {side} than {limit / DAY_MS:g} days; "
                f"raise it, or set {STAMP} = LogAppendTime"
            )
