"""Render anomalies for a terminal, and as data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.models import recent_anomalies
from detectd.report.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.pipeline.records import Topic
    from detectd.report.anomaly_selection import KeyAnomalies, Selection

# Features named in a line, and characters of a key or a feature's name in it.
FEATURES_SHOWN = 3
WIDTH = 32

# Keys in a table.
KEYS_SHOWN = 50

NO_DETAIL = 'no detail: output.detail = "verdict" leaves scores and p-values out'


def list_figures(
    found: Sequence[msgspec.Struct], selection: Selection, verdict: Topic
) -> dict[str, Any]:
    """Return the figures of `anomalies`."""
    return _counts(selection, verdict) | {
        "shown": len(found),
        "anomalies": [_as_data(anomaly) for anomaly in found],
    }


def by_key_figures(
    keys: Sequence[KeyAnomalies], selection: Selection, verdict: Topic
) -> dict[str, Any]:
    """Return the figures of `anomalies --by key`."""
    return _counts(selection, verdict) | {
        "keys": [
            {
                "key": key.key,
                "count": key.count,
                "error": key.error,
                "latest": _as_data(key.latest),
                "strongest": _as_data(key.strongest),
            }
            for key in keys
        ],
    }


def _counts(selection: Selection, verdict: Topic) -> dict[str, Any]:
    return {
        "verdict": verdict.value,
        "matched": selection.matched,
        "without_time": selection.timeless,
        "unreadable": selection.unreadable,
    }


def _as_data(anomaly: msgspec.Struct) -> dict[str, Any]:
    """Return the anomaly for JSON, also with a readable time."""
    data: dict[str, Any] = msgspec.to_builtins(anomaly)
    return {"time": iso_time(data["time_ms"])} | data | {"features": list(data["features"])}


def list_text(told: dict[str, Any]) -> str:
    """Return one line per anomaly, the latest last."""
    found, notes = told["anomalies"], _notes(told)
    if not found:
        return "\n".join([f"no {_plural(told['verdict'])}", *notes])
    if any(map(lacks_detail, found)):
        notes = [NO_DETAIL, *notes]
    more = told["matched"] - told["shown"]
    if more:
        notes = [f"{more:,} earlier ones; show them with --last N", *notes]
    return "\n".join([*table(found), *notes])


def by_key_text(told: dict[str, Any]) -> str:
    """Return one line per key."""
    keys, notes = told["keys"], _notes(told)
    if not keys:
        return "\n".join([f"no {_plural(told['verdict'])}", *notes])
    shown = keys[:KEYS_SHOWN]
    rows = [
        (
            one_line("no key" if key["key"] is None else key["key"], WIDTH),
            f"{'≤ ' if key['error'] else ''}{key['count']:,}",
            key["latest"]["time"] or "-",
            _number(key["strongest"]["score"]),
            _number(key["strongest"]["p_value"]),
            "-" if lacks_detail(key["strongest"]) else one_line(key["strongest"]["id"]),
        )
        for key in shown
    ]
    head = ("key", "count", "latest", "strongest", "p-value", "id of the strongest")
    hidden = len(keys) - len(shown)
    if hidden:
        notes = [f"{hidden:,} more keys; list them with --format json", *notes]
    if any(key["error"] for key in keys):
        notes = ["≤: the count may be too high, because there are many keys", *notes]
    if any(lacks_detail(key["strongest"]) for key in keys):
        notes = [NO_DETAIL, *notes]
    return "\n".join([*_aligned([head, *rows], right={1, 3, 4}), *notes])


def lacks_detail(anomaly: Mapping[str, Any]) -> bool:
    """Return whether the output of a judged event omits its strength."""
    return anomaly["model"] is not None and anomaly["p_value"] is None


def remembered(past: object) -> dict[str, Any]:
    """Return the anomalies in the store; none if they are invalid."""
    kept = recent_anomalies.kept(past)
    return {
        "latest": [_as_data(anomaly) for anomaly in kept.latest],
        "strongest": [_as_data(anomaly) for anomaly in kept.strongest],
        "keys": msgspec.to_builtins(kept.keys),
    }


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return anomalies as lines under a header; if none has a key or a time, that column is
    omitted."""
    keyed = any(anomaly["key"] is not None for anomaly in found)
    timed = any(anomaly["time_ms"] is not None for anomaly in found)
    head = ("time", "key", "score", "p-value", "features", "id")
    rows = [
        (
            iso_time(anomaly["time_ms"]) or "-",
            one_line(anomaly["key"] or "-", WIDTH),
            _number(anomaly["score"]),
            _number(anomaly["p_value"]),
            features_text(anomaly["features"]) or "-",
            one_line(anomaly["id"]),
        )
        for anomaly in found
    ]
    columns = [i for i in range(len(head)) if (timed or i) and (keyed or i != 1)]
    cells = [tuple(row[i] for i in columns) for row in (head, *rows)]
    return _aligned(cells, right={columns.index(2), columns.index(3)})


def features_text(features: Sequence[Mapping[str, Any]]) -> str:
    """Return the first features: name, value, and the share of what drove the score."""
    shown = [feature_text(feature) for feature in features[:FEATURES_SHOWN]]
    return ", ".join([*shown, "…"] if len(features) > FEATURES_SHOWN else shown)


def feature_text(feature: Mapping[str, Any]) -> str:
    """Return a feature in a few words: `latency_ms 812.4, expected 103 (74%)`, or `status (74%)`.

    A feature with a share but no value was imputed, or it has no direction.
    """
    name, value, share = one_line(feature["name"], WIDTH), feature["value"], feature["share"]
    if value is None and share is not None:
        return f"{name} ({share:.0%})"
    shown = _number(value) if isinstance(value, float) else "missing" if value is None else value
    words = f"{name} {one_line(str(shown), WIDTH)}{_than(feature)}"
    return words if share is None else f"{words} ({share:.0%})"


def _than(feature: Mapping[str, Any]) -> str:
    """Return what would have been expected, or at least on which side of it the value is."""
    way, expected = feature.get("way"), feature.get("expected")
    if expected is not None:
        return f", expected {_number(expected)}"
    return f", {one_line(way, WIDTH)}" if way else ""


def iso_time(time_ms: int | None) -> str | None:
    """Return the time to the second, in UTC."""
    if time_ms is None:
        return None
    try:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _notes(told: Mapping[str, Any]) -> list[str]:
    notes = []
    if told["without_time"]:
        notes.append(f"{told['without_time']:,} have no time and are left out")
    if told["unreadable"]:
        notes.append(f"{told['unreadable']:,} records are not outputs of detectd and are left out")
    return notes


def _plural(verdict: str) -> str:
    return "anomalies" if verdict == "anomaly" else "abstentions"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _aligned(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Return rows as lines, each column as wide as its widest cell; those in `right` end
    together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
