"""What `check` says of declared features."""

import pytest

from detectd.commands.check_features import what_features_are
from tests.support.engines import settings

MEAN = {"of": "b", "fn": "mean", "window": 60}


@pytest.mark.parametrize(
    ("features", "min_events", "said"),
    [
        (["a", {"of": "b", "fn": "lag", "steps": 3}, MEAN], 0, 59),
        (["a", {"of": "b", "fn": "lag", "steps": 3}, MEAN], 58, 59),
        (["a", {"of": "b", "fn": "lag", "steps": 3}, MEAN], 59, None),
        ([{"of": "b", "fn": "ewma", "half_life": 3}], 0, None),
        ([{"of": "b", "fn": "mean", "window": "5m"}], 0, None),
        (["a"], 0, None),
    ],
)
def test_events_that_are_judged_before_a_feature_is_complete_are_said(
    tmp_path, features, min_events, said
):
    asked = settings(
        tmp_path, event={"features": features, "timestamp": "t"}, keys={"min_events": min_events}
    )
    lines = [line for line in what_features_are(asked) if "is complete" in line]
    expected = (
        f"feature   keys.min_events = {min_events}: events are judged before b_mean_60 is complete"
        f"; with {said}, the first {said} events of a key abstain"
    )
    assert lines == ([] if said is None else [expected])
