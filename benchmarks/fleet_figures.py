"""What was found in a simulated fleet, what was not, and how the promise fared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.fleet_stream import KINDS, SILENT, STEP_MS, STEPS_A_DAY, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.fleet_runs import Answer
    from benchmarks.fleet_stream import Fault, Fleet

    Flags = NDArray[np.bool_]

# Anomalies of a host are one alarm until so many of its values in a row were none.
QUIET = 50
# For so many steps after a fault its end is a change as well: neither found nor false.
AFTERMATH = 6
DAY_MS = STEPS_A_DAY * STEP_MS


class Verdicts:
    """What was said of each step of each host (steps, hosts), of the days with faults alone."""

    def __init__(self, fleet: Fleet, answers: Sequence[Answer]) -> None:
        plan = fleet.plan
        hosts = {name(host): host for host in range(plan.hosts)}
        places = {
            (host, int(time)): step
            for step in range(plan.first, plan.steps)
            for host, time in enumerate(fleet.times_ms[step])
        }
        shape = (plan.steps - plan.first, plan.hosts)
        self.judged, self.anomaly, self.abstained = (np.zeros(shape, dtype=bool) for _ in range(3))
        for answer in answers:
            host = hosts[answer.key]
            step = places[host, answer.timestamp] - plan.first
            self.judged[step, host] = True
            self.anomaly[step, host] = answer.verdict == "anomaly"
            self.abstained[step, host] = answer.verdict == "abstain"


class Found(NamedTuple):
    """Of how many faults of a kind how many were found, and the median of minutes until then.

    `by_chance` is how many would have been: how often hosts without a fault, in the same hours,
    have an anomaly.
    """

    kind: str
    there: int
    found: int
    by_chance: float
    minutes: float | None


class Silences(NamedTuple):
    """Hosts that fell silent, those of which there was an alert, and alerts of others."""

    there: int
    found: int
    false: int


class FalseAlarms(NamedTuple):
    """A host and day: anomalies outside of any fault, and alarms that they make."""

    anomalies: float
    alarms: float


class Abstention(NamedTuple):
    """How often it abstained from all events, and from those of hosts without a fault.

    The latter also by day and by host. `spread` is the variance of the shares of hosts, over that
    of independent events; `again` is how many times as likely an abstention is right after another.
    """

    rate: float
    healthy: float
    days: list[float]
    least: float
    most: float
    spread: float
    again: float


def found(fleet: Fleet, verdicts: Verdicts) -> list[Found]:
    """What was found of each kind that anomalies can show."""
    rows = []
    for kind in KINDS:
        if kind == SILENT:
            continue
        faults = [fault for fault in fleet.faults if fault.kind == kind]
        waits = [_minutes_until_anomaly(fleet, fault, verdicts) for fault in faults]
        seen = [wait for wait in waits if wait is not None]
        chance = sum(_by_chance(fleet, fault, verdicts) for fault in faults)
        middle = float(np.median(seen)) if seen else None
        rows.append(Found(kind, len(faults), len(seen), chance, middle))
    return rows


def silences(fleet: Fleet, alerts: Sequence[tuple[str, int]]) -> Silences:
    """Compare alerts, by key and the time of its last event, with the hosts that stopped."""
    there = {
        (name(fault.host), int(fleet.times_ms[fault.first - 1, fault.host]))
        for fault in fleet.faults
        if fault.kind == SILENT
    }
    return Silences(len(there), len(there.intersection(alerts)), len(set(alerts) - there))


def false_alarms(fleet: Fleet, verdicts: Verdicts, *, struck: bool) -> FalseAlarms:
    """Count on the hosts that have a fault, outside of it, or on those that have none."""
    anomaly = verdicts.anomaly & ~inside(fleet)
    hosts = struck_hosts(fleet) if struck else ~struck_hosts(fleet)
    alarms = sum(_episodes(np.flatnonzero(anomaly[:, host])) for host in np.flatnonzero(hosts))
    host_days = max(int(hosts.sum()), 1) * fleet.plan.days
    return FalseAlarms(float(anomaly[:, hosts].sum()) / host_days, alarms / host_days)


def abstention(fleet: Fleet, verdicts: Verdicts) -> Abstention:
    """Look at all judged events, and at those of hosts without a fault."""
    well = verdicts.abstained[:, ~struck_hosts(fleet)]
    days = [float(day.mean()) for day in np.split(well, fleet.plan.days)]
    shares, rate = well.mean(axis=0), float(well.mean())
    independent = rate * (1 - rate) / len(well)
    after = well[1:][well[:-1]]
    return Abstention(
        float(verdicts.abstained.sum() / verdicts.judged.sum()),
        rate,
        days,
        float(shares.min()),
        float(shares.max()),
        float(shares.var(ddof=1) / independent) if independent else 1.0,
        float(after.mean()) / rate if len(after) else 0.0,
    )


def inside(fleet: Fleet) -> Flags:
    """Which steps of which hosts (steps, hosts) are in a fault or its aftermath."""
    plan = fleet.plan
    during = np.zeros((plan.steps, plan.hosts), dtype=bool)
    for fault in fleet.faults:
        during[fault.first : fault.end + AFTERMATH, fault.host] = True
    return during[plan.first :]


def struck_hosts(fleet: Fleet) -> Flags:
    """Which hosts (hosts,) have a fault."""
    struck = np.zeros(fleet.plan.hosts, dtype=bool)
    struck[[fault.host for fault in fleet.faults]] = True
    return struck


def _minutes_until_anomaly(fleet: Fleet, fault: Fault, verdicts: Verdicts) -> float | None:
    """Minutes from a fault's first value to the first anomaly in it; None if there is none."""
    first = fleet.plan.first
    hits = np.flatnonzero(verdicts.anomaly[fault.first - first : fault.end - first, fault.host])
    return float(hits[0]) * STEP_MS / 60_000 if len(hits) else None


def _by_chance(fleet: Fleet, fault: Fault, verdicts: Verdicts) -> float:
    """The share of hosts without a fault that have an anomaly in the hours of this one."""
    first = fleet.plan.first
    well = verdicts.anomaly[fault.first - first : fault.end - first, ~struck_hosts(fleet)]
    return float(well.any(axis=0).mean())


def _episodes(steps: NDArray[np.intp]) -> int:
    """How many alarms anomalies at these steps make."""
    return int(len(steps) > 0) + int((np.diff(steps) > QUIET).sum())
