"""A drift alarm as a record: framed as all alerts are, under an id that is its own."""

import json
from dataclasses import replace

from detectd.features.silence import Silence
from detectd.pipeline.alerts import alert, in_words, silence_alert
from tests.support.drift_alerts import ALARM, FRAME, MOVED


def read(alarm=ALARM, model="m", record="t/0/7"):
    return json.loads(alert(model, alarm, record).value)


def test_it_has_the_frame_of_all_alerts_and_all_that_it_had_before():
    told = read()
    opened = Silence("open", b"web-3", 0.0, 7, float("nan"))
    frame = list(json.loads(silence_alert("t/0", opened, "10m").value))[:8]
    assert list(told)[:8] == frame
    assert {name: told[name] for name in frame[1:]} == FRAME
    assert {name: each for name, each in told.items() if name not in frame} == MOVED | {
        "recent": {"normal": 0.5, "abstain": 0.2, "anomaly": 0.3},
        "expected": {"normal": 0.8, "abstain": 0.1, "anomaly": 0.1},
        "why": in_words(ALARM),
    }


def test_the_id_is_that_of_one_alarm():
    assert read() == read()
    others = [
        read(model="m2"),
        read(record="t/1/7"),
        read(record="t/0/8"),
        read(replace(ALARM, number=4)),
        read(replace(ALARM, event=101)),
    ]
    ids = {told["id"] for told in [read(), *others]}
    assert len(ids) == 6
    assert all(each.startswith("drift/") for each in ids)
