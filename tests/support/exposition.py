"""The rules by which promtool lints an exposition, written down from its documentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# Units, and prefixes of units, that are not base units.
FOREIGN_UNITS = {
    "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "weeks",
    "bits", "kilobytes", "megabytes", "gigabytes", "kibibytes", "mebibytes", "gibibytes",
    "percent", "fahrenheit", "kilometers", "milligrams", "kilograms",
}  # fmt: skip
ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}
TYPES = {"counter", "gauge", "histogram", "summary", "info"}


def families(exposition: str) -> dict[str, Metric]:
    """The metrics by the name that they have in the exposition."""
    parsed = text_string_to_metric_families(exposition)
    return {f"{f.name}_total" if f.type == "counter" else f.name: f for f in parsed}


def problems(exposition: str) -> list[str]:
    """What promtool would say, one line each."""
    return [
        f"{name}: {problem}"
        for name, family in families(exposition).items()
        for problem in _of_name(name, family.type) + _of_content(family)
    ] + _declared_wrongly(exposition)


def _of_name(name: str, kind: str) -> list[str]:
    words = set(name.split("_"))
    found = []
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        found.append("not snake_case")
    if words & FOREIGN_UNITS:
        found.append("not a base unit")
    if words & ABBREVIATIONS:
        found.append("an abbreviated unit")
    if words & (TYPES - {"info"}):
        found.append("its type in its name")
    if kind not in ("histogram", "summary") and re.search("_(count|sum|bucket)$", name):
        found.append("a suffix of histograms")
    return found


def _of_content(family: Metric) -> list[str]:
    found = [] if family.documentation.strip() else ["no help"]
    if family.type == "unknown":
        found.append("no type")
    labels = {label for sample in family.samples for label in sample.labels}
    if family.type != "histogram" and labels & {"le", "quantile"}:
        found.append("a label of histograms")
    seen = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
    if len(seen) != len(set(seen)):
        found.append("a sample twice")
    return found


def _declared_wrongly(exposition: str) -> list[str]:
    """Of the text itself: the parser makes every counter end in _total."""
    declared = re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE)
    return [
        f"{name}: a {kind}"
        for name, kind in declared
        if (kind == "counter") != name.endswith("_total") or kind not in TYPES
    ]
