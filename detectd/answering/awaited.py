"""The partitions that a warm-up waits for, so that no partition alone makes the model. Pure.

A consumer that has much to catch up on gets its records from one partition after another. So the
warm-up waits for each assigned partition until it has delivered its share of the rows, has been
read to its end, or is silent: an empty partition, a broker that is away, and one that never lags
hold nothing up. What was waited for once is not waited for again, unless it leaves and comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long a partition may deliver nothing before nobody waits for it.
SILENT_SECONDS = 30.0


def delivers(lag: int | None, silent: float) -> bool:
    """Whether a partition has more to give: its lag, None if unknown, and its silent seconds."""
    return lag != 0 and silent <= SILENT_SECONDS


class Awaited:
    """`names` are those that are waited for; None as long as nothing is known of a group's."""

    def __init__(self, *, shared: bool) -> None:
        self.names: list[str] | None = None if shared else []
        self._settled: set[str] = set()

    def look(self, assigned: Mapping[str, bool] | None, seen: Mapping[str, int], rows: int) -> None:
        """Look at what is assigned and whether it `delivers`, None in no group; and at how many
        rows each has given of those that all are to give together."""
        if assigned is None:
            return
        share = math.ceil(rows / max(1, len(assigned)))
        self._settled &= assigned.keys()
        self._settled |= {
            name for name, more in assigned.items() if not more or seen.get(name, 0) >= share
        }
        self.names = [name for name in assigned if name not in self._settled]

    def begin_again(self) -> None:
        """New rows are wanted: those that have none to give are found out again."""
        self._settled.clear()
