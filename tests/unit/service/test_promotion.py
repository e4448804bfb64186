"""What keeps a freshly trained model from taking over, and what does not."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from detectd.detectors import choose
from detectd.models.model import Recipe
from detectd.models.training import train
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import Costs
from detectd.rejection.key_zones import promises_by_key
from detectd.rejection.promise import Terms, promise
from detectd.service.promotion import Challenger, agreement, refusals

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TERMS = Terms(contamination=0.05, T=8.0, max_abstain_rate=None, delta=0.1, costs=Costs(1, 1, 0.05))


def rows(count, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, size=(count, 3)) + 6 * (rng.random((count, 1)) < 0.03)


def challenger(given, terms=TERMS, **recipe):
    model = train(given, Recipe("PCA", terms.contamination, **recipe), ("a", "b", "c"), NOON)
    promised = promise(model.calibration, terms)
    scorer = choose(model.detector, given)
    return Challenger(
        ModelScorer(model.version, scorer, promised.rejector, model.medians), promised
    )


class OwnScore:
    """An event is its own score."""

    how, doubt = "not at all", None

    def score(self, given):
        return given[:, 0]


def own(calibration, terms=TERMS):
    promised = promise(np.asarray(calibration, dtype=float), terms)
    return Challenger(ModelScorer("own", OwnScore(), promised.rejector, np.zeros(1)), promised)


def codes(old, new, held_out, max_change=0.1):
    agreed = agreement(old.judge, new.judge, held_out)
    return [reason.code for reason in refusals(old, new, agreed, max_change)]


def test_models_of_one_stream_agree_but_for_a_few_percent():
    """The share that the module's page names for PCA."""
    held_out = rows(5000, 99)
    changes = []
    for seed in range(0, 8, 2):
        old, new = (challenger(rows(2000, seed + i)) for i in range(2))
        changes.append(agreement(old.judge, new.judge, held_out).changed)
        assert codes(old, new, held_out) == []
    assert 0.01 < np.mean(changes) < 0.08


def test_a_model_of_another_stream_is_refused_for_what_it_would_change():
    old, new = challenger(rows(2000, 0)), challenger(rows(2000, 1, shift=3.0))
    held_out = rows(2000, 2)
    agreed = agreement(old.judge, new.judge, held_out)
    (reason,) = refusals(old, new, agreed, 0.1)
    assert reason.code == "changed"
    assert reason.sentence.startswith(f"it judges {agreed.changed:.2%} of 2,000 held-out rows ")
    assert refusals(old, new, agreed, agreed.changed) == []


def test_the_table_counts_every_pair_of_verdicts():
    """Ranks 0..9 of ten scores, and zones that are known: one model is the other, moved by two."""
    terms = replace(TERMS, contamination=0.3, T=0.7)
    old, new = own(range(10), terms), own(range(2, 12), terms)
    held_out = np.append(np.arange(0.5, 14), [math.inf, math.nan])[:, None]
    agreed = agreement(old.judge, new.judge, held_out)
    names = {0: "normal", 1: "anomaly", 2: "abstain"}
    expected = {a: dict.fromkeys([*names.values(), "not_finite"], 0) for a in agreed.as_dict()}
    for score in held_out[:-2, 0]:
        was, becomes = (
            names[int(each.judge.rejector.judge(np.array([score])).verdict[0])]
            for each in (old, new)
        )
        expected[was][becomes] += 1
    expected["not_finite"]["not_finite"] = 1
    expected["normal"]["normal"] += 1  # a missing feature takes the median, which is 0
    assert agreed.as_dict() == expected
    differ = sum(n for a, row in expected.items() for b, n in row.items() if a != b)
    assert differ > 0
    assert agreed.changed == pytest.approx(differ / 16)
    assert agreed.rows == 16


def test_no_rows_no_change():
    old = own(np.arange(100.0))
    agreed = agreement(old.judge, old.judge, np.empty((0, 1)))
    assert (agreed.rows, agreed.changed) == (0, 0.0)


def test_a_verdict_that_can_no_longer_be_given_is_a_reason():
    wide, narrow = np.arange(1000.0), np.arange(60.0)
    assert codes(own(wide), own(narrow), np.empty((0, 1))) == ["never_anomaly"]
    assert codes(own(narrow), own(narrow), np.empty((0, 1))) == []
    half = replace(TERMS, contamination=0.5, T=40.0)
    lost = codes(own(wide, half), own(np.arange(20.0), half), np.empty((0, 1)))
    assert lost == ["never_normal", "never_anomaly"]


def test_scores_that_are_all_the_same_are_a_reason():
    old, tied = own(np.arange(1000.0)), own(np.ones(1000))
    assert codes(old, tied, np.empty((0, 1))) == ["tied"]


def test_tied_scores_of_the_keys_that_share_a_zone_are_none():
    """Say a sensor that is switched off: the other keys have scores enough."""
    scores = np.concatenate([np.zeros(800), np.arange(1.0, 1001.0)])
    keys = np.repeat(np.array([0, 7], dtype=np.uint64), [800, 1000])
    promised, zones = promises_by_key(scores, keys, TERMS)
    judge = ModelScorer("own", OwnScore(), promised.rejector, np.zeros(1), keys=zones)
    assert np.ptp(promised.rejector.scores) == 0.0
    assert codes(own(np.arange(1000.0)), Challenger(judge, promised), np.empty((0, 1))) == []


def test_rows_that_would_become_dead_letters_are_a_reason():
    class Fails(OwnScore):
        def score(self, given):
            return np.where(given[:, 0] > 500, np.nan, given[:, 0])

    old = own(np.arange(1000.0))
    new = replace(old, judge=replace(old.judge, scorer=Fails()))
    held_out = np.arange(400.0, 600.0)[:, None]
    agreed = agreement(old.judge, new.judge, held_out)
    assert agreed.lost == 99
    assert [r.code for r in refusals(old, new, agreed, 1.0)] == ["not_finite"]
    # What the old model cannot score either is none of the new one's faults.
    assert codes(new, new, held_out) == []


def test_a_promise_that_is_not_a_number_is_a_reason():
    old = own(np.arange(1000.0))
    broken = replace(old.promise.exact, cost_upper=math.nan)
    new = replace(old, promise=replace(old.promise, exact=broken))
    agreed = agreement(old.judge, new.judge, np.empty((0, 1)))
    (reason,) = refusals(old, new, agreed, 0.1)
    assert (reason.code, reason.sentence) == ("no_promise", "its cost_upper is not a finite number")
