"""What goes wrong in a campaign, drawn beforehand: the same seed gives the same faults."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SESSION_SECONDS = 6.0
BROKER_SESSION_SECONDS = 3.0

# Processes take so long to start.
FIRST = 4.0
GAP = (0.5, 5.0)
FROZEN = (1.1 * SESSION_SECONDS, 2.0 * SESSION_SECONDS)

# A broker killed and back before the others have missed it takes itself for the coordinator that it
# was: Kafka 4.4.0 then finishes transactions from the end of its log that nobody else has, and
# drops them when it learns better. Half of such a transaction is committed, whatever client wrote.
DOWN = (1.5 * BROKER_SESSION_SECONDS, 2.5 * BROKER_SESSION_SECONDS)


class Kind(StrEnum):
    """A fault, as the campaign names it."""

    KILL = "kill -9 a process"
    FREEZE = "freeze a process"
    ADD = "add a process"
    REMOVE = "remove a process"
    BROKER_TERM = "stop a broker with SIGTERM"
    BROKER_KILL = "stop a broker with SIGKILL"


WEIGHTS = {
    Kind.KILL: 5,
    Kind.FREEZE: 3,
    Kind.ADD: 2,
    Kind.REMOVE: 2,
    Kind.BROKER_TERM: 1,
    Kind.BROKER_KILL: 1,
}


@dataclass(frozen=True)
class Fault:
    """At so many seconds this happens; `pick` in [0, 1) says to whom, `lasts` for how long."""

    at: float
    kind: Kind
    pick: float
    lasts: float


def draw(seed: int, seconds: float) -> list[Fault]:
    """The faults of a campaign: first each kind once, in any order, then by weight."""
    dice = random.Random(seed)
    first = dice.sample(list(Kind), len(Kind))
    faults: list[Fault] = []
    at = FIRST
    while at < seconds:
        kind = first.pop() if first else dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        lasts = dice.uniform(*(FROZEN if kind == Kind.FREEZE else DOWN))
        faults.append(Fault(at, kind, dice.random(), lasts))
        at += dice.uniform(*GAP)
    return faults
