"""Nothing suspicious gets into a training set that was not in the one before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.service.suspicious_tail import with_tail


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 80), st.integers(1, 80), st.floats(0, 1), st.integers(0, 9))
def test_each_row_was_judged_normal_or_trained_the_model_before(normal, before, share, seed):
    rng = np.random.default_rng(seed)
    old, suspicious = -1.0 - np.arange(before)[:, None], rng.random(before) < share
    new = np.arange(normal, dtype=float)[:, None]
    rows = with_tail(new, old, suspicious)[:, 0].tolist()
    fresh, carried = [r for r in rows if r >= 0], [r for r in rows if r < 0]
    assert fresh == list(range(normal - len(fresh), normal))  # the newest, in their order
    assert set(carried) <= set(old[suspicious, 0])
    assert len(set(carried)) == len(carried)
    assert len(rows) <= before
    rest = before - suspicious.sum()
    assert len(fresh) == min(normal, rest)
    assert abs(len(carried) * max(1, rest) - len(fresh) * suspicious.sum()) <= max(1, rest)


def test_the_tail_is_spread_evenly_since_the_later_rows_may_calibrate():
    old = -np.ones((1000, 1)) * np.arange(1, 1001)[:, None]
    rows = with_tail(np.arange(5000.0)[:, None], old, old[:, 0] < -900)
    assert len(rows) == 1000
    halves = [(half < 0).sum() for half in np.array_split(rows[:, 0], 4)]
    assert halves == [25, 25, 25, 25]
