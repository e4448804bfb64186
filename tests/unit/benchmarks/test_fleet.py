"""The simulated fleet: its faults are where they are said to be, and are counted as they should."""

import json

import numpy as np
import pytest

from benchmarks.fleet_figures import (
    AFTERMATH,
    QUIET,
    Verdicts,
    abstention,
    false_alarms,
    found,
    silences,
    struck_hosts,
)
from benchmarks.fleet_runs import Answer, Promised
from benchmarks.fleet_stream import KINDS, LASTS, METRICS, Fleet, Plan, name

PLAN = Plan(hosts=16, quiet_days=1, days=2, faults=2, seed=3)


@pytest.fixture(scope="module")
def fleet():
    return Fleet(PLAN)


def answers(fleet, verdict_of):
    """An answer to each value of the days with faults that came."""
    return [
        Answer(verdict_of(step, host), name(host), int(fleet.times_ms[step, host]))
        for step in range(PLAN.first, PLAN.steps)
        for host in range(PLAN.hosts)
        if not fleet.silent[step, host]
    ]


def of_kind(fleet, kind):
    return [fault for fault in fleet.faults if fault.kind == kind]


def test_every_kind_strikes_hosts_of_its_own_in_the_days_for_it(fleet):
    assert len({fault.host for fault in fleet.faults}) == len(fleet.faults) == 12
    assert [len(of_kind(fleet, kind)) for kind in KINDS] == [2] * 6
    for fault in fleet.faults:
        assert PLAN.first <= fault.first < fault.end < PLAN.steps
        assert fault.end - fault.first == LASTS[fault.kind]


def test_a_frozen_host_repeats_itself_and_an_untimely_one_is_busy_at_night(fleet):
    for fault in of_kind(fleet, "frozen"):
        during = fleet.values[fault.first - 1 : fault.end, fault.host]
        assert (during == during[0]).all()
    cpu = fleet.values[:, :, METRICS.index("cpu")]
    for fault in of_kind(fleet, "untimely"):
        another_day = 144 if fault.first < PLAN.first + 144 else -144
        usual = cpu[fault.first + another_day : fault.end + another_day, fault.host]
        assert cpu[fault.first : fault.end, fault.host].mean() > usual.mean() + 15
        assert cpu[:, fault.host].max() > cpu[fault.first : fault.end, fault.host].mean()


def test_the_file_is_in_the_order_of_time_and_a_silent_host_is_not_in_it(fleet, tmp_path):
    stream = tmp_path / "stream.jsonl"
    for first, end in ((0, PLAN.first), (PLAN.first, PLAN.steps)):
        fleet.write(stream, first, end)
    events = [json.loads(line) for line in stream.read_text().splitlines()]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert len(events) == PLAN.steps * PLAN.hosts - 2 * LASTS["silent"]
    assert set(events[0]) == {"time", "host", *METRICS}  # and no truth


def test_an_anomaly_finds_the_fault_that_it_is_in_and_no_other(fleet):
    fault = of_kind(fleet, "leak")[0]
    at = (fault.first + 6, fault.host)
    said = answers(fleet, lambda *place: "anomaly" if place == at else "normal")
    rows = {row.kind: row for row in found(fleet, Verdicts(fleet, said))}
    assert (rows["leak"].found, rows["leak"].minutes, rows["leak"].by_chance) == (1, 60.0, 0.0)
    assert sum(row.found for row in rows.values()) == 1


def test_what_every_host_has_all_the_time_is_found_by_chance(fleet):
    verdicts = Verdicts(fleet, answers(fleet, lambda *_: "anomaly"))
    assert {row.by_chance for row in found(fleet, verdicts)} == {2.0}


def test_false_alarms_are_episodes_and_not_those_of_a_fault_or_right_after_it(fleet):
    fault = of_kind(fleet, "spike")[0]
    well = int(np.flatnonzero(~struck_hosts(fleet))[0])
    alarmed = {PLAN.first, PLAN.first + QUIET, PLAN.first + 2 * QUIET + 1}
    said = answers(
        fleet,
        lambda step, host: (
            "anomaly"
            if (host == well and step in alarmed)
            or (host == fault.host and fault.first <= step < fault.end + AFTERMATH)
            else "normal"
        ),
    )
    verdicts = Verdicts(fleet, said)
    assert false_alarms(fleet, verdicts, struck=True) == (0.0, 0.0)
    host_days = 4 * PLAN.days
    assert false_alarms(fleet, verdicts, struck=False) == (3 / host_days, 2 / host_days)


def test_silences_are_compared_by_host_and_last_event(fleet):
    one, other = of_kind(fleet, "silent")
    right = (name(one.host), int(fleet.times_ms[one.first - 1, one.host]))
    wrong = (name(other.host), int(fleet.times_ms[other.first - 2, other.host]))
    assert silences(fleet, [right, wrong]) == (2, 1, 1)
    assert silences(fleet, []) == (2, 0, 0)


def test_abstentions_of_one_host_alone_spread_more_than_independent_ones(fleet):
    well = int(np.flatnonzero(~struck_hosts(fleet))[0])
    rng = np.random.default_rng(0)
    alone = answers(fleet, lambda _, host: "abstain" if host == well else "normal")
    even = answers(fleet, lambda *_: "abstain" if rng.random() < 0.25 else "normal")
    assert abstention(fleet, Verdicts(fleet, alone)).spread > 100
    seen = abstention(fleet, Verdicts(fleet, even))
    assert seen.spread < 3
    assert 0.8 < seen.again < 1.2


def test_fewer_calibration_scores_have_a_looser_bound():
    # Beta(100, 9901) at 0.9, by scipy; and a tenth of it.
    promised = Promised(10_000, 0.1, 100 / 10_001, 0.01129)
    assert promised.upper_of(1.0) == pytest.approx(0.01129, abs=1e-5)
    assert promised.upper_of(0.1) > 0.014
