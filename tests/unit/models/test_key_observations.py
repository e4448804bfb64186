"""Counts by key: through commits, rollbacks, restarts and several processes."""

import json

import pytest

from detectd.models import key_observations
from detectd.models.key_observations import KeyObservations, added_up, by_place, recorded
from detectd.models.observations import combined
from tests.support.zones_of_keys import batch, keyed_serving, observations

YES, NO = [True], [False]


def zones():
    return keyed_serving().judge.keys


def counted(seen):
    """Events and abstentions by name, of the hosts with zones of their own."""
    kept = recorded(json.loads(json.dumps(seen.as_dict())))
    return {each.name: (each.events, each.abstained) for each in kept.keys}, kept.others


def test_what_is_committed_counts_and_what_is_rolled_back_does_not():
    seen = KeyObservations(zones())
    seen.see(batch(calm=YES * 2 + NO * 3, rare=YES))
    assert counted(seen) == ({}, (0, 0))
    seen.rollback()
    seen.see(batch(calm=NO, unknown=NO * 2))
    seen.on_commit()
    assert counted(seen) == ({"calm": (1, 0)}, (2, 0))


def test_routine_events_count_as_what_the_model_said_of_them():
    """Only anomalies and abstentions can be routine: leaving them out selects by the outcome."""
    seen, scored = KeyObservations(zones()), batch(calm=YES * 2 + NO, wild=YES)
    scored.places, scored.routine = [4, 7, 8, 9], [7, 9]
    seen.see(scored)
    seen.on_commit()
    assert counted(seen) == ({"calm": (3, 2), "wild": (1, 1)}, (0, 0))


def test_a_restart_goes_on_with_the_counts_and_the_names():
    first = observations(calm=YES * 2 + NO, wild=NO * 5, rare=YES)
    second = KeyObservations(zones())
    second.resume(json.loads(json.dumps(first.as_dict())))
    second.see(batch(calm=NO))
    second.on_commit()
    assert counted(second) == ({"calm": (4, 2), "wild": (5, 0)}, (1, 1))


@pytest.mark.parametrize(
    "past",
    [None, 7, {}, {"keys": "x"}, {"keys": [["aa", "b", -1, 0]]}, {"keys": [], "others": [1]}],
)
def test_what_is_invalid_in_a_file_is_ignored(past):
    seen = KeyObservations(zones())
    seen.resume(past)
    assert counted(seen) == ({}, (0, 0))


def test_keys_of_another_model_are_passed_over_and_abstentions_never_exceed_events():
    names, counts = by_place(
        recorded({"keys": [["00000000000000ff", "gone", 9, 1]], "others": [2, 3]}), zones()
    )
    assert names == {}
    assert counts.events.tolist() == [0, 0, 2]
    assert counts.abstained.tolist() == [0, 0, 2]


def test_only_the_keys_farthest_above_their_promise_are_named_and_parts_add_up_all_the_same(
    monkeypatch,
):
    monkeypatch.setattr(key_observations, "NAMED", 1)
    first, second = observations(calm=YES, wild=NO), observations(calm=NO, wild=YES)
    assert counted(first) == ({"calm": (1, 1), "": (1, 0)}, (0, 0))
    whole = added_up([{"by_key": each.as_dict()} for each in (first, second)])
    assert sorted(each[1:] for each in whole["keys"]) == [["calm", 2, 1], ["wild", 2, 1]]
    again = KeyObservations(zones())
    again.resume(json.loads(json.dumps(first.as_dict())))
    again.see(batch(wild=YES * 9))  # a name that was not written is learnt from the next event
    again.on_commit()
    assert counted(again) == ({"": (1, 1), "wild": (10, 9)}, (0, 0))


def test_counts_of_several_processes_add_up():
    parts = [
        {"by_key": observations(calm=YES + NO, rare=NO).as_dict()},
        {},
        {"by_key": observations(calm=YES, wild=NO).as_dict()},
    ]
    whole = KeyObservations(zones())
    whole.resume(combined(parts)["by_key"])
    assert counted(whole) == ({"calm": (3, 2), "wild": (1, 0)}, (1, 0))
    assert added_up([{}, {}]) is None
    assert "by_key" not in combined([{}])
