"""Render `/status` of a running service for a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from detectd.pipeline.time_coverage import portion
from detectd.report.by_key import key_lines
from detectd.report.terminal import one_line
from detectd.report.wording import abstention_sentence, reach_sentence, since, standing

if TYPE_CHECKING:
    from collections.abc import Iterator

# How many partitions are named, those with the largest lag.
NAMED = 4

# How many of the keys with the most anomalies are named.
KEYS_NAMED = 5
KEY_WIDTH = 24


def status_text(address: str, told: dict[str, Any]) -> str:
    """Return the lines of one process: one for each thing that an operator asks first."""
    name = f"{told['instance']}: " if told["instance"] else ""
    rows = [
        ("service", f"{name}{told['state']}, up {_span(told['uptime_seconds'])}"),
        ("", f"detectd {told['version']}, process {told['pid']}, at {address}"),
        *((("", told["config"]),) if told["config"] else ()),
        *_reload(told["last_reload"]),
        *(("NOT READY", why) for why in told["why_not_ready"]),
        *(("WARNING", why) for why in told["warnings"]),
        ("delivery", told["delivery"]),
        *_model(told),
        ("outputs", ", ".join(f"{n:,} {topic}" for topic, n in told["outputs"].items())),
        *_keys(told.get("keys")),
        *_stream(told),
        *_watch(told),
    ]
    return "\n".join(f"{name:12}{what}" for name, what in rows)


def _warmup(told: dict[str, Any]) -> str:
    collected, wanted = told["collected"], told["wanted"]
    span, covered = told.get("span_seconds"), told.get("covered_seconds")  # older services: neither
    if span is None or covered is None:
        return f"{collected:,} of {wanted:,} events, {collected / wanted:.0%}"
    share = min(1.0, covered / span)
    return f"{portion(1000 * covered, 1000 * span)} of event time, {share:.0%}; {collected:,} rows"


def _reload(last: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not last["successful"]:
        yield "REFUSED", f"the last reload: {last['refused']}"
        yield "", f"still in force: what was read at {last['in_force_since']}"


def _model(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if told["warmup"]:
        yield "warm-up", _warmup(told["warmup"])
    model = told["model"]
    if model is None:
        yield "model", "none yet"
        return
    started = datetime.fromisoformat(told["started"]) + timedelta(seconds=told["uptime_seconds"])
    age = (started - datetime.fromisoformat(model["created"])).total_seconds()
    yield "model", f"{model['version']}, {_span(age)} old"
    yield (
        "",
        (
            f"{model['detector']}, n = {model['n']:,}, contamination {model['contamination']:g}, "
            f"T = {model['T']:.6g}"
        ),
    )
    exact, seen = told["promise"]["exact"], told["observed"]
    reach = told["promise"]["zone"].get("reach")  # older services know none
    if reach is not None:
        yield "zone", reach_sentence(reach)
    yield "promise", abstention_sentence(exact)
    yield "observed", _observed(seen)
    yield from key_lines(told.get("by_key"))  # older services know none
    yield from _anomalies(told.get("anomalies"), seen)
    for warning in told["promise"]["warnings"]:
        yield "WARNING", warning


def _observed(seen: dict[str, Any]) -> str:
    if not seen["events"]:
        return "nothing yet"
    events = f"{seen['rejection_rate']:.3%} of {seen['events']:,} events{since(seen)}"
    return f"{events}, {standing(seen['inside_promise'])}"


def _anomalies(anomalies: dict[str, Any] | None, seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return their share against the expected one, and whose they are. Older services say
    neither."""
    if not anomalies or not seen["events"]:
        return
    share = f"{seen['anomaly'] / seen['events']:.3%} of events"
    yield "anomalies", f"{share}, {anomalies['expected_ratio']:.3%} expected"
    keys = anomalies["keys"]
    if keys:
        named = ", ".join(
            f"{one_line(key['key'], KEY_WIDTH)} {'≤ ' if key['error'] else ''}{key['count']:,}"
            for key in keys[:KEYS_NAMED]
        )
        yield "", f"most: {named}{', …' if len(keys) > KEYS_NAMED else ''}"


def _keys(keys: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Return the number of remembered keys, and the other counts. Older services report no keys."""
    if not keys:
        return
    evicted = f"; {keys['evicted']:,} evicted to make room" if keys["evicted"] else ""
    yield "keys", f"{keys['remembered']:,} of at most {keys['most']:,}{evicted}"
    if keys["silent"]:
        yield "SILENT", f"{keys['silent']:,} keys; topics.alerts names them"
    unscored = ", ".join(f"{n:,} {reason}" for reason, n in keys["unscored"].items() if n)
    late = f"{keys['late']:,} late" if keys["late"] else ""
    routine = f"{keys['routine']:,} routine" if keys.get("routine") else ""
    if told := [*filter(None, (late, routine, unscored and f"not judged: {unscored}"))]:
        yield "events", "; ".join(told)


def _stream(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if told["partitions"]:
        known = {p: has["lag"] for p, has in told["partitions"].items() if has["lag"] is not None}
        most = sorted(known.items(), key=lambda item: (-item[1], item[0]))[:NAMED]
        named = ", ".join(f"{partition} {lag:,}" for partition, lag in most)
        more = ", …" if len(told["partitions"]) > len(most) else ""
        yield "lag", f"{sum(known.values()):,} records; {named}{more}" if known else "not known yet"
    if told["unread_bytes"]:
        yield "unread", f"{told['unread_bytes']:,} bytes of the file"
    for partition, seconds in told["stale"].items():
        yield "SILENT", f"{partition} for {_span(seconds)}"
    if told["losses"]["times"]:
        lost = told["losses"]
        yield "LOST", f"{lost['times']:,} parts of the file, at least {lost['lost_bytes']:,} bytes"
    if told["interruptions"] or told["rewinds"] or told["failed_commits"]:
        yield (
            "trouble",
            (
                f"{told['interruptions']} interruptions, {told['rewinds']} rewinds, "
                f"{told['failed_commits']} failed commits"
            ),
        )


def _watch(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    alarms, evidence = told["alarm_count"], told["drift_evidence"]
    against = told["average_run_length"]
    weighed = "" if evidence is None else f"evidence {evidence:.3g}"
    weighed += f" of {against:.3g}" if weighed and against else ""
    if alarms:
        yield "ALARMS", f"{alarms:,}{f'; {weighed}' if weighed else ''}"
    else:
        yield "alarms", f"none{f'; {weighed}' if weighed else ''}"
    if told["refitting"]:
        yield "refit", "running"
    if held := told.get("held"):  # older services know none
        yield "HELD", f"{held} waits: `detectd models activate {held}`, or `detectd models discard`"
    if told["refits"]:
        yield "refits", ", ".join(f"{n:,} {outcome}" for outcome, n in told["refits"].items())


def _span(seconds: float) -> str:
    """Return the two largest units of a duration."""
    whole = round(max(0.0, seconds))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
