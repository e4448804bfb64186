"""The report's anomalies as HTML: the strongest and the latest side by side, and their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.report.anomalies import FEATURES_SHOWN, NO_DETAIL, feature_text, iso_time
from detectd.report.svg.markup import tag
from detectd.report.svg.number_format import score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree.ElementTree import Element

    from detectd.report.svg.markup import Inside

# Of the strongest and of the latest anomalies, and of the keys with the most.
ANOMALIES_SHOWN = 10
KEYS_SHOWN = 12

NOTE = (
    "A feature's share is its part in raising the score, if output.explain is on. The id is the "
    "record's position in the source. To list them all, run detectd anomalies."
)


def anomaly_section(anomalies: Mapping[str, Any]) -> Element:
    """Return the section on a model's anomalies, see `report.anomalies.remembered`."""
    if not anomalies["latest"]:
        return tag("p", "None yet under this model.")
    return tag(
        "div",
        tag(
            "div",
            _list("Strongest", anomalies["strongest"][:ANOMALIES_SHOWN], NO_DETAIL),
            _list("Latest", anomalies["latest"][: -ANOMALIES_SHOWN - 1 : -1]),
            class_="anomaly-lists",
        ),
        _keys(anomalies["keys"]),
        tag("p", NOTE, class_="note"),
    )


def _list(heading: str, found: Sequence[Mapping[str, Any]], if_none: str = "") -> Element:
    listed = tag("ol", *map(_entry, found), class_="anomalies")
    return tag("section", tag("h3", heading), listed if found else tag("p", if_none))


def _entry(anomaly: Mapping[str, Any]) -> Element:
    """Return what it was, then where; each text of the event set apart, as it may run either
    way."""
    when = iso_time(anomaly["time_ms"])
    key = anomaly["key"]
    features = [feature_text(each) for each in anomaly["features"][:FEATURES_SHOWN]]
    more = len(anomaly["features"]) - len(features)
    return tag(
        "li",
        tag(
            "div",
            None if key is None else tag("bdi", key, class_="of-key"),
            tag("span", _strength(anomaly), class_="strength"),
            class_="what",
        ),
        tag(
            "div",
            *(tag("bdi", each, class_="chip") for each in features),
            f" and {more:,} more" if more > 0 else None,
        ),
        tag("div", *_place(when, anomaly["id"]), class_="where"),
    )


def _place(when: str | None, identity: str) -> list[Inside]:
    record = tag("bdi", identity)
    if when is None:
        return [record]
    shown = when.removesuffix("Z").replace("T", " ")
    return [tag("time", f"{shown} UTC", datetime=when), ", ", record]


def _strength(anomaly: Mapping[str, Any]) -> str:
    value, p_value = anomaly["score"], anomaly["p_value"]
    words = [] if value is None else [f"score {score(value)}"]
    return ", ".join(words if p_value is None else [*words, f"p = {p_value:.3g}"])


def _keys(keys: Sequence[Mapping[str, Any]]) -> Element | None:
    """Return the keys with the most anomalies, if there are keys."""
    if not keys:
        return None
    shown = keys[:KEYS_SHOWN]
    return tag(
        "section",
        tag("h3", "By key"),
        tag(
            "ul",
            *(
                tag(
                    "li",
                    tag("bdi", key["key"]),
                    " ",
                    tag("b", f"{'≤ ' if key['error'] else ''}{key['count']:,}"),
                    class_="chip",
                )
                for key in shown
            ),
            class_="keys",
        ),
        tag("p", "Counts marked ≤ may be too high: there are many keys.", class_="note")
        if any(key["error"] for key in shown)
        else None,
    )
