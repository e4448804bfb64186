"""The evaluation against slow and plain references, and against scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, confusion_matrix, roc_auc_score

from detectd.rejection import ABSTAIN, ANOMALY, NORMAL, Costs
from detectd.rejection.evaluation import auroc, forced, risk_coverage, tally

DOUBTS = st.lists(
    st.tuples(st.sampled_from([-np.inf, -700.0, -8.0, -1.0, -0.7]), st.booleans()), min_size=1
)


def arrays(pairs):
    doubt, wrong = zip(*pairs, strict=True)
    return np.array(doubt), np.array(wrong)


def undetected(pairs):
    """The mean, over events whose doubt is the limit, of wrong verdicts within it; ties by half."""
    within = [
        wrong * (1.0 if doubt < limit else 0.5 if doubt == limit else 0.0)
        for (limit, _), (doubt, wrong) in itertools.product(pairs, pairs)
    ]
    return sum(within) / len(pairs) ** 2


@given(DOUBTS)
def test_augrc_is_the_mean_risk_of_a_mistake_that_goes_unnoticed(pairs):
    assert risk_coverage(*arrays(pairs)).augrc == pytest.approx(undetected(pairs))


@given(DOUBTS)
def test_augrc_is_what_the_auroc_of_mistakes_says(pairs):
    doubt, wrong = arrays(pairs)
    error = wrong.mean()
    if 0 < error < 1:
        ranks = np.unique(doubt, return_inverse=True)[1]
        unsure = 1 - roc_auc_score(wrong, ranks)
        expected = unsure * error * (1 - error) + error**2 / 2
        assert risk_coverage(doubt, wrong).augrc == pytest.approx(expected)


@given(DOUBTS)
def test_the_curve_keeps_its_laws(pairs):
    doubt, wrong = arrays(pairs)
    curve = risk_coverage(doubt, wrong)
    assert (curve.coverage[0], curve.coverage[-1]) == (0.0, 1.0)
    assert (np.diff(curve.coverage) > 0).all()
    assert (np.diff(curve.generalized_risk) >= 0).all()
    assert curve.generalized_risk[-1] == curve.selective_risk[-1] == wrong.mean()
    np.testing.assert_allclose(curve.generalized_risk, curve.coverage * curve.selective_risk)
    for coverage, risk in zip(curve.coverage[1:], curve.selective_risk[1:], strict=True):
        surest = [w for d, w in pairs if d <= np.sort(doubt)[round(coverage * len(doubt)) - 1]]
        assert (len(surest) / len(doubt), np.mean(surest)) == pytest.approx((coverage, risk))
    assert curve.augrc == pytest.approx(auc(curve.coverage, curve.generalized_risk))
    order = np.random.default_rng(len(pairs)).permutation(len(pairs))
    assert risk_coverage(doubt[order], wrong[order]).augrc == pytest.approx(curve.augrc)


def test_the_ends_of_augrc():
    wrong = np.arange(100) >= 90
    best, worst, blind = (
        risk_coverage(doubt, wrong).augrc
        for doubt in (np.arange(100.0), -np.arange(100.0), np.zeros(100))
    )
    assert best == pytest.approx(0.1**2 / 2)
    assert worst == pytest.approx(0.1 - 0.1**2 / 2)
    assert blind == pytest.approx(0.1 / 2)


def test_without_events_there_is_no_curve():
    with pytest.raises(ValueError, match="no events"):
        risk_coverage(np.empty(0), np.empty(0, dtype=bool))


@given(st.lists(st.tuples(st.sampled_from([NORMAL, ANOMALY, ABSTAIN]), st.booleans())))
def test_the_tally_counts_as_a_confusion_matrix_does(pairs):
    verdicts = np.array([verdict for verdict, _ in pairs], dtype=np.int8)
    truth = np.array([anomalous for _, anomalous in pairs], dtype=bool)
    counted = tally(verdicts, truth)
    assert counted.events == len(pairs)
    assert counted.anomalies == truth.sum()
    costs = Costs(3.0, 5.0, 0.5)
    price = {
        (ANOMALY, False): 3.0,
        (NORMAL, True): 5.0,
        (ABSTAIN, False): 0.5,
        (ABSTAIN, True): 0.5,
    }
    expected = sum(price.get(pair, 0.0) for pair in pairs) / max(1, len(pairs))
    assert counted.cost(costs) == pytest.approx(expected)
    given_ = verdicts != ABSTAIN
    if given_.any():
        (_, fp), (fn, _) = confusion_matrix(
            truth[given_], verdicts[given_] == ANOMALY, labels=[False, True]
        )
        assert (counted.false_positives, counted.false_negatives) == (fp, fn)


def test_a_forced_verdict_is_the_likelier_one():
    anomaly, normal = np.log([0.7, 0.2, 0.5]), np.log([0.3, 0.8, 0.5])
    assert forced(anomaly, normal).tolist() == [ANOMALY, NORMAL, NORMAL]


def test_auroc_needs_both_kinds():
    scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(scores, truth) == 0.75
    assert auroc(scores, np.ones(4, dtype=bool)) is None
    assert auroc(np.empty(0), np.empty(0, dtype=bool)) is None
