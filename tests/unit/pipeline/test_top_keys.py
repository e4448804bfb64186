"""Few places, many keys: the counts are never too low, and too high by what they say."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from detectd.pipeline.top_keys import TopKeys, added

streams = st.lists(
    st.tuples(st.sampled_from([f"k{i}" for i in range(12)]), st.integers(1, 9)), max_size=200
)


@given(streams, st.integers(1, 12))
def test_the_bounds_of_space_saving_hold(stream, capacity):
    counts, exact = TopKeys(capacity), Counter()
    for key, times in stream:
        counts.add(key, times)
        exact[key] += times
    found = {top.key: top for top in counts.top()}
    assert len(found) == min(capacity, len(exact))
    for key, top in found.items():
        assert top.count - top.error <= exact[key] <= top.count
    for key, times in exact.items():
        assert key in found or times <= exact.total() / capacity
    assert sum(top.count for top in found.values()) == exact.total()


@given(streams)
def test_with_room_for_all_it_is_a_counter(stream):
    counts, exact = TopKeys(12), Counter()
    for key, times in stream:
        assert counts.add(key, times) is None
        exact[key] += times
    assert {top.key: (top.count, top.error) for top in counts.top()} == {
        key: (times, 0) for key, times in exact.items()
    }


@given(streams, streams, st.integers(1, 6))
def test_going_on_from_what_was_written_down_is_going_on(before, after, capacity):
    whole, first = TopKeys(capacity), TopKeys(capacity)
    for key, times in before:
        whole.add(key, times)
        first.add(key, times)
    second = TopKeys(capacity)
    second.add("something else")
    second.resume(first.top())
    assert second.top() == first.top()
    for key, times in after:
        assert whole.add(key, times) == second.add(key, times)
    assert whole.top() == second.top()


def test_it_says_which_key_lost_its_place():
    counts = TopKeys(2)
    assert [counts.add(key) for key in ("a", "a", "b", "c")] == [None, None, None, "b"]
    assert [(top.key, top.count, top.error) for top in counts.top()] == [("a", 2, 0), ("c", 2, 1)]


def test_memory_stays_in_bounds():
    counts = TopKeys(8)
    for i in range(10_000):
        counts.add(f"k{i}")
    assert len(counts.top()) == 8
    assert len(counts._smallest) <= 4 * 8 + 1


@given(st.lists(streams, min_size=1, max_size=3), st.integers(1, 6))
def test_several_streams_together_keep_the_bounds(several, capacity):
    exact, parts = Counter(), []
    for stream in several:
        counts = TopKeys(capacity)
        for key, times in stream:
            counts.add(key, times)
            exact[key] += times
        parts.append(counts.top())
    for top in added(parts, capacity):
        assert top.count - top.error <= exact[top.key] <= top.count
