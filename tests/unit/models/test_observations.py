"""What is remembered of a stream: counts that are exact, and a state that stays small."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.models.observations import PERIODS, Observations
from detectd.models.score_grid import BINS, grid

CALIBRATION = np.random.default_rng(1).gamma(4.0, size=1000)

batches = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 50), st.integers(0, 50)), max_size=40
)
finite = st.floats(allow_nan=False, allow_infinity=False)


def observed(stream, when=1_700_000_000):
    seen = Observations(CALIBRATION)
    for second, (normal, anomaly, abstain) in enumerate(stream):
        scores = np.random.default_rng(second).gamma(4.0, size=normal + anomaly + abstain)
        counts = {"normal": normal, "anomaly": anomaly, "abstain": abstain, "dead_letter": 3}
        seen.add(counts, scores, when + second)
    return seen


def totals(seen):
    """Events, abstained and anomalies, by the history."""
    columns = [(p.events, p.abstained, p.anomalies) for p in seen.history] or [(0, 0, 0)]
    return tuple(map(sum, zip(*columns, strict=True)))


@given(batches)
def test_counts_histogram_and_history_tell_of_the_same_events(stream):
    seen = observed(stream)
    events = sum(map(sum, stream))
    assert seen.counts.total() == seen.histogram.sum() == events
    assert totals(seen) == (events, seen.counts["abstain"], seen.counts["anomaly"])
    assert all(period.events for period in seen.history)


@given(batches, batches)
def test_a_restart_changes_nothing(before, after):
    unbroken = observed(before)
    again = Observations(CALIBRATION)
    again.resume(json.loads(json.dumps(unbroken.as_dict())))
    assert again.as_dict() == unbroken.as_dict()
    for seen in (unbroken, again):
        for counts in after:
            named = dict(zip(("normal", "anomaly", "abstain"), counts, strict=True))
            seen.add(named, np.full(sum(counts), 3.0), 1_800_000_000)
    assert again.as_dict() == unbroken.as_dict()


def test_the_state_stays_small_and_its_periods_alike():
    seen = Observations(CALIBRATION)
    sizes = np.random.default_rng(0).integers(1, 5000, size=20_000).tolist()
    for i, size in enumerate(sizes):
        counts = {"normal": size, "abstain": 1, "anomaly": 2}
        seen.add(counts, np.empty(0), 1_700_000_000 + i)
        assert len(seen.history) <= PERIODS
    assert totals(seen) == (sum(sizes) + 3 * len(sizes), len(sizes), 2 * len(sizes))
    assert len(json.dumps(seen.as_dict(), separators=(",", ":"))) < 10_000
    lengths = [period.events for period in seen.history[:-1]]
    assert len(lengths) > PERIODS / 4
    assert max(lengths) < 3 * min(lengths)


def test_times_are_those_of_the_last_event_of_each_period():
    seen = observed([(10, 0, 0)] * 1000)
    untils = [period.until for period in seen.history]
    assert untils == sorted(set(untils))
    assert untils[-1] == 1_700_000_999


def test_a_commit_that_knows_more_is_believed():
    """The file is written once a second: a crash loses what came after."""
    seen = observed([(90, 5, 5)] * 3)
    again = Observations(CALIBRATION)
    again.resume(seen.as_dict(), {"normal": 350, "anomaly": 20, "abstain": 30})
    assert again.counts == {"normal": 350, "anomaly": 20, "abstain": 30}
    assert totals(again) == (400, 30, 20)
    assert again.histogram.sum() == 300
    assert [period.until for period in again.history][-1] is None


def test_a_file_that_is_ahead_of_the_commit_is_of_another_stream():
    again = Observations(CALIBRATION)
    again.resume(observed([(90, 5, 5)] * 3).as_dict(), {"normal": 90, "abstain": 10})
    assert again.counts == {"normal": 90, "abstain": 10, "anomaly": 0}
    assert totals(again) == (100, 10, 0)
    assert again.histogram.sum() == 0


def test_counts_alone_are_enough():
    again = Observations(CALIBRATION)
    again.resume({"normal": 7, "anomaly": 2, "abstain": 1})
    assert again.counts == {"normal": 7, "anomaly": 2, "abstain": 1}
    assert totals(again) == (10, 1, 2)


GOOD = observed([(90, 5, 5)] * 3).as_dict()


@pytest.mark.parametrize(
    ("harm", "events", "scores"),
    [
        ({"alarms": [{"number": 1}]}, 300, 300),
        ({"histogram": GOOD["histogram"][1:]}, 300, 0),
        ({"histogram": [-1] * (BINS + 2)}, 300, 0),
        ({"histogram": None}, 300, 0),
        ({"grid": [0.0, 1.0]}, 300, 0),
        ({"history": [[100, 5, 5]]}, 300, 300),
        ({"history": "nonsense"}, 300, 0),
        ({"normal": "many"}, 0, 0),
        ({"normal": -1}, 0, 0),
    ],
)
def test_what_is_not_sound_in_a_file_is_left_out(harm, events, scores):
    again = Observations(CALIBRATION)
    again.resume(GOOD | harm)
    assert again.counts.total() == totals(again)[0] == events
    assert again.histogram.sum() == scores


@given(st.lists(finite, min_size=1, max_size=50), st.lists(finite, max_size=50))
def test_the_grid_loses_no_score(calibration, scores):
    edges = grid(np.array(calibration)).edges
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    assert grid(np.array(calibration)).count(np.array(scores)).sum() == len(scores)


@pytest.mark.parametrize("tail", [0.0, 1e4])
def test_a_bin_holds_what_lies_between_its_edges(tail):
    rng = np.random.default_rng(2)
    calibration = np.concatenate([rng.normal(size=970), tail * rng.random(30)])
    cells = grid(calibration)
    bins = np.histogram(calibration, np.concatenate([[-np.inf], cells.edges, [np.inf]]))[0]
    assert np.array_equal(cells.count(calibration), bins)
    assert bins.max() < 300  # else there would be nothing to see
    assert bins[0] + bins[-1] <= 10


def test_tied_scores_have_a_grid():
    cells = grid(np.full(100, 0.5))
    assert cells.count(np.array([0.4, 0.5, 0.6])).sum() == 3
    assert 0 < cells.place(np.array([0.5]))[0] < 1
