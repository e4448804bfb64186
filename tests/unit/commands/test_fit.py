"""What `fit` says of the rows that it was given."""

import json

import numpy as np
import pytest

from detectd import derive
from detectd.commands.first_events import first_events_hint
from detectd.commands.fit import fit_file
from detectd.rejection import default_T, reach, stability, zone
from tests.support.engines import settings

MEAN = {"of": "b", "fn": "mean", "window": 3}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event": {"features": ["a", MEAN]}}, True),
        ({"training": {"max_per_key": 50}}, True),
        ({"event": {"features": ["a", MEAN], "key": "host"}}, False),
        ({}, False),
        ({"event": {"features": ["a", MEAN]}, "source": {"kind": "file"}}, False),
    ],
    ids=["memory", "max_per_key", "named", "keyless", "file"],
)
def test_that_a_file_has_no_keys_of_records_is_said_if_it_matters(tmp_path, changes, said):
    events = tmp_path / "events.jsonl"
    rows = np.random.default_rng(0).normal(size=(200, 2)).tolist()
    events.write_text(
        "".join(json.dumps({"a": a, "b": b, "host": i % 3}) + "\n" for i, (a, b) in enumerate(rows))
    )
    source = {"kind": "kafka", "topics": ["events"], "path": None, "follow": False}
    asked = settings(tmp_path, **{"source": source} | changes)
    notes = fit_file(events, asked, lambda *_: None).notes
    assert any("event.key is not set" in note for note in notes) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, True),
        ({"rejector": {"T": 32.0}}, False),
        ({"rejector": {"T": None, "max_abstain_rate": 0.05}}, False),
        ({"detector": {"name": "PCA", "contamination": 0.0125}}, False),
    ],
)
def test_what_the_default_threshold_takes_of_sums_of_surprises_is_said(tmp_path, changes, said):
    series = {
        "event": {"features": [{"of": "a", "fn": "series"}], "timestamp": "t", "key": "host"},
        "detector": {"name": "TailSum", "contamination": 0.0125},
        "rejector": {"T": None},
    }
    asked = settings(tmp_path, **series | changes)
    hint = first_events_hint(asked, 4000, derive.terms(asked))
    assert (hint is not None) == said
    if hint:
        taken, left = (
            1 - reach(zone(stability(4000, 50), T), 0.0125) for T in (default_T(4000, 0.0125), 1.0)
        )
        assert 0.1 < left * 2 < taken <= 0.25
        assert f"takes {taken:.0%} of the expected anomalies" in hint
        assert hint.endswith(f"T = 1 takes {left:.0%}")
