"""The training window against a slow list of the same rule, and what the guard lets in."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectd.rejection import ABSTAIN, ANOMALY, NORMAL
from detectd.rejection.tie_breaking import lot
from detectd.service.training_window import SALT, Guard, Window, guard

CODES = {"normal": NORMAL, "anomaly": ANOMALY, "abstain": ABSTAIN}


def stream(count, seed=0, rates=(0.8, 0.1, 0.1), width=2):
    """Rows that tell their place in the stream, and verdicts."""
    verdicts = np.random.default_rng(seed).choice(3, size=count, p=rates).astype(np.int8)
    return np.arange(count * width, dtype=float).reshape(count, width), verdicts


def slowly(size, kind, shares, rows, verdicts):
    """The same by lists: what is held, oldest first, as (row, verdict)."""
    places, offered = {}, 0
    for row, verdict in zip(rows.tolist(), verdicts.tolist(), strict=True):
        held = [v for _, _, v in places.values()]
        most = shares.get(verdict, math.inf) * min(offered + 1, size)
        if held.count(verdict) + 1 > most + 1e-9:
            continue
        place = offered % size
        if kind == "reservoir" and offered >= size:
            place = math.floor(lot(offered ^ SALT) * (offered + 1))
        if place < size:
            places[place] = (offered, row, verdict)
        offered += 1
    return [(row, verdict) for _, row, verdict in sorted(places.values())]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["sliding", "reservoir"]),
    st.integers(1, 40),
    st.lists(st.integers(0, 60), max_size=6),
    st.sampled_from([Guard(), Guard(0.29), Guard(0.1, 0.2), Guard(0.5, 0.05)]),
    st.integers(0, 9),
)
def test_batches_of_any_size_hold_what_a_slow_list_holds(kind, size, batches, limits, seed):
    rows, verdicts = stream(sum(batches), seed)
    window, start = Window(2, size, kind, limits), 0
    for count in batches:
        window.add(rows[start : start + count], verdicts[start : start + count])
        start += count
    shares = {ANOMALY: limits.anomaly, ABSTAIN: limits.abstain}
    shares = {code: share for code, share in shares.items() if share < 1}
    expected = slowly(size, kind, shares, rows, verdicts)
    assert window.rows().tolist() == [row for row, _ in expected]
    held = [verdict for _, verdict in expected]
    assert window.held == {name: held.count(code) for name, code in CODES.items()}
    assert window.filled == len(expected)


def test_a_sliding_window_holds_the_last_rows():
    rows, verdicts = stream(1000)
    window = Window(2, 300)
    window.add(rows, verdicts)
    assert np.array_equal(window.rows(), rows[-300:])


@pytest.mark.parametrize("size", [400, 1000, 3000])
def test_a_reservoir_holds_early_and_late_rows_alike(size):
    window = Window(1, size, "reservoir")
    for part in np.array_split(np.arange(60_000.0)[:, None], 37):
        window.add(part, np.zeros(len(part), dtype=np.int8))
    counted = np.histogram(window.rows(), bins=20, range=(0, 60_000))[0]
    assert counted.sum() == size
    assert stats.chisquare(counted).pvalue > 0.01


def test_missing_features_stay_missing():
    window = Window(2, 4)
    window.add(np.array([[1.0, np.nan]]), np.zeros(1, dtype=np.int8))
    assert np.array_equal(window.rows(), [[1.0, np.nan]], equal_nan=True)


def test_the_window_cannot_be_changed_through_what_it_gave():
    rows, verdicts = stream(10)
    window = Window(2, 5)
    window.add(rows, verdicts)
    window.rows()[:] = 0
    assert window.rows().all()


@pytest.mark.parametrize("kind", ["sliding", "reservoir"])
def test_an_attack_takes_no_more_than_its_share(kind):
    window = Window(2, 500, kind, Guard(0.05, 0.1))
    for seed, rates in enumerate([(0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0, 1, 0), (0.2, 0, 0.8)]):
        for _ in range(20):
            window.add(*stream(137, seed, rates))
            held = window.held
            assert held["anomaly"] <= 0.05 * window.filled
            assert held["abstain"] <= 0.1 * window.filled


def erlang_b(places, load):
    """The share of calls that a loss system with so many lines and that load turns away."""
    lost = 1.0
    for line in range(1, places + 1):
        lost = load * lost / (line + load * lost)
    return lost


@pytest.mark.parametrize(("rate", "share"), [(0.02, 0.05), (0.05, 0.05), (0.1, 0.05), (0.3, 0.05)])
def test_the_guard_turns_away_what_a_loss_system_does(rate, share):
    """The bias that the module's page states."""
    size = 2000
    window = Window(1, size, guard=Guard(share))
    _, verdicts = stream(400_000, rates=(1 - rate, rate, 0))
    entered = window.add(np.zeros((len(verdicts), 1)), verdicts) >= 0
    lost = 1 - entered[size:][verdicts[size:] == ANOMALY].mean()
    if rate < share:
        assert lost == 0
    # A row turned away shortens no stay: all are counted in rows that entered.
    kept = 1 - rate * lost
    assert math.isclose(lost, erlang_b(round(share * size), rate * size / kept), abs_tol=0.03)


def test_the_guard_follows_the_model():
    assert guard("none", 0.05, 0.1) == Guard(1, 1)
    assert guard("anomaly", 0.05, 0.1) == Guard(0.05, 1)
    assert guard("anomaly_and_abstain", 0.05, 0.1) == Guard(0.05, 0.1)


def test_memory_is_taken_once_and_is_what_it_says():
    def arrays():
        return [window._rows, window._verdicts, window._numbers]

    window = Window(6, 1000)
    before = arrays()
    assert sum(array.nbytes for array in before) == 1000 * (8 * 6 + 9)
    window.add(*stream(5000, width=6))
    assert all(now is then for now, then in zip(arrays(), before, strict=True))
