"""Events of several hosts in turn, some of which stop for a while."""

from __future__ import annotations

import json

import numpy as np

START_MS = 1_760_000_000_000
TURN_MS = 10_000


def fleet_events(turns, hosts=6, seed=0, silent=(), poison=0.0):
    """JSON lines, one host after the other in each turn of ten seconds of event time.

    `silent` are (host, first turn, turn after the last) in which it says nothing.
    """
    rng = np.random.default_rng(seed)
    lines = []
    for turn in range(turns):
        for host in range(hosts):
            a, b, died = rng.normal(), rng.normal(), rng.random() < poison
            if any(who == host and first <= turn < end for who, first, end in silent):
                continue
            time = START_MS + turn * TURN_MS + host
            event = {"host": f"h{host}", "t": time, "a": a, "b": b}
            lines.append("poison" if died else json.dumps(event))
    return lines
