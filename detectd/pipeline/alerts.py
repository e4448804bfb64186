"""From alarms to the JSON of the alerts topic, and to words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.pipeline.json_pieces import to_json
from detectd.pipeline.records import Outgoing, Topic

if TYPE_CHECKING:
    from detectd.rejection.drift import Alarm


def alert(model: str, alarm: Alarm) -> Outgoing:
    """Return an alarm as a record for the alerts topic."""
    body = {"alert": "drift", "model": model} | alarm.as_dict() | {"why": in_words(alarm)}
    return Outgoing(Topic.ALERTS, to_json(body), key=model.encode())


def in_words(alarm: Alarm) -> str:
    """Return an alarm in words: what moved, by how much, and what that can mean."""
    (_, abstain, anomaly), (_, abstained, anomalies) = alarm.recent, alarm.expected
    return (
        f"{alarm.moved}: of the latest events {abstain:.1%} fall where the model abstains and "
        f"{anomaly:.1%} where it sees anomalies, {abstained:.1%} and {anomalies:.1%} were to be "
        f"expected. The stream has left what the model was trained on, and the promise no longer "
        "holds; or neighbouring events depend on each other (bursts, trends), which looks the same."
    )
