"""Telemetry with known faults, as JSON lines: a fleet with a daily cycle, and a log of requests."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np

HOSTS, STEPS_A_DAY = 20, 288
START = datetime(2026, 11, 2, tzinfo=UTC)
METRICS = ("cpu", "memory", "latency_ms", "errors")
# What a fault does, and to which metric. The last one is as usual, but twelve hours too early.
FAULTS = {"slow": "latency_ms", "failing": "errors", "leaking": "memory", "untimely": "cpu"}


def telemetry(first_day, days, faults=0, missing=0.02):
    """The lines of these days, and of each fault: its line from 0, what it is, whether it shows.

    A fault shows unless the metric that it strikes is among the missing.
    """
    rng = np.random.default_rng([11, first_day])
    count = days * STEPS_A_DAY * HOSTS
    struck = rng.choice(count, faults, replace=False).tolist()
    kinds = {at: list(FAULTS)[number % len(FAULTS)] for number, at in enumerate(struck)}
    lines, known = [], []
    for i in range(count):
        step, host = divmod(i, HOSTS)
        values = metrics(rng, (first_day * STEPS_A_DAY + step) / STEPS_A_DAY, host, kinds.get(i))
        gone = rng.random(len(METRICS)) < missing
        event = {
            "time": (START + timedelta(days=first_day, minutes=5 * step)).isoformat(),
            "host": f"host-{host:02}",
        }
        event |= {name: v for name, v, lost in zip(METRICS, values, gone, strict=True) if not lost}
        lines.append(json.dumps(event))
        if i in kinds:
            known.append((i, kinds[i], FAULTS[kinds[i]] in event))
    return lines, known


def metrics(rng, day, host, fault):
    """Return what a host measures at that time of day, healthy or with the fault."""
    size, wave = 0.85 + 0.3 * host / HOSTS, 0.3 * math.sin(2 * math.pi * day)
    load = max(size * (0.45 + wave) + rng.normal(0, 0.03), 0.01)
    cpu = 100 * (size * (0.45 - wave) if fault == "untimely" else load)
    memory = 40 + 30 * load + rng.normal(0, 2) + 45 * (fault == "leaking")
    latency = rng.gamma(25, 0.4 + 1.6 * load**2) * (20 if fault == "slow" else 1)
    errors = int(rng.poisson(1 + 2 * load)) + 60 * (fault == "failing")
    return round(cpu, 2), round(memory, 2), round(latency, 2), errors


def requests(count, faults=()):
    """Lines of a web server's log; at `faults` a request takes twenty times as long."""
    rng = np.random.default_rng(3)
    latency, size = rng.lognormal(3.7, 0.35, count), rng.lognormal(9, 0.8, count)
    latency[list(faults)] *= 20
    return [
        json.dumps(
            {
                "time": (START + timedelta(seconds=i)).isoformat(),
                "path": f"/items/{i % 17}",
                "status": 200 if i % 50 else 404,
                "bytes": round(size[i]),
                "latency_ms": round(latency[i], 1),
            }
        )
        for i in range(count)
    ]
