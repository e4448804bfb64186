from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectd.models.row_order import RowOrder, even_per_key, training_rows

KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", None]), min_size=1, max_size=60)


def ordered(keys, most=None):
    rows = RowOrder()
    rows.add(keys[:7])
    rows.add(keys[7:])
    return rows.order(most, by_time=True).tolist()


def test_the_later_part_of_each_key_comes_last_though_one_was_read_after_another():
    assert ordered([b"a"] * 4 + [b"b"] * 8) == [0, 4, 5, 1, 6, 7, 2, 8, 9, 3, 10, 11]


@given(KEYS)
def test_each_row_is_there_once_and_each_key_in_order(keys):
    order = ordered(keys)
    assert sorted(order) == list(range(len(keys)))
    for key in set(keys):
        places = [i for i in order if keys[i] == key]
        assert places == sorted(places)


@given(KEYS, st.integers(2, 9))
def test_no_key_has_more_rows_than_the_most_and_none_fewer_for_it(keys, most):
    order = ordered(keys, most)
    counts, kept = Counter(keys), Counter(keys[i] for i in order)
    for key, count in counts.items():
        assert kept[key] == (count if key is None else min(count, most))
    assert [i for i in ordered(keys) if i in set(order)] == order


def test_what_is_kept_of_a_key_is_spread_over_all_of_it():
    assert even_per_key(np.ones(10, dtype=int), 5).tolist() == [1, 3, 5, 7, 9]
    assert even_per_key(np.zeros(10, dtype=int), 5).tolist() == list(range(10))  # no key


def test_a_warm_up_that_gets_one_key_after_another_trains_on_part_of_both():
    keys = np.array([1] * 4 + [2] * 4)
    assert training_rows(keys, None, by_time=True).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert training_rows(keys, 2, by_time=False).tolist() == [1, 3, 5, 7]
