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


RARITY = {"of": "status", "fn": "rarity"}
ONEHOT = {"of": "status", "fn": "onehot"}


def warnings(tmp_path, detector, *features):
    asked = settings(tmp_path, event={"features": features}, detector={"name": detector})
    return [line for line in what_features_are(asked) if line.startswith("WARNING")]


def test_a_weight_that_no_detector_reads_is_warned_of(tmp_path):
    heavy = RARITY | {"weight": 0.5}
    (warning,) = warnings(tmp_path, "PCA", "a", heavy, ONEHOT)
    assert warning == (
        "WARNING   event.features: weight of status_rarity has no effect: only detector.name = "
        '"TailSum" adds up columns by weight; remove it'
    )
    assert not warnings(tmp_path, "PCA", "a", RARITY)
    assert not warnings(tmp_path, "TailSum", heavy)


def test_what_tailsum_should_not_add_up_gets_advice_that_can_be_followed(tmp_path):
    raw, category = warnings(tmp_path, "TailSum", "a", ONEHOT, RARITY)
    assert "and a is not one; use a function with surprise = true, or another" in raw
    assert 'status_onehot is not one; use fn = "rarity" instead of "onehot", or' in category
    assert not warnings(tmp_path, "TailSum", ONEHOT | {"weight": 0.5}, RARITY)
