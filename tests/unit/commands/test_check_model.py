"""What `check` says of the model that a warm-up will train."""

import pytest

from detectd.commands.check_by_key import what_a_key_needs
from detectd.commands.check_model import what_answers
from tests.support.engines import settings


@pytest.mark.parametrize("method", ["cross", "in_sample"])
@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("contamination", [0.1, "estimate"])
def test_a_method_without_a_law_is_warned_of_and_promises_no_key_anything(
    tmp_path, method, by_key, contamination
):
    asked = settings(
        tmp_path,
        event={"key": "k"},
        detector={"contamination": contamination},
        calibration={"method": method, "by_key": by_key},
    )
    (warning,) = [line for line in what_answers(asked) if "no exact law" in line]
    assert warning.startswith(f"WARNING   calibration.method = {method!r} has no exact law, as its")
    own = [line for line in what_a_key_needs(asked) if line.startswith("by key")]
    assert len(own) == by_key
    assert all("has a zone of its own; all others share one" in line for line in own)


def test_a_held_out_calibration_has_a_law_and_promises_each_key_its_own(tmp_path):
    asked = settings(tmp_path, event={"key": "k"}, calibration={"by_key": True})
    assert not [line for line in what_answers(asked) if "no exact law" in line]
    assert "has a zone and a promise of its own" in next(what_a_key_needs(asked))
