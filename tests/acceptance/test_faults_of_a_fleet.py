"""What a host's own history finds that single values do not; and a restart that changes nothing."""

import pytest

from benchmarks.fleet import compare, table
from benchmarks.fleet_runs import Runs
from benchmarks.fleet_stream import KINDS, SILENT, Fleet, Plan
from tests.support.forkserver import Popen

pytestmark = pytest.mark.slow

SMALL = Plan(hosts=20, quiet_days=5, days=2, faults=2, seed=16)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTD_SOURCE__BATCH_RECORDS", "500")  # commits before the kill and after it
        patch.setattr(Runs, "popen", Popen)
        return compare(Fleet(SMALL), tmp_path_factory.mktemp("fleet"), print)


def found(outcome):
    return {row.kind: row.found for row in outcome.found}


def test_history_finds_what_single_values_do_not_show(compared):
    raw, history = found(compared.raw), found(compared.history)
    assert {row.kind for row in compared.history.found} == set(KINDS) - {SILENT}
    assert {row.there for row in compared.history.found} == {2}
    for kind in ("untimely", "frozen", "leak"):
        assert history[kind] == 2, kind
        assert raw[kind] < 2, kind
    assert history["shift"] == 2


def test_a_silent_host_is_told_by_an_alert_alone(compared):
    assert compared.history.silences == (2, 2, 0)
    assert compared.raw.silences.found == 0


def test_a_restart_changes_no_byte(compared):
    assert compared.same_after_restart


def test_the_table_has_both_side_by_side(compared):
    lines = table(compared).splitlines()
    assert {line.count("|") for line in lines} == {4}
    assert "untimely: found" in table(compared)


def test_only_history_is_remembered(compared):
    assert compared.history.bytes_a_key > compared.raw.bytes_a_key == 0
