"""A simulated fleet whose hosts differ, each with days of its own, and faults at known times.

What a host measures follows its load, as in `detectd demo`. The load has a level, an amplitude, a
phase and a noise of the host's own, and the noise lasts: each value keeps seven tenths of that of
the one before. Every host reports about every ten minutes, at its own second or up to 20 s off.

spike      one value of the latency is 60 to 120 ms higher
shift      for eight hours the latency is 1.6 to 2.2 times what it was
leak       for sixteen hours the memory grows, by 15 to 25 points in the end
untimely   for two hours of its night the host has the load of its day's peak
frozen     for six hours the host repeats its last values
silent     for six hours there is nothing from the host
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from detectd.commands.demo_fleet import FEATURES, START, healthy_telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

METRICS = ("cpu", "memory", "latency_ms")
STEPS_A_DAY, STEP_MS = 144, 600_000
JITTER_MS = 20_000
NOISE_LASTS = 0.7
# How many values a fault lasts.
LASTS = {"spike": 1, "shift": 48, "leak": 96, "untimely": 12, "frozen": 36, "silent": 36}
KINDS = tuple(LASTS)
SILENT = "silent"


class Plan(NamedTuple):
    """How large a fleet is: the days before the first fault, those with faults, of each kind."""

    hosts: int
    quiet_days: int
    days: int
    faults: int
    seed: int

    @property
    def first(self) -> int:
        """The step from which on there may be faults."""
        return self.quiet_days * STEPS_A_DAY

    @property
    def steps(self) -> int:
        """How many values of each host there are, without faults."""
        return self.first + self.days * STEPS_A_DAY


class Fault(NamedTuple):
    """What happened to a host, from step `first` on, until before step `end`."""

    kind: str
    host: int
    first: int
    end: int


class Fleet:
    """The values (steps, hosts, metrics) of a fleet, their times in ms, and what went wrong.

    No host has more than one fault.
    """

    def __init__(self, plan: Plan) -> None:
        rng = np.random.default_rng(plan.seed)
        self.plan = plan
        hosts = plan.hosts
        self._level, self._amplitude = rng.uniform(0.35, 0.6, hosts), rng.uniform(0.1, 0.25, hosts)
        self._phase, noise = rng.uniform(0, 1, hosts), rng.uniform(0.01, 0.04, hosts)
        self.faults = self._planned(rng)
        load = self._loads(rng, noise)
        measured = healthy_telemetry(rng, load.ravel())
        values = np.stack([measured[FEATURES.index(name)] for name in METRICS], axis=-1)
        self.values = values.reshape(plan.steps, hosts, len(METRICS)).round(3)
        self.silent = np.zeros((plan.steps, hosts), dtype=bool)
        for fault in self.faults:
            self._strike(rng, fault)
        jitter = rng.integers(-JITTER_MS, JITTER_MS, (plan.steps, hosts))
        self.times_ms = (
            START.astype(int)
            + np.arange(plan.steps)[:, None] * STEP_MS
            + JITTER_MS
            + rng.permutation(hosts) * (STEP_MS - 2 * JITTER_MS) // hosts
            + jitter
        )

    def write(self, path: Path, first: int, end: int) -> None:
        """Append what comes in these steps to a file of JSON lines, in the order of time."""
        times, values = self.times_ms[first:end], self.values[first:end]
        steps, hosts = np.nonzero(~self.silent[first:end])
        order = np.argsort(times[steps, hosts], kind="stable")
        steps, hosts = steps[order], hosts[order]
        stamps = np.datetime_as_string(times[steps, hosts].astype("datetime64[ms]")).tolist()
        encode = msgspec.json.Encoder().encode
        with path.open("ab") as file:
            rows = zip(stamps, hosts.tolist(), values[steps, hosts].tolist(), strict=True)
            for stamp, host, row in rows:
                event = {"time": f"{stamp}Z", "host": name(host)}
                event |= dict(zip(METRICS, row, strict=True))
                file.write(encode(event) + b"\n")

    def _loads(self, rng: np.random.Generator, noise: Floats) -> Floats:
        """Return the loads (steps, hosts), the untimely ones among them."""
        steps, hosts = self.plan.steps, self.plan.hosts
        wave = np.sin(2 * np.pi * (np.arange(steps)[:, None] / STEPS_A_DAY + self._phase))
        for fault in self.faults:
            if fault.kind == "untimely":
                wave[fault.first : fault.end, fault.host] = 1.0
        wandering = rng.normal(0, 1, (steps, hosts))
        for step in range(1, steps):
            fresh = (1 - NOISE_LASTS**2) ** 0.5 * wandering[step]
            wandering[step] = NOISE_LASTS * wandering[step - 1] + fresh
        loads: Floats = self._level + self._amplitude * wave + noise * wandering
        return loads

    def _planned(self, rng: np.random.Generator) -> list[Fault]:
        struck = rng.permutation(self.plan.hosts)[: len(KINDS) * self.plan.faults].tolist()
        return [
            self._placed(rng, KINDS[number % len(KINDS)], host)
            for number, host in enumerate(struck)
        ]

    def _placed(self, rng: np.random.Generator, kind: str, host: int) -> Fault:
        """Return a fault that ends an hour before the stream does, at the latest."""
        lasts = LASTS[kind]
        first, last = self.plan.first, self.plan.steps - lasts - 6
        at = int(rng.integers(first, last))
        if kind == "untimely":
            night = round((0.75 - self._phase[host]) % 1 * STEPS_A_DAY) - lasts // 2
            nights = first + night % STEPS_A_DAY + STEPS_A_DAY * np.arange(self.plan.days)
            at = int(rng.choice(nights[nights <= last]))
        return Fault(kind, host, at, at + lasts)

    def _strike(self, rng: np.random.Generator, fault: Fault) -> None:
        """Write what a fault does into the values; an untimely one is in the load already."""
        values = self.values[fault.first : fault.end, fault.host]
        memory, latency = METRICS.index("memory"), METRICS.index("latency_ms")
        if fault.kind == "spike":
            values[:, latency] += rng.uniform(60, 120)
        elif fault.kind == "shift":
            values[:, latency] *= rng.uniform(1.6, 2.2)
        elif fault.kind == "leak":
            grown = rng.uniform(15, 25) * np.arange(1, len(values) + 1) / len(values)
            values[:, memory] = np.minimum(values[:, memory] + grown, 100)
        elif fault.kind == "frozen":
            values[:] = self.values[fault.first - 1, fault.host]
        elif fault.kind == SILENT:
            self.silent[fault.first : fault.end, fault.host] = True
        self.values[fault.first : fault.end, fault.host] = values.round(3)


def name(host: int) -> str:
    """What the events call a host."""
    return f"host-{host:03}"
