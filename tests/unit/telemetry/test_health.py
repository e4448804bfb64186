"""What the service says of itself, at times that the tests choose."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from detectd.report.figures import figures
from detectd.sources import Partition
from detectd.telemetry.endpoints import healthz, readyz, status
from detectd.telemetry.health import Health
from detectd.telemetry.systemd import sentence
from detectd.telemetry.warmup_progress import Progress


def ready(health):
    page = readyz(health.state, health.clock())
    return page.status, page.body.decode().splitlines()


def shown(health):
    return status(health.state, health.clock(), 1_800_000_000.0, {"normal": 1})


def test_a_loop_is_healthy_until_its_watchdog_and_not_a_moment_longer(health, clock):
    clock.now += 60.0
    assert healthz(health.state, clock.now).status == 200
    clock.now += 0.1
    page = healthz(health.state, clock.now)
    assert page.status == 503
    assert page.body == b"the loop last ran 60.1 s ago, its watchdog allows 60 s\n"
    health.turned()
    assert healthz(health.state, clock.now).status == 200


def test_a_turn_may_be_allowed_to_take_longer_but_never_less(health, clock):
    health.turned(within=300.0)
    clock.now += 299.0
    assert health.state.healthy(clock.now)
    health.turned(within=1.0)
    clock.now += 59.0
    assert health.state.healthy(clock.now)
    clock.now += 2.0
    assert not health.state.healthy(clock.now)


def test_nothing_is_ready_before_a_source_is_assigned_and_a_model_answers(health):
    assert ready(health) == (503, ["no source is assigned yet", "no model is active yet"])
    assert shown(health)["state"] == "starting"


def test_a_warm_up_is_not_ready_and_says_how_many_events_are_left(health):
    health.opened()
    health.assigned({"events/0": Partition(0, None, 0.0)})
    health.warming_up(Progress(1200, 2000))
    assert ready(health) == (
        503,
        ["no model is active yet: warming up, 1,200 of 2,000 events collected, 800 to go"],
    )
    assert shown(health)["warmup"] == Progress(1200, 2000)._asdict()
    health.warming_up(Progress(2000, 2000))
    assert ready(health)[1][0].endswith("the model is being trained")


DAY = 86_400.0


def test_a_warm_up_over_a_span_speaks_in_time(health):
    health.opened()
    health.assigned({"events/0": Partition(0, None, 0.0)})
    begun = Progress(20, 40, covered_seconds=0.0, span_seconds=7 * DAY)
    health.warming_up(begun)
    assert ready(health)[1][0].endswith(
        "warming up, event times span 0 of 7 days, 20 events collected, 20 to go"
    )
    health.warming_up(begun._replace(collected=90, covered_seconds=2.39 * DAY, seconds_left=3600.0))
    assert ready(health)[1][0].endswith(
        "event times span 2.3 of 7 days, 90 events collected, more time is needed, about "
        "3,600 s at the rate so far"
    )
    health.warming_up(begun._replace(failures=1, last_failure="all rows are equal"))
    assert "the next try is when there is more time: event times span 0 of" in ready(health)[1][0]


def test_a_warm_up_says_that_it_waits_for_partitions(health):
    health.opened()
    health.warming_up(Progress(2000, 2000, awaited_partitions=2))
    assert ready(health)[1][1].endswith("2 partitions have not delivered their part yet")


def test_a_warm_up_whose_rows_carry_no_model_says_why(health):
    health.opened()
    health.warming_up(Progress(300, 600, 1.0, 2, "training: all rows are equal; train on others"))
    ((code, (_, why)),) = [ready(health)]
    assert code == 503
    assert "training has failed 2 times" in why
    assert "all rows are equal; train on others" in why
    assert "the next try is at 600" in why


def test_a_model_on_an_assigned_source_is_ready(health, answer):
    answer()
    assert ready(health) == (200, ["ready"])
    assert shown(health)["state"] == "ready"


def test_a_member_that_owns_no_partition_is_ready_as_a_standby(health, answer):
    answer()
    health.assigned({})
    code, lines = ready(health)
    assert (code, shown(health)["state"]) == (200, "standby")
    assert lines == ["ready as a standby: other members of the group own all partitions"]


def test_a_member_that_the_group_has_put_out_is_not_ready(health, answer):
    answer()
    health.assigned(None)
    assert ready(health) == (503, ["no source is assigned yet"])
    assert shown(health)["partitions"] is None


def test_a_source_without_partitions_is_assigned_once_it_is_open(clock, serving):
    health = Health(60.0, clock=clock)
    health.answering(serving, {})
    assert ready(health)[0] == 503
    health.opened()
    assert ready(health) == (200, ["ready"])


def test_a_partition_gets_stale_while_nobody_tells_of_it(health, answer, clock):
    answer()
    clock.now += 28.0  # events/0 was silent for 2 seconds already
    assert ready(health)[0] == 200
    clock.now += 0.5
    assert ready(health) == (
        503,
        ["events/0: no record for 30.5 s, source.stale_after is 30 s"],
    )
    assert shown(health)["stale"] == {"events/0": 30.5}
    health.assigned({"events/0": Partition(0, None, 0.0)})
    assert ready(health)[0] == 200


def test_without_stale_after_silence_is_no_reason(clock, serving):
    health = Health(1e9, shared=True, clock=clock)
    health.opened()
    health.assigned({"events/0": Partition(0, None, 1e6)})
    health.answering(serving, {})
    assert ready(health)[0] == 200


def test_an_interruption_lasts_until_both_ends_are_open_again(health, answer, clock):
    answer()
    health.interrupted("no answer from kafka:9092")
    clock.now += 5.0
    health.interrupted("still none")
    assert ready(health) == (503, ["interrupted for 5.0 s: still none"])
    told = shown(health)
    assert told["interrupted"] == {"why": "still none", "seconds": 5.0}
    assert (told["interruptions"], told["partitions"]) == (1, None)
    answer()
    assert ready(health)[0] == 200
    health.interrupted("again")
    assert shown(health)["interruptions"] == 2


def test_a_stopping_service_and_a_frozen_loop_are_not_ready(health, answer, clock):
    answer()
    clock.now += 61.0
    assert shown(health)["state"] == "stalled"
    health.stopping()
    assert shown(health)["state"] == "stopping"
    assert ready(health)[1][0] == "the service is stopping"


def test_the_status_has_the_figures_of_the_report_under_the_same_names(health, answer, serving):
    answer()
    told = shown(health)
    report = figures(serving, health.state.observed)
    assert told["model"] == report["model"]
    assert told["observed"] == report["observed"]
    assert told["promise"] == {k: report[k] for k in ("zone", "exact", "paper", "warnings")}
    assert told["observed"]["events"] == 1000


def test_the_status_is_json_and_says_when_it_began(health, answer, clock):
    answer()
    clock.now += 10.0
    told = shown(health)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["started"] == "2027-01-15T07:59:50+00:00"
    assert (told["uptime_seconds"], told["delivery"], told["alarms"]) == (10.0, "once", [])
    assert told["partitions"]["events/0"] == {
        "lag": 12,
        "timestamp_ms": 1_700_000_000_500,
        "silent_seconds": 12.0,
    }


def test_alarms_are_shown_with_their_evidence(health):
    health.watched(12.5, [{"kind": "drift"}])
    told = shown(health)
    assert (told["drift_evidence"], told["alarms"]) == (12.5, [{"kind": "drift"}])
    assert (told["alarm_count"], told["average_run_length"]) == (1, None)
    health.refitting()
    assert (shown(health)["refitting"], shown(health)["refits"]) == (True, {})
    health.refitted("failed")
    assert (shown(health)["refitting"], shown(health)["refits"]) == (False, {"failed": 1})
    health.refitting()
    health.refitting(running=False)  # An operator has stopped it: there is no outcome.
    assert (shown(health)["refitting"], shown(health)["refits"]) == (False, {"failed": 1})
    assert shown(health)["held"] is None
    health.holding("20260301T120000Z-3f2a9c")
    assert shown(health)["held"] == "20260301T120000Z-3f2a9c"


def test_a_later_state_leaves_an_earlier_one_as_it_was(health):
    partitions = {"events/0": Partition(0, None, 0.0)}
    health.assigned(partitions)
    before = health.state
    partitions.clear()
    health.rewound()
    assert (before.rewinds, len(before.partitions)) == (0, 1)


@pytest.fixture
def hasty_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_no_thread_undoes_what_another_has_told(health, hasty_threads):
    def rewind_often():
        for _ in range(500):
            health.rewound()

    threads = [threading.Thread(target=rewind_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.state.rewinds == 2000


def test_a_source_that_has_never_been_there_hinders_and_is_said(health):
    health.assigned({})
    health.doubts("source.path: /x does not exist", [])
    assert ready(health)[1][0] == "source.path: /x does not exist"
    assert shown(health)["state"] == "waiting"
    health.doubts(None, [])
    assert "source.path: /x does not exist" not in ready(health)[1]


def test_warnings_are_said_and_hinder_nothing(health, serving):
    health.assigned({"events/0": Partition(0, None, 0.0)})
    health.answering(serving, {})
    health.doubts(None, ["event.key: 'hots' is in none of them"])
    assert ready(health) == (200, ["ready", "warning: event.key: 'hots' is in none of them"])
    assert shown(health)["warnings"] == ["event.key: 'hots' is in none of them"]
    assert sentence(health.state, 1.0, health.clock()).endswith("is in none of them")
    health.doubts(None, [])
    assert ready(health) == (200, ["ready"])
