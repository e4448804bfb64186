"""What was lost of the source as a record: in words, and under an id that is its own."""

import json
from dataclasses import replace

import pytest

from detectd.pipeline.alerts import gap_alert
from detectd.pipeline.output_detail import shown
from detectd.pipeline.records import Gap, LostPart

GONE = "retention deleted records that were not read yet"
GAP = Gap("t/0", 1003, False, GONE, 4, 1007, "g t/0 4 1007")
PART = LostPart("events.jsonl#2", 12, 4096, "truncated", "events.jsonl#2 12")
FRAME = {
    "kind": "gap",
    "state": "open",
    "key": None,
    "since": None,
    "until": None,
    "severity": "critical",
}


def read(gap):
    out = gap_alert(gap)
    return out.key, json.loads(out.value)


def test_of_a_partition_it_says_what_the_log_says():
    key, told = read(GAP)
    assert key == b"t/0"
    assert told == FRAME | {
        "id": told["id"],
        "summary": f"t/0: 1,003 records lost before they were read; {GONE}",
        "partition": "t/0",
        "records": 1003,
        "from": 4,
        "to": 1007,
        "reset": False,
        "reason": GONE,
    }
    _, reset = read(replace(GAP, records=0, reset=True, end=0))
    assert (reset["records"], reset["reset"]) == (0, True)
    assert reset["summary"] == f"t/0: its log was replaced; {GONE}"


def test_of_a_file_it_says_after_which_line_and_how_much_if_that_is_known():
    key, told = read(PART)
    assert key == b"events.jsonl#2"
    assert told == FRAME | {
        "id": told["id"],
        "summary": "events.jsonl#2: 4,096 bytes or more after line 12 lost before it was read; "
        "truncated",
        "partition": None,
        "records": None,
        "file": "events.jsonl#2",
        "line": 12,
        "bytes": 4096,
        "reason": "truncated",
    }
    _, told = read(replace(PART, size=None))
    assert told["bytes"] is None
    assert "a part after line 12 lost" in told["summary"]


@pytest.mark.parametrize("gap", [GAP, PART])
def test_the_id_is_that_of_one_gap_and_there_is_no_figure_to_be_left_out(gap):
    assert read(gap)[1]["id"] == read(replace(gap, reason="another"))[1]["id"]
    assert read(gap)[1]["id"] != read(replace(gap, seen="another"))[1]["id"]
    out = gap_alert(gap)
    assert shown([out], "verdict", original=False) == [out]
