"""The configurations under config/, with events for them and the places a test must change."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from tests.support.paths import ROOT

CONFIG = ROOT / "config"
FEATURES = ("cpu", "memory", "latency_ms")
SENSORS = ("current", "pressure", "flow")
WARMUP, COUNT = 400, 1000
SOON = {"DETECTD_TRAINING__WARMUP": str(WARMUP), "DETECTD_SERVER__LISTEN": ""}


def metrics(count=COUNT):
    """Rows of the three features, a few of them far out."""
    rng = np.random.default_rng(1)
    return rng.normal(50, 5, (count, 3)) + 60 * (rng.random((count, 1)) < 0.02)


def json_lines(count=COUNT):
    """Return events of the three features as lines of JSON."""
    when = "2026-11-23T12:00:00Z"
    return [
        json.dumps({"time": when} | dict(zip(FEATURES, row, strict=True)))
        for row in metrics(count).tolist()
    ]


def fleet(hosts=10, reports=100):
    """Return events of hosts, one a minute from each; in the last of them h0 is as busy as h9."""
    rng = np.random.default_rng(2)
    sent = np.zeros(hosts)
    lines = []
    for minute in range(reports):
        cpu = 10.0 * np.arange(hosts) + rng.normal(0, 1, hosts)
        sent += rng.poisson(1000, hosts)
        if minute == reports - 1:
            cpu[0] = cpu[-1]
        lines += [
            json.dumps(
                {
                    "time": 1_800_000_000 + 60 * minute,
                    "host": f"h{host}",
                    "cpu": float(cpu[host]),
                    "bytes_sent": float(sent[host]),
                    "version": "1.0",
                }
            )
            for host in range(hosts)
        ]
    return lines


def hosts_over_time(hosts=4, days=4):
    """Return history and stream of hosts with a daily cycle, and a fault at night."""
    rng = np.random.default_rng(2)
    start = datetime(2026, 11, 23, tzinfo=UTC)
    events = [
        {
            "time": (start + timedelta(minutes=15 * step)).isoformat(),
            "host": f"web-{host}",
            "cpu": round(50 + 8 * host - 20 * np.cos(2 * np.pi * step / 96) + rng.normal(), 2),
        }
        for step in range(96 * days)
        for host in range(hosts)
    ]
    fault = events[(96 * (days - 1) + 2) * hosts]
    fault["cpu"] = 68.0
    lines = [json.dumps(event) for event in events]
    cut = 96 * (days - 1) * hosts
    return lines[:cut], lines[cut:], fault


def sensors(count=COUNT, faulty=50):
    """Return events of three sensors, one a second; in the last ones the flow is lower, though not
    lower than single values of it have been."""
    rng = np.random.default_rng(3)
    rows = rng.normal((1.3, 0.05, 30.0), (0.1, 0.01, 1.0), (count, 3))
    rows[-faulty:, 2] = 28.0
    return [
        json.dumps({"time": 1_800_000_000 + i} | dict(zip(SENSORS, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]


def elsewhere(broker, source, sinks):
    """What a test must say otherwise: the broker, and names that are nobody else's."""
    topics = {f"DETECTD_TOPICS__{kind.upper()}": name for kind, name in sinks.items()}
    return SOON | topics | {
        "DETECTD_SOURCE__TOPICS": json.dumps([source]),
        "DETECTD_KAFKA__BOOTSTRAP_SERVERS": json.dumps(list(broker.servers)),
        "DETECTD_KAFKA__GROUP_ID": source,
    }  # fmt: skip


def answered_from(broker, source):
    """How many records the group has behind it."""
    return sum(mark.offset for mark in broker.committed_offsets(source).values())


def stop_when(satisfied, service, seconds=60):
    """Wait, then ask the service to stop; it must have nothing to complain of."""
    deadline = time.monotonic() + seconds
    while not satisfied() and service.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    service.send_signal(signal.SIGTERM)
    errors = service.stderr.read()
    assert service.wait(timeout=30) == 0, errors
    assert satisfied(), errors
