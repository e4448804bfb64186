import pytest

from detectd.errors import ConfigError
from detectd.pipeline import memory_budget
from detectd.pipeline.dead_letters import dead_letter
from detectd.pipeline.records import Outgoing, Record, RecordError, Stage, Topic
from detectd.service.startup_guard import StartupGuard

GOOD = Outgoing(Topic.NORMAL, b"{}")
BAD = dead_letter(Record("t:1", b"x"), RecordError(Stage.DECODE, "not JSON"))


def test_a_good_record_ends_the_probation():
    startup_guard = StartupGuard(limit=4)
    assert startup_guard.pass_on([BAD, BAD], last=False) is None
    assert startup_guard.pass_on([], last=False) is None
    assert startup_guard.pass_on([BAD, GOOD], last=False) == [BAD, BAD, BAD, GOOD]
    assert startup_guard.pass_on([BAD] * 10, last=False) == [BAD] * 10


def test_nothing_but_bad_records_is_refused_with_the_first_reason():
    startup_guard = StartupGuard(limit=4)
    startup_guard.pass_on([BAD] * 3, last=False)
    with pytest.raises(ConfigError, match=r"first 4 records.*t:1.*not JSON.*nothing was consumed"):
        startup_guard.pass_on([BAD], last=True)


def test_good_records_after_the_limit_do_not_help():
    with pytest.raises(ConfigError):
        StartupGuard(limit=2).pass_on([BAD, BAD, GOOD], last=False)


def test_a_short_stream_of_bad_records_is_passed_on_at_its_end():
    startup_guard = StartupGuard(limit=4)
    assert startup_guard.pass_on([BAD], last=False) is None
    assert startup_guard.pass_on([BAD], last=True) == [BAD, BAD]
    assert StartupGuard().pass_on([], last=True) == []


def test_bad_records_are_held_only_as_far_as_memory_goes():
    large = dead_letter(
        Record("t:1", b"x" * (memory_budget.HELD_BYTES // 4)), RecordError(Stage.DECODE, "no")
    )
    startup_guard = StartupGuard()
    assert startup_guard.pass_on([large] * 3, last=False) is None
    with pytest.raises(ConfigError, match="first 4 records are all dead letters"):
        startup_guard.pass_on([large], last=False)
    assert len(StartupGuard().pass_on([large] * 4, last=True)) == 4
