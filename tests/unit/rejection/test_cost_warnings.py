"""Costs that leave nothing to decide, against the costs of every possible zone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.rejection import Costs, cost_warnings

COST = st.floats(0.0, 100.0)
SHARE = st.floats(0.001, 0.5)


@given(SHARE, COST, COST, COST)
def test_never_deciding_is_named_if_no_masses_have_a_lower_bound(share, false, missed, rejection):
    (N, A) = np.meshgrid(*[np.linspace(0.0, 1.0, 21)] * 2)
    inside = N + A <= 1.0
    N, A = N[inside], A[inside]
    bounds = missed * np.minimum(share, N) + false * np.minimum(A, 1 - share)
    bounds += rejection * (1 - N - A)
    named = "nothing guarantees" in "".join(cost_warnings(share, Costs(false, missed, rejection)))
    if named:
        assert bounds.min() >= rejection * (1 - 1e-9)
    else:  # one verdict for all is as good
        assert min(share * missed, (1 - share) * false) <= rejection


@given(SHARE, COST, COST, COST)
def test_never_abstaining_is_named_if_at_every_probability_a_verdict_is_cheaper(
    share, false, missed, rejection
):
    p = np.linspace(0.0, 1.0, 1001)
    dearest = np.minimum(p * missed, (1 - p) * false).max()
    named = "abstaining never pays" in "".join(
        cost_warnings(share, Costs(false, missed, rejection))
    )
    if named:
        assert dearest <= rejection
    else:
        assert not false + missed or rejection <= dearest + 0.11  # the grid is this coarse


@pytest.mark.parametrize("share", [0.001, 0.05, 0.29, 0.5])
def test_the_defaults_leave_something_to_decide(share):
    assert cost_warnings(share, Costs(1.0, 1.0, share)) == []


def test_no_costs_at_all_leave_nothing_to_say():
    assert cost_warnings(0.1, Costs(0.0, 0.0, 0.0)) == []
