"""A drift alarm, and what its record says of it but for its shares."""

from __future__ import annotations

from detectd.rejection.drift import Alarm

ALARM = Alarm(3, 100, 40, "more anomalies", (0.5, 0.2, 0.3), (0.8, 0.1, 0.1))
# What all alerts have, but for the id.
FRAME = {
    "kind": "drift",
    "state": "open",
    "key": None,
    "since": None,
    "until": None,
    "severity": "warning",
    "summary": "drift alarm 3 of model m: more anomalies",
}
MOVED = {
    "alert": "drift",
    "model": "m",
    "number": 3,
    "event": 100,
    "after": 40,
    "moved": "more anomalies",
}
