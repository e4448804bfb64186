"""The HTTP endpoints of the service.

/metrics   every metric, in Prometheus's text format
/healthz   200 while the loop turns within its watchdog, else 503
/readyz    200 if events are being answered or this is a standby, else 503, a reason a line
/status    all of it, as JSON

If a token is required, /healthz and /readyz also respond without it, in one word: a health check
needs no more, and a reason may name brokers. If every process of this host has access, /status
omits the zone's position: a sender of events who knows it need not probe.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from detectd import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from detectd.telemetry.health import Health
    from detectd.telemetry.metrics import Metrics
    from detectd.telemetry.state import State

PLAIN = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


# The fields with the zone's ends.
EDGES = ("rank_low", "rank_high", "score_low", "score_high")
WITHHELD = (
    "promise.zone: its ranks and scores are shown with a token (server.token_file) or on a unix "
    "socket (server.listen)"
)


class Page(NamedTuple):
    """A response, independent of HTTP."""

    status: int
    content_type: str
    body: bytes


def pages(
    health: Health, metrics: Metrics, *, edges: bool = True
) -> Mapping[str, Callable[[], Page]]:
    """Return the page of each path, rendered on call; without `edges`, omit the zone's position."""

    def whole() -> Page:
        shown = status(health.state, health.clock(), time.time(), metrics.outputs())
        return Page(200, JSON, _json(shown if edges else _without_edges(shown)))

    return {
        "/metrics": lambda: Page(200, EXPOSITION, metrics.exposition()),
        "/healthz": lambda: healthz(health.state, health.clock()),
        "/readyz": lambda: readyz(health.state, health.clock()),
        "/status": whole,
    }


def probes(health: Health) -> Mapping[str, Callable[[], Page]]:
    """Return the page of each path for clients without the token."""
    return {
        "/healthz": lambda: healthz(health.state, health.clock()),
        "/readyz": lambda: _lines(
            503 if health.state.not_ready_reasons(health.clock()) else 200,
            health.state.word(health.clock()),
        ),
    }


def healthz(state: State, now: float) -> Page:
    """Return the liveness of the loop."""
    return _lines(200 if state.healthy(now) else 503, state.pulse(now))


def readyz(state: State, now: float) -> Page:
    """Return the readiness, and warnings on the configuration."""
    warnings = [f"warning: {warning}" for warning in state.warnings]
    not_ready_reasons = state.not_ready_reasons(now)
    if not_ready_reasons:
        return _lines(
            503, *(not_ready_reason.why for not_ready_reason in not_ready_reasons), *warnings
        )
    if state.standby:
        standby = "ready as a standby: other members of the group own all partitions"
        return _lines(200, standby, *warnings)
    return _lines(200, "ready", *warnings)


def status(state: State, now: float, epoch: float, outputs: Mapping[str, int]) -> dict[str, Any]:
    """Return the full status. Figures have the same names as in the report."""
    uptime = now - state.started
    stale = state.stale(now)
    not_ready_reasons = state.not_ready_reasons(now)
    return {
        "version": __version__,
        "pid": os.getpid(),
        "config": state.config,
        "instance": state.instance,
        "state": state.word(now),
        "ready": not not_ready_reasons,
        "healthy": state.healthy(now),
        "why_not_ready": [not_ready_reason.why for not_ready_reason in not_ready_reasons],
        "warnings": list(state.warnings),
        "withheld": None,
        "started": _moment(epoch - uptime),
        "uptime_seconds": uptime,
        "last_reload": {
            "successful": not state.reload_refused,
            "in_force_since": _moment(epoch - (now - state.loaded)),
            "refused": state.reload_refused or None,
        },
        "turned_seconds_ago": now - state.turned,
        "delivery": state.delivery,
        "outputs": dict(outputs),
        **_promised(state),
        "warmup": state.warming._asdict() if state.warming else None,
        "partitions": _partitions(state, now),
        "unread_bytes": state.unread,
        "stale": stale,
        "interrupted": _interrupted(state, now),
        "interruptions": state.interruptions,
        "rewinds": state.rewinds,
        "failed_commits": state.failed_commits,
        "losses": state.losses._asdict(),
        "drift_evidence": state.evidence,
        "average_run_length": state.average_run_length,
        "alarm_count": state.alarm_count,
        "alarms": list(state.alarms),
        "refitting": state.refitting,
        "held": state.held,
        "refits": dict(state.refits),
        "keys": asdict(state.key_figures) if state.key_figures else None,
    }


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")


def _promised(state: State) -> dict[str, Any]:
    if state.serving is None:
        return dict.fromkeys(("model", "promise", "observed", "anomalies", "by_key"))
    from detectd.report.figures import figures

    by_key = state.by_key.as_dict() if state.by_key else None
    observed = {**state.observed, "since": state.since, "by_key": by_key}
    report = figures(state.serving, observed)
    promise = {name: report[name] for name in ("zone", "exact", "paper", "warnings")}
    anomalies = {
        "expected_ratio": state.serving.promise.expected_anomaly_rate,
        "keys": msgspec.to_builtins(list(state.keys)),
    }
    return {
        "model": report["model"],
        "promise": promise,
        "observed": report["observed"],
        "anomalies": anomalies,
        "by_key": report["by_key"],
    }


def _without_edges(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the status without the zone's position, and with a flag for the omission."""
    if shown["promise"] is None:
        return shown
    zone = {name: each for name, each in shown["promise"]["zone"].items() if name not in EDGES}
    return shown | {"withheld": WITHHELD, "promise": shown["promise"] | {"zone": zone}}


def _partitions(state: State, now: float) -> dict[str, Any] | None:
    if state.partitions is None:
        return None
    silent = state.silent(now)
    return {
        name: {
            "lag": partition.lag,
            "timestamp_ms": partition.timestamp_ms,
            "silent_seconds": silent[name],
        }
        for name, partition in sorted(state.partitions.items())
    }


def _interrupted(state: State, now: float) -> dict[str, Any] | None:
    if state.interruption is None:
        return None
    return {"why": state.interruption.why, "seconds": now - state.interruption.since}


def _lines(status: int, *lines: str) -> Page:
    return Page(status, PLAIN, "".join(f"{line}\n" for line in lines).encode())


def _json(what: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n"
