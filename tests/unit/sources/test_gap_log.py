"""Which gaps a commit makes permanent, and what makes a gap the same."""

import pytest

from detectd.sources.beginnings import RECREATED, Beginning
from detectd.sources.gap_log import GapLog

FIRST, SECOND = ("t", 0), ("t", 1)
LOST = Beginning(7, 3, reason="retention deleted records that were not read yet")


@pytest.fixture
def gaps():
    return GapLog("readers", lambda: {"t": "an id"})


def taken(gaps):
    return [gap.partition for gap in gaps.take()]


def test_a_gap_is_committed_with_the_first_position_that_names_its_partition(gaps):
    gaps.begins(FIRST, 4, LOST)
    gaps.begins(SECOND, 4, LOST)
    assert gaps.offer([]) == []
    gaps.on_commit()
    assert taken(gaps) == []
    (first,) = gaps.offer([FIRST])
    assert (first.partition, first.begin, first.end, first.records) == ("t/0", 4, 7, 3)
    assert gaps.offer([FIRST]) == [first]  # The last batch was not committed.
    gaps.on_commit()
    assert (taken(gaps), taken(gaps), gaps.places) == (["t/0"], [], {SECOND})
    (second,) = gaps.offer([FIRST, SECOND])
    assert second.partition == "t/1"


def test_what_is_found_after_the_batch_is_not_committed_with_it(gaps):
    gaps.begins(FIRST, 4, LOST)
    gaps.offer([FIRST])
    gaps.begins(FIRST, 7, Beginning(9, 2))
    gaps.on_commit()
    assert [gap.records for gap in gaps.take()] == [3]
    assert [gap.records for gap in gaps.offer([FIRST])] == [2]


def test_who_gets_the_partition_finds_its_gap_but_no_reset_before_the_start(gaps):
    gaps.begins(FIRST, 4, LOST)
    gaps.begins_again(SECOND, 5)
    gaps.revoked([FIRST, SECOND])
    (reset,) = gaps.offer([FIRST, SECOND])
    assert (reset.partition, reset.begin, reset.end, reset.reset) == ("t/1", 5, 0, True)
    assert reset.reason == RECREATED


def test_a_beginning_without_a_loss_is_none(gaps):
    gaps.begins(FIRST, None, Beginning(7))
    assert not gaps.places


def seen(group="readers", topic_id="an id", place=FIRST, at=4, begin=LOST):
    gaps = GapLog(group, lambda: {"t": topic_id})
    gaps.begins(place, at, begin)
    (gap,) = gaps.offer([place])
    return gap.seen


def test_the_same_gap_is_the_same_in_the_next_process_and_no_other_is():
    assert seen() == seen()
    others = [
        seen(group="others"),
        seen(topic_id="of the topic that was created again"),
        seen(place=SECOND),
        seen(at=5),
        seen(begin=Beginning(8, 4)),
        seen(begin=Beginning(7, reset=True)),
    ]
    assert len({seen(), *others}) == 7
