"""The state of keys on a topic: whoever answers a partition has it as of the last commit."""

from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError, PartitionsRevokedError
from detectd.features.key_rows import HEADER_WORDS
from detectd.features.key_table import KeyTable
from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds
from detectd.pipeline.records import KeyRecord
from detectd.service import key_records, shared_keys
from detectd.service.shared_keys import SharedKeys
from tests.support.key_tables import EVENTS, WORDS, contents, score
from tests.support.shared_keys import OPS, Member, Topic, record

PARTITIONS = (0, 1)
EVENT = (b"a", 1.0, 2.0)


def member(topic, partition=0, claim=1, **options):
    """A member that has the partition."""
    made = Member(topic, **options)
    made.claims[f"events/{partition}"] = claim
    return made


def rows(of, partition=0):
    return contents(of.tables.of(f"events/{partition}"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "fail", "crash", "crash before", "move", "compact"]),
        st.sampled_from(PARTITIONS),
        EVENTS,
    ),
    max_size=20,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_happens_the_answers_are_those_of_one_undisturbed_process(steps):
    topic, claim = Topic(), 10
    members = [Member(topic), Member(topic)]
    owner = dict.fromkeys(PARTITIONS, 0)
    for partition in PARTITIONS:
        members[0].claims[f"events/{partition}"] = claim
    done = dict.fromkeys(PARTITIONS, 0)
    undisturbed = {p: KeyTable(WORDS, max_keys=4, idle_ms=30.0) for p in PARTITIONS}
    for what, partition, events in steps:
        now, name = members[owner[partition]], f"events/{partition}"
        found = now.answer(partition, done[partition], events)
        if what in ("commit", "compact", "crash"):
            now.commit(partition, done[partition] + len(events))
            done[partition] += len(events)
            assert repr(found) == repr(score(undisturbed[partition], events))
            undisturbed[partition].on_commit()
        else:
            now.keys.rollback()
        if what == "compact":
            topic.compact()
        if what.startswith("crash"):
            again = members[owner[partition]] = Member(topic)
            again.claims = dict(now.claims)
        if what == "move":
            claim += 1
            del now.claims[name]
            owner[partition] = 1 - owner[partition]
            members[owner[partition]].claims[name] = claim
    for partition in PARTITIONS:
        now = members[owner[partition]]
        assert now.know(partition, done[partition])
        table = now.tables.of(f"events/{partition}")
        assert contents(table) == contents(undisturbed[partition])
        assert table.counters == undisturbed[partition].counters


def test_a_commit_writes_what_has_changed_and_no_more():
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [(b"a", 1.0, 2.0), (b"b", 1.0, 2.0)])
    assert [each.key for each in one.commit(0, 2)] == [
        b"readers/events#layouts",
        b"readers/events/=a",
        b"readers/events/=b",
        b"readers/events#counters",
    ]
    one.answer(0, 2, [(b"b", 2.0, 2.0)])
    assert [each.key for each in one.commit(0, 3)] == [
        b"readers/events/=b",
        b"readers/events#counters",
    ]
    assert one.commit(0, 3) == []
    assert one.keys.snapshot() == {}


def test_only_partitions_that_the_position_has_are_written():
    topic = Topic()
    one = member(topic)
    one.claims["events/1"] = 1
    one.answer(0, 0, [EVENT])
    one.answer(1, 0, [EVENT])
    assert {each.partition for each in one.commit(0, 1)} == {0}
    assert {each.partition for each in one.commit(1, 1)} == {1}


def test_a_key_that_made_room_leaves_a_tombstone():
    topic = Topic()
    one = member(topic, max_keys=1)
    one.answer(0, 0, [(b"a", 1.0, 2.0)])
    one.commit(0, 1)
    one.answer(0, 1, [(b"b", 2.0, 2.0)])
    assert KeyRecord(0, b"readers/events/=a", None) in one.commit(0, 2)
    again = member(topic, max_keys=1)
    again.know(0, 2)
    assert rows(again).keys() == {b"=b"}


def test_keys_beyond_a_lower_cap_go_with_the_next_commit():
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [(b"%d" % i, 1.0, 2.0) for i in range(4)])
    one.commit(0, 4)
    lower = member(topic, max_keys=2)
    lower.answer(0, 4, [(b"3", 2.0, 2.0)])
    lower.keys.rollback()
    lower.answer(0, 4, [(b"3", 2.0, 2.0)])
    lower.commit(0, 5)
    kept = {key for _, key in topic.latest() if b"/=" in key}
    assert kept == {b"readers/events/=2", b"readers/events/=3"}


def test_groups_and_input_topics_share_a_topic_without_seeing_each_other():
    topic = Topic()
    one, other = member(topic), member(topic, group="read/ers#1")
    one.answer(0, 0, [EVENT])
    one.commit(0, 1)
    assert other.know(0, 0)
    assert rows(other) == {}
    other.answer(0, 0, [EVENT, EVENT])
    other.commit(0, 2)
    again = member(topic, group="read/ers#1")
    again.know(0, 2)
    assert rows(again) == rows(other) != rows(one)
    again.claims["others/0"] = 1
    source = SimpleNamespace(claims=lambda: again.claims)
    others = record(0, 0)
    others = type(others)("others/0/0", b"", partition=0)
    assert again.keys.know([others], source, topic, lambda _: False)
    assert contents(again.tables.of("others/0")) == {}


def test_a_claim_that_is_another_one_reads_the_keys_again():
    topic = Topic()
    one, other = member(topic), member(topic, claim=2)
    one.answer(0, 0, [EVENT])
    one.commit(0, 1)
    other.answer(0, 1, [EVENT])
    other.commit(0, 2)
    one.claims["events/0"] = 3
    one.know(0, 2)
    assert rows(one) == rows(other)


def test_a_partition_that_goes_is_forgotten():
    one = member(Topic())
    one.answer(0, 0, [EVENT])
    one.claims = {"events/1": 2}
    one.know(1, 0)
    assert [name for name, _ in one.tables.items()] == ["events/1"]


@pytest.mark.parametrize("then", [{}, {"events/0": 2}])
def test_records_of_a_partition_that_went_while_its_keys_were_read_are_not_answered(then):
    one, topic = member(Topic()), Topic()
    claims = iter([one.claims, then])
    source = SimpleNamespace(claims=lambda: next(claims))
    with pytest.raises(PartitionsRevokedError, match="events/0 went to another member"):
        one.keys.know([record(0, 0)], source, topic, lambda _: False)
    assert list(one.tables.items()) == []


def test_records_of_a_partition_that_is_not_ours_are_not_answered():
    with pytest.raises(PartitionsRevokedError, match="events/1 went to another member"):
        member(Topic()).know(1, 0)


def test_a_stop_gives_up_the_reading(monkeypatch):
    monkeypatch.setattr(shared_keys, "PAUSE_SECONDS", 0.0)
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [EVENT])
    one.commit(0, 1)
    again, shares = member(topic), []

    def stop(share):
        shares.append(share)
        return True

    assert not again.know(0, 1, stop)
    assert shares == [0.5]
    assert again.know(0, 1)
    assert rows(again) == rows(one)


def test_reading_back_is_told_in_two_lines():
    topic = Topic()
    one = member(topic)
    with structlog.testing.capture_logs() as told:
        one.answer(0, 0, [EVENT])
    assert told == []  # there was nothing to read
    one.commit(0, 1)
    with structlog.testing.capture_logs() as told:
        member(topic).know(0, 1)
    assert [line["event"] for line in told] == ["keys.restoring", "keys.restored"]
    assert told[1]["partitions"] == ["events/0"]
    assert told[1]["keys"] == 1
    assert told[1]["bytes"] == sum(len(value) for value in topic.latest().values())


def test_under_other_ops_what_is_still_good_stays_and_the_rest_begins():
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [(b"a", 1.0, 2.0), (b"b", 1.0, 3.0)])
    one.commit(0, 2)
    ops = (("count", 2), OPS[1])
    with structlog.testing.capture_logs() as told:
        other = member(topic, ops=ops)
        other.know(0, 2)
    (line,) = [line for line in told if line["event"] == "keys.features_changed"]
    assert (line["kept"], line["begin"], line["dropped"]) == (
        ("last(cpu)",), ("count",), ("mean(cpu)",),
    )  # fmt: skip
    table = other.tables.of("events/0")
    slot = table.slots_of([b"b"], np.array([3.0])).slot[0]
    assert table.rows[slot, HEADER_WORDS:].tolist() == [0.0, 0.0, 3.0]
    # Only b is written in the new layout; both are read by whoever comes next.
    other.commit(0, 3)
    again = member(topic, ops=ops)
    again.know(0, 3)
    assert rows(again) == rows(other)
    # Once no row has the old layout any more, nobody is told of it.
    again.answer(0, 3, [(b"a", 4.0, 1.0)])
    again.commit(0, 4)
    last = member(topic, ops=ops)
    last.answer(0, 4, [(b"a", 5.0, 1.0)])
    last.commit(0, 5)
    value = topic.latest()[0, b"readers/events#layouts"]
    assert len(key_records.read_layouts(value)[1]) == 1


def test_another_identity_of_keys_or_times_begins_anew_and_clears_up():
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [EVENT, (b"b", 1.0, 2.0)])
    one.commit(0, 2)
    with structlog.testing.capture_logs() as told:
        other = member(topic, identity="user")
        other.answer(0, 2, [EVENT])
    (line,) = [line for line in told if line["event"] == "keys.restarted"]
    assert "event.key or event.timestamp has changed" in line["reason"]
    assert line["partition"] == "events/0"
    other.commit(0, 3)
    assert {key for _, key in topic.latest() if b"/=" in key} == {b"readers/events/=a"}
    again = member(topic, identity="user")
    again.know(0, 3)
    assert rows(again) == rows(other)
    table = again.tables.of("events/0")
    assert table.counters.events == 1


def test_offsets_that_were_set_back_begin_anew_but_without_transactions_it_goes_on():
    topic = Topic()
    one = member(topic)
    one.answer(0, 10, [EVENT])
    one.commit(0, 11)
    with structlog.testing.capture_logs() as told:
        back = member(topic)
        back.know(0, 10)
    assert rows(back) == {}
    assert "before offset 11, and the group begins at 10" in told[-2]["reason"]
    forward, twice = member(topic), member(topic, rewinds=True)
    forward.know(0, 20)
    twice.know(0, 10)
    assert rows(forward) == rows(twice) == rows(one)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"readers/events/=a", b"short"),
        (b"readers/events/=a", b"m" * 8 + bytes(8 * 4 + 3)),
        (b"readers/events/=b", b"m" * 8 + bytes(8 * 5)),
        (b"readers/events/?", None),
        (b"readers/events#counters", b"{}"),
        (b"readers/events#counters", b"no JSON"),
        (b"readers/events#layouts", b'{"format": 2}'),
        (b"readers/events#layouts", b"[]"),
    ],
)  # fmt: skip
def test_what_detectd_did_not_write_is_an_error_in_a_line(key, value):
    topic = Topic()
    layout = key_records.layouts("host", {b"m" * 8: OPS})
    value = b"m" * 8 + bytes(8 * (HEADER_WORDS + 3)) if value is None else value
    topic.records = [
        KeyRecord(0, b"readers/events#layouts", layout),
        KeyRecord(0, b"readers/events/=a", b"m" * 8 + bytes(8 * (HEADER_WORDS + 3))),
        KeyRecord(0, key, value),
    ]
    with pytest.raises(ConfigError, match=r"^topics.keys: partition 0 of 'detectd.keys' cannot be"):
        member(topic).know(0, 0)


@pytest.mark.parametrize("words", [0, 2, 4])
@pytest.mark.parametrize("mark", [b"m" * 8, key_records.mark_of("host", OPS)])
def test_rows_that_do_not_have_the_words_of_their_layout_are_an_error_in_a_line(words, mark):
    topic = Topic()
    topic.records = [
        KeyRecord(0, b"readers/events#layouts", key_records.layouts("host", {b"m" * 8: OPS[::-1]})),
        KeyRecord(0, b"readers/events/=a", mark + bytes(8 * (HEADER_WORDS + words))),
    ]
    with pytest.raises(ConfigError, match=f"cannot be read: a row has {words} words, and its layo"):
        member(topic).know(0, 0)


def test_records_of_others_are_passed_over():
    topic = Topic()
    topic.records = [KeyRecord(0, key, b"x") for key in (b"", b"readers", b"\xff/\xff", b"a/b/c")]
    topic.records += [
        KeyRecord(0, b"readers/events", b"x"),
        KeyRecord(0, b"readers/x#layouts", b""),
    ]
    assert member(topic).know(0, 0)


def test_rows_without_a_layout_are_let_go():
    topic = Topic()
    one = member(topic)
    one.answer(0, 0, [EVENT])
    one.commit(0, 1)
    topic.records = [each for each in topic.records if not each.key.endswith(b"#layouts")]
    again = member(topic, ops=(("count", 2), OPS[1]))
    with structlog.testing.capture_logs() as told:
        again.answer(0, 1, [(b"b", 1.0, 2.0)])
    assert "its layout is unknown" in [line.get("reason") for line in told]
    assert KeyRecord(0, b"readers/events/=a", None) in again.commit(0, 2)


def test_what_is_routine_of_a_key_goes_along_with_its_partition():
    """Each night another process answers, one of which did not ask for routine."""
    topic = Topic()
    found = []
    for night, routine in enumerate([True, True, True, False, True, True, True]):
        features = FeatureState(compiled_program(["a"]), KeyBounds(routine=routine))
        keys = SharedKeys(features, "detectd.keys", "readers", "host", rewinds=False)
        source = SimpleNamespace(claims=lambda: {"events/0": 1})
        assert keys.know([record(0, night)], source, topic, lambda _: False)
        times = np.array([night * 86_400_000.0])
        batch = features.rows(["events/0"], [b"db"], times, np.zeros((1, 1))).routine
        if batch is not None:
            asked = np.array([True])
            found.append(batch.judge(np.array([0]), np.array([9.0]), asked, 1.0).item())
        topic.records += keys.records({"offsets": {"events": {"0": night + 1}}})
        keys.on_commit()
    assert found == [False, False, True, False, False, True]
