"""Report the state of the service to systemd. Outside systemd, this does nothing.

READY, RELOADING, STOPPING   where the service is in its life
WATCHDOG                     the loop has turned; one that hangs says nothing, and is restarted
STATUS                       a sentence for `systemctl status`
EXTEND_TIMEOUT_USEC          a start, a fit or a stop takes long, and continues

The protocol is that of sd_notify(3): a datagram of `NAME=value` lines, sent to `$NOTIFY_SOCKET`.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detectd.telemetry.health import Health
    from detectd.telemetry.state import State

# The loop may turn a thousand times in a second; no reader needs that much.
BEAT_SECONDS = 1.0

# A running fit reports every BEAT_SECONDS. One during the start reports only when it is done.
HOLD_SECONDS = 30
START_SECONDS = 1800

# A manager that is too busy to read: what marks a change of state is worth waiting for.
PATIENCE_SECONDS = 2.0


class SystemdNotifier:
    """The service manager that started this process, if there is one. `health` has the loop's
    state."""

    def __init__(self, health: Health, environment: Mapping[str, str] = os.environ) -> None:
        self._health = health
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog = _watchdog_seconds(environment)
        self._beat = -math.inf
        self._events = 0

    def starting(self) -> None:
        """Report the start: a model is loaded, and may have to be fitted again."""
        self._tell(STATUS="loading the model", **_extension(START_SECONDS))

    def ready(self) -> None:
        """Note that the stream is open, or open again; a reload is over."""
        self._tell(READY=1, **self._longer())

    def turned(self, events: int) -> None:
        """Note that the loop has turned, and `events` have been answered in all."""
        now = self._health.clock()
        passed = now - self._beat
        if passed < BEAT_SECONDS:
            return
        rate = (events - self._events) / passed
        self._beat, self._events = now, events
        self._knock(WATCHDOG=1, STATUS=sentence(self._health.state, rate, now))

    def holding(self) -> None:
        """Note that a model is being trained, and the loop keeps its place in the group
        meanwhile."""
        now = self._health.clock()
        if now - self._beat >= BEAT_SECONDS:
            self._beat = now
            self._knock(WATCHDOG=1, STATUS="training a model", **_extension(HOLD_SECONDS))

    def waiting(self, why: str, within: float) -> None:
        """Note that the other side is away; the next try takes less than `within` seconds."""
        self._tell(WATCHDOG=1, STATUS=f"waiting: {why}", **self._longer(), **_extension(within))

    def reloading(self) -> None:
        """Note that the configuration is being read again; `ready` says when that is over."""
        self._tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopping(self) -> None:
        """Note that the batch in hand has been committed, and nothing more is read."""
        self._tell(STOPPING=1, STATUS="stopping")

    def _longer(self) -> dict[str, int]:
        """Return what allows a turn to take longer than the unit's WatchdogSec= does, if it may."""
        allowed = self._health.state.allowed
        if not 0 < self._watchdog < allowed:
            return {}
        self._watchdog = allowed
        return {"WATCHDOG_USEC": _microseconds(allowed)}

    def _tell(self, **state: str | int) -> None:
        _send(self._address, state, PATIENCE_SECONDS)

    def _knock(self, **state: str | int) -> None:
        """Say what will be said again soon. The loop does not wait."""
        _send(self._address, state, 0.0)


def sentence(state: State, rate: float, now: float) -> str:
    """Return how the service is doing at `rate` events a second, and what troubles it most."""
    troubles = [not_ready_reason.why for not_ready_reason in state.not_ready_reasons(now)]
    troubles += state.warnings
    return "; ".join([*_performance(state, rate), *troubles[:1]])


def _performance(state: State, rate: float) -> Iterator[str]:
    if state.serving is None:
        return
    promise = state.serving.promise
    scored, abstained = sum(state.observed.values()), state.observed.get("abstain", 0)
    share = f"{100 * abstained / scored:.1f} %" if scored else "none yet"
    upper = promise.exact.rejection_rate_upper if promise.exact else None
    promised = "" if upper is None else f" of a promised {100 * upper:.1f} %"
    yield f"{rate:,.0f} events/s, abstaining {share}{promised}"
    if state.standby:
        yield "standby: other members of the group own all partitions"


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Return what the manager allows between two WATCHDOG=1; 0 if it does not watch this
    process."""
    ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    allowed = environment.get("WATCHDOG_USEC", "")
    return int(allowed) / 1e6 if ours and allowed.isdecimal() else 0.0


def _extension(seconds: float) -> dict[str, int]:
    return {"EXTEND_TIMEOUT_USEC": _microseconds(seconds)}


def _microseconds(seconds: float) -> int:
    return math.ceil(seconds * 1e6)


def _send(address: str, state: Mapping[str, str | int], patience: float) -> None:
    """Send the state to the manager, unless it is gone or does not read."""
    if not address:
        return
    lines = (f"{name}={' '.join(str(value).splitlines())}" for name, value in state.items())
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.settimeout(patience)
        channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        channel.send("\n".join(lines).encode())
