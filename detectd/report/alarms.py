"""The alarms in the store, for the report."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from detectd.report.svg.markup import tag
from detectd.report.svg.number_format import moment, percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

# The most alarms that are listed, the latest ones.
SHOWN = 20

WHY_MANY = (
    "If a change lasts, one alarm follows another, and only the first, second, fourth, eighth and "
    "so on are reported. A daily cycle, bursts and anything else that makes neighbouring events "
    "depend on each other raise alarms just as drift does."
)


class Shares(NamedTuple):
    """Shares of events, by verdict: a list in JSON."""

    normal: float
    abstain: float
    anomaly: float


class NamedShares(msgspec.Struct, frozen=True):
    """The same as an object in JSON."""

    normal: float
    abstain: float
    anomaly: float


class AlarmRecord(msgspec.Struct, frozen=True):
    """An alarm as stored in JSON, with its Unix time; see `detectd.rejection.drift.Alarm`."""

    number: int
    event: int
    moved: str
    recent: Shares | NamedShares
    expected: Shares | NamedShares
    time: float | None = None


def believed(told: object) -> list[AlarmRecord]:
    """Return the valid alarms of a file."""
    alarms = []
    for each in told if isinstance(told, list) else []:
        with contextlib.suppress(msgspec.ValidationError):
            alarms.append(msgspec.convert(each, AlarmRecord))
    return alarms


def alarm_list(alarms: Sequence[AlarmRecord]) -> Element:
    """Return one entry per alarm, for the latest ones."""
    if not alarms:
        return tag(
            "p", "None: no evidence so far that the stream has moved away from its calibration."
        )
    earlier = len(alarms) - SHOWN
    hidden = f" {earlier:,} earlier ones are not shown." if earlier > 0 else ""
    return tag(
        "div",
        tag("ul", *map(_entry, alarms[-SHOWN:]), class_="alarms"),
        tag("p", f"{WHY_MANY}{hidden}", class_="note"),
    )


def _entry(alarm: AlarmRecord) -> Element:
    shares = ", ".join(
        f"{side} {percent(getattr(alarm.recent, side))} "
        f"(expected {percent(getattr(alarm.expected, side))})"
        for side in Shares._fields
    )
    when = f", {moment(alarm.time)}" if alarm.time is not None else ""
    return tag(
        "li",
        tag("b", f"Alarm {alarm.number:,}, at event {alarm.event:,}{when}: {alarm.moved}."),
        " ",
        tag("span", f"Of recent events {shares}."),
    )
