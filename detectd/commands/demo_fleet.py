"""Simulate a fleet of hosts that report telemetry, with known faults, for the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FEATURES = ("cpu", "memory", "disk_ms", "latency_ms", "errors", "queue")
HOSTS = 48
EVENTS_A_DAY = 5_000
FAULT_RATE = 0.02
START = np.datetime64("2026-03-02T00:00:00", "ms")


def write_fleet(path: Path, seed: int, first: int, count: int) -> None:
    """Write events `first` to `first + count` as JSON lines; the field `fault` is the true label.

    Load follows the hour of the day and differs by host. The hosts are spread around the globe, so
    the load of the whole fleet is constant. A fault of random severity affects one event in fifty
    and moves one or two features, so mild faults look like a busy hour.
    """
    rng = np.random.default_rng([seed, first])
    rows, faults = _telemetry(rng, np.arange(first, first + count))
    times = START + (np.arange(first, first + count) * (86_400_000 / EVENTS_A_DAY)).astype(int)
    stamps = np.datetime_as_string(times, unit="ms").tolist()
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for i, values in enumerate(rows.round(3).tolist()):
            event = {"time": stamps[i] + "Z", "host": f"host-{(first + i) % HOSTS:02d}"}
            event |= dict(zip(FEATURES, values, strict=True))
            event["fault"] = bool(faults[i])
            file.write(encode(event) + b"\n")


def _telemetry(
    rng: np.random.Generator, ticks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return telemetry (k, 6) in the order of FEATURES, and which events are faults (k,)."""
    count, host = len(ticks), ticks % HOSTS
    hour = 2 * np.pi * (ticks / EVENTS_A_DAY + host / HOSTS)
    size = 0.8 + 0.4 * (host * 29 % HOSTS) / HOSTS  # large and small hosts everywhere
    load = size * (0.45 + 0.2 * np.sin(hour)) + rng.normal(0, 0.04, count)
    cpu, memory, disk, latency, errors, queue = healthy_telemetry(rng, load)
    faults = rng.random(count) < FAULT_RATE
    severity = np.where(faults, rng.gamma(3, 0.6, count), 0)
    kind = rng.integers(0, 4, count)
    memory = np.minimum(memory + np.where(kind == 0, 18 * severity, 0), 100)  # a leak
    disk += np.where(kind == 1, 22 * severity, 0)  # a failing disk
    latency += np.where(kind == 1, 30 * severity, 0)
    errors += np.where(kind == 2, np.round(9 * severity), 0)  # a bad release
    queue += np.where(kind == 3, 25 * severity, 0)  # a stuck consumer
    cpu = np.where(kind == 3, cpu / (1 + severity), cpu)
    return np.column_stack([cpu, memory, disk, latency, errors, queue]), faults


def healthy_telemetry(
    rng: np.random.Generator, load: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Return the measurements of hosts under these loads (k,), each (k,), in the order of
    FEATURES."""
    count = len(load)
    busy = np.clip(load, 0.05, None)
    cpu = 100 * np.clip(load + rng.normal(0, 0.03, count), 0.01, 1)
    memory = 100 * np.clip(0.35 + 0.4 * load + rng.normal(0, 0.03, count), 0.05, 1)
    disk = rng.gamma(4, 1 + 2 * busy)
    latency = rng.gamma(9, 2 + 4 * busy**2)
    errors = rng.poisson(0.6 + load.clip(0), count).astype(float)
    queue = rng.gamma(2, 1 + 6 * busy**2)
    return cpu, memory, disk, latency, errors, queue
