"""How long the service goes on trying: since the last commit, not since the last open."""

from __future__ import annotations

from detectd.service.batching import RetryBudget
from detectd.telemetry.health import Health


def test_opening_again_and_again_without_a_commit_is_one_failure() -> None:
    patience = RetryBudget()
    for second in range(0, 60, 5):
        assert patience.failed(second) == second
        patience.opened(second + 1)
        assert not patience.turned(second + 4)


def test_a_commit_ends_it() -> None:
    patience = RetryBudget()
    patience.failed(0)
    patience.opened(1)
    patience.committed()
    assert patience.failed(100) == 0


def test_a_quiet_while_ends_it_as_well() -> None:
    patience = RetryBudget()
    patience.failed(0)
    patience.commit_failed()
    assert not patience.turned(50)  # not open yet
    patience.opened(50)
    assert not patience.turned(50 + patience.settled_seconds - 1)
    assert patience.turned(50 + patience.settled_seconds)
    assert not patience.owing
    assert not patience.turned(100)
    assert patience.failed(200) == 0


def test_the_service_is_not_ready_while_a_commit_is_tried_again() -> None:
    health = Health(60.0)
    health.interrupted("Kafka failed while writing")
    health.opened(settled=False)
    assert "Kafka failed while writing" in health.state.not_ready_reasons(health.clock())[0].why
    health.committed()
    assert all(
        each.state != "interrupted" for each in health.state.not_ready_reasons(health.clock())
    )
    health.refused("the topic refuses it")
    assert health.state.not_ready_reasons(health.clock())[0].state == "refused"
    health.committed()
    assert all(each.state != "refused" for each in health.state.not_ready_reasons(health.clock()))
