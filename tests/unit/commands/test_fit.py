"""What `fit` says of the rows that it was given."""

import json

import numpy as np
import pytest

from detectd.commands.fit import fit_file
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
