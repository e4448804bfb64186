"""Where to begin a partition whose offset is missing or out of range.

    offset               brokers have        begin at
    none, group is new   low .. high         low or high, as `auto_offset_reset` says
    none, group is old   low .. high         low: the partition was added since; 0 .. low is lost
    none, or > high      a new topic         low: the topic was deleted and created again
    at < low             low .. high         low: retention has passed; at .. low is lost
    at > high            the same topic      high, or where the logs part if that is known: a broker
                                             that lacked the last records was made leader

`auto_offset_reset` applies to new groups only: a client's own reset would skip records silently.
Counts are differences of offsets, so they include the gaps of transactions and compaction.
"""

from __future__ import annotations

from typing import NamedTuple


class Beginning(NamedTuple):
    """The offset to resume from, and what is skipped.

    `lost` counts the records that can no longer be read. `reset` is whether the brokers' log is not
    the one that was read before.
    """

    offset: int
    lost: int = 0
    reset: bool = False
    reason: str = ""


def beginning(
    at: int | None,
    low: int,
    high: int,
    *,
    new_group: bool,
    latest: bool,
    recreated: bool = False,
    parted: int | None = None,
) -> Beginning:
    """Return where to resume.

    `at` is the partition's previous offset, None if there is none; `low` and `high` are the first
    offset that the brokers have and the one after the last; `parted` is where the log diverged from
    the one that was read, if known.
    """
    if recreated:
        return Beginning(low, low, reset=True, reason=RECREATED)
    if at is None:
        if new_group:
            return Beginning(high if latest else low)
        return Beginning(low, low, reason="retention deleted records of a partition not read yet")
    if parted is not None and low <= parted < at:
        return Beginning(parted, reset=True, reason=CUT_BACK)
    if at < low:
        return Beginning(low, low - at, reason="retention deleted records that were not read yet")
    if at > high:
        return Beginning(high, reset=True, reason=CUT_BACK)
    return Beginning(at)


RECREATED = "the topic was deleted and created again"
CUT_BACK = "the brokers lost the end of the log, and may have written other records there since"
