"""Tables of keys in tests: a kernel in plain Python, and the laws of a table said plainly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from detectd.features.key_rows import HEADER_WORDS, kept, name_of
from detectd.features.key_table import KeyTable
from detectd.features.silence import STRAYED

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = 3
NAN = math.nan


def score(table: KeyTable, events: list[tuple[Any, float, float]]) -> list[tuple[Any, ...]]:
    """Let (key, time, value) events pass; return for each what its key remembered before."""
    slots = table.slots_of([key for key, _, _ in events], np.array([time for _, time, _ in events]))
    out = []
    for i, (_, _, value) in enumerate(events):
        known = (int(slots.earlier[i]), bool(slots.lag_ms[i] > 0.0))
        if slots.slot[i] < 0:
            out.append((*known, None))
            continue
        state = table.rows[slots.slot[i], HEADER_WORDS:]
        if slots.fresh[i]:
            state[:] = 0.0
        out.append((*known, state.tolist()))
        remember(state, value)
    return out


def remember(state: Any, value: float) -> None:
    """Update a state of `WORDS` words; the kernel of these tests."""
    state[0] += 1.0
    state[1] = state[1] * 0.5 + value
    state[2] = value


def contents(table: KeyTable) -> dict[bytes, bytes]:
    """Return each key's row, bit by bit."""
    return {name_of(key): table.rows[slot].tobytes() for slot, key in enumerate(list(table._keys))}


class PlainTable:
    """The same by a dict in the order of recency: one event after the other, no arrays."""

    def __init__(
        self, max_keys: int, idle_ms: float, silent_ms: float, *, refuse_late: bool
    ) -> None:
        self.max_keys, self.idle_ms, self.refuse_late = max_keys, idle_ms, refuse_late
        self.silent_ms = silent_ms
        self.clock, self.latest, self.strayed = 0.0, NAN, 0
        self.silences: list[tuple[Any, ...]] = []
        self.keys: dict[Any, dict[str, Any]] = {}
        self.evicted = self.expired = self.events = 0

    def score(self, key: Any, time: float, value: float) -> tuple[Any, ...]:
        """Let one event pass; see `score`."""
        known = self.keys.pop(key, None)
        self.events += 1
        if known is None and len(self.keys) == self.max_keys:
            loser = next(iter(self.keys))
            self._end(loser, self.keys.pop(loser), NAN, forgotten=True)
            self.evicted += 1
        if known is not None and time - known["latest"] > self.idle_ms:
            self._end(key, known, time)
            known = None
            self.expired += 1
        known = known or {"count": 0, "latest": NAN, "silent": 0, "state": [0.0] * WORDS}
        self.keys[key] = known
        late = time < known["latest"]
        if late and self.refuse_late:
            return known["count"], late, None
        before = (known["count"], late, [*known["state"]])
        if not late:
            self._end(key, known, time)
        known["count"] += 1
        self._tick(time)
        if not late:
            known["seen"] = self.clock
            known["latest"] = known["latest"] if math.isnan(time) else time
        remember(known["state"], value)
        silent = lambda key: self.clock - self.keys[key]["seen"] > self.silent_ms  # noqa: E731
        self._begin(silent, self.events - 1)
        return before

    def silence_all(self) -> None:
        self._begin(lambda _: True, math.inf)

    def _tick(self, time: float) -> None:
        if time > self.latest or math.isnan(self.latest):
            step = time - self.latest
            self.clock += 0.0 if math.isnan(step) else min(step, self.silent_ms / 2)
            self.latest, self.strayed = time, 0
        elif not math.isnan(time):
            self.strayed = self.strayed + 1 if self.latest - time > self.silent_ms else 0
            if self.strayed == STRAYED:
                self.latest, self.strayed = time, 0

    def _begin(self, silent: Any, moment: float) -> None:
        found = [key for key in self.keys if not self.keys[key]["silent"] and silent(key)]
        for key in sorted(found, key=lambda key: (self.keys[key]["seen"], name_of(kept(key)))):
            known = self.keys[key]
            known["silent"] = known["count"]
            self.silences.append(
                ("open", kept(key), known["latest"], known["count"], NAN, False, moment)
            )

    def _end(self, key: Any, known: Any, time: float, *, forgotten: bool = False) -> None:
        if known["silent"]:
            which = (kept(key), known["latest"], known["silent"])
            self.silences.append(("close", *which, time, forgotten, self.events - 1))
        known["silent"] = 0


# Few keys and times that collide, step back and are missing.
KEYS = st.sampled_from([None, b"", b"a", b"b", b"c", b"\xff", b"k" * 300, b"k" * 301])
TIMES = st.one_of(st.integers(0, 60).map(float), st.just(NAN))
EVENTS = st.lists(st.tuples(KEYS, TIMES, st.sampled_from([0.0, -0.0, 1.5, NAN, 7.0])), max_size=12)
LIMITS = st.fixed_dictionaries(
    {
        "max_keys": st.integers(1, 9),
        "idle_ms": st.sampled_from([5.0, 20.0, math.inf]),
        "silent_ms": st.sampled_from([2.0, 7.0, math.inf]),
        "refuse_late": st.booleans(),
    }
)


def _late_events(drawn: list[tuple[bytes, int, int]]) -> Iterator[tuple[bytes, float, float]]:
    """Yield events whose time goes on in steps, some of them behind it."""
    now = 0
    for key, step, behind in drawn:
        now += step
        yield key, float(now - behind), 1.5


# Limits, and events that are late before, during and after a silence of their key.
LATE = st.tuples(
    st.fixed_dictionaries(
        {
            "max_keys": st.integers(2, 4),
            "idle_ms": st.sampled_from([12.0, math.inf]),
            "silent_ms": st.sampled_from([2.0, 5.0]),
            "refuse_late": st.just(False),
        }
    ),
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 3), st.sampled_from([0, 0, 0, 20])
        ),
        min_size=10,
        max_size=40,
    ).map(lambda drawn: [*_late_events(drawn)]),
)
