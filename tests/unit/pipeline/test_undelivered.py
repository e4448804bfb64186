"""What is written in the place of an output that its topic refuses."""

from __future__ import annotations

import json

import pytest

from detectd.errors import ConfigError
from detectd.pipeline.dead_letters import dead_letter, size
from detectd.pipeline.records import Outgoing, Record, RecordError, Stage, Topic
from detectd.pipeline.undelivered import undelivered

RECORD = Record("events/0/7", b'{"a": 1}', None, (("trace", b"x"),), 86_400_000, 0)
VERDICT = Outgoing(Topic.NORMAL, b"{}", None, (("trace", b"x"),), 86_400_000, 0)
ALERT = Outgoing(Topic.ALERTS, b"{}", b"model", (), None)
WHY = "the topic 'normal' refuses it: INVALID_TIMESTAMP"


def refused_again_and_again(records: list[Record], out: Outgoing, times: int) -> list[Outgoing]:
    forms = [out]
    for _ in range(times):
        forms += undelivered(records, forms[-1:], {0: WHY}, {})
    return forms


def test_a_verdict_becomes_a_dead_letter_of_its_record() -> None:
    earlier = dead_letter(RECORD, RecordError(Stage.DECODE, "broken"))
    outgoing = [earlier, VERDICT, VERDICT, ALERT]
    other = Record("events/0/8", b"{}", b"key", (), 5, 0)
    replaced = undelivered([RECORD, other], outgoing, {2: WHY}, {})
    assert [replaced[place] for place in (0, 1, 3)] == [earlier, VERDICT, ALERT]
    assert replaced[2] == dead_letter(other, RecordError(Stage.DELIVER, WHY))
    assert replaced[2].headers == (("detectd-stage", b"deliver"),)


def test_a_letter_has_no_bytes_of_its_record_if_these_have_no_room() -> None:
    large = Record("events/0/7", b"x" * 5_000)
    (letter,) = undelivered([large], [VERDICT], {0: WHY}, {Topic.DEAD_LETTER: 1_000})
    assert size(letter) < 1_000
    assert json.loads(letter.value)["stage"] == "deliver"
    assert "still at the source" in json.loads(letter.value)["error"]


def test_a_letter_that_is_refused_loses_what_a_topic_may_object_to() -> None:
    forms = refused_again_and_again([RECORD], VERDICT, 4)
    with pytest.raises(ConfigError, match=r"topics\.dead_letter: .*INVALID_TIMESTAMP") as told:
        undelivered([RECORD], forms[-1:], {0: WHY}, {})
    assert told.value.exit_code == 78
    whole, timeless, keyed, bare = forms[1:]
    assert (whole.timestamp_ms, timeless.timestamp_ms) == (86_400_000, None)
    assert timeless.headers == whole.headers
    assert keyed.headers == (("detectd-stage", b"deliver"),)
    assert keyed.key == b"events/0/7"
    assert json.loads(keyed.value)["raw"] == '{"a": 1}'
    assert json.loads(bare.value)["raw"] is None
    assert {form.topic for form in forms[1:]} == {Topic.DEAD_LETTER}


def test_an_alert_stays_one_until_nothing_is_left_to_take_away() -> None:
    alert = Outgoing(Topic.ALERTS, b"{}", None, (("trace", b"x"),), 5)
    forms = refused_again_and_again([], alert, 2)
    with pytest.raises(ConfigError, match=r"topics\.alerts"):
        undelivered([], forms[-1:], {0: WHY}, {})
    assert forms[-1] == Outgoing(Topic.ALERTS, b"{}", b"alerts")
