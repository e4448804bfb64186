"""Categories as numbers: against pandas, and whatever the rows come with."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.detectors import Coding, Encoding, build, choose_scaled, encoded_width, fit, prepared
from detectd.detectors.encoding import Vocabulary

categories = st.sampled_from([0.0, 1.0, 7.0, 2.0**53 - 1, 12345.0])
columns = st.lists(categories, min_size=1, max_size=60).map(np.array)


def by_frequency(column):
    """The values of a column with their counts; of equally frequent ones, the smaller first."""
    counts = pd.Series(column).value_counts().rename_axis("value").reset_index()
    return counts.sort_values(["count", "value"], ascending=[False, True])


@given(columns, columns, st.integers(1, 6))
def test_onehot_has_a_column_for_each_frequent_value_and_one_for_the_others(train, seen, top):
    encoding = Encoding.of(np.column_stack((train, train)), [Coding(1, "onehot", top)])
    values = by_frequency(train)["value"].head(top).tolist()
    found = encoding(np.column_stack((seen, seen)))
    assert found.shape == (len(seen), 1 + top + 1)
    assert np.array_equal(found[:, 0], seen)
    coded = pd.Categorical(np.where(np.isin(seen, values), seen, -1.0), [*values, -1.0])
    expected = pd.get_dummies(pd.Series(coded), dtype=float)
    assert np.array_equal(found[:, 1 : 1 + len(values)], expected[values])
    assert np.array_equal(found[:, -1], expected[-1.0])
    assert not found[:, 1 + len(values) : -1].any()


@given(columns, columns)
def test_rarity_is_the_smoothed_share_of_the_training_rows(train, seen):
    encoding = Encoding.of(train[:, None], [Coding(0, "share")])
    counts = pd.Series(train).value_counts()
    own = pd.Series(seen).map(counts).fillna(0)
    share = (own + 0.5) / (len(train) + 0.5 * (len(counts) + 1))
    np.testing.assert_allclose(encoding(seen[:, None])[:, 0], -np.log10(share), rtol=1e-12)


def test_beyond_the_largest_vocabulary_a_value_is_as_rare_as_one_that_was_never_seen():
    found = Vocabulary.of(np.array([1.0, 1.0, 2.0, 3.0]), 1)
    assert found.rarities(np.array([2.0])) == found.rarities(np.array([9.0]))
    assert found.rarities(np.array([1.0])) < found.rarities(np.array([9.0]))


CODINGS = [Coding(0, "onehot", 2), Coding(2, "share"), Coding(3, "onehot", 1)]


def rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.choice([5.0, 6.0, 7.0, 8.0], (n, 4), p=[0.5, 0.3, 0.15, 0.05])
    drawn[:, 1] = rng.normal(size=n)
    return drawn


def test_the_other_columns_stay_where_they_are():
    encoding = Encoding.of(rows(), CODINGS)
    found = encoding(rows())
    assert found.shape[1] == encoded_width(4, CODINGS) == 3 + 1 + 1 + 2
    assert np.array_equal(found[:, 3], rows()[:, 1])
    assert encoding.names("abcd") == ("a=#1", "a=#2", "a=other", "b", "c", "d=#1", "d=other")
    named = encoding.named({5.0: "ok"})
    assert named.names("abcd")[:2] == ("a=ok", "a=#2")
    assert named.vocabularies[0].in_words(2) == "ok 44.3 %, #2 32.7 %, others 23 %"
    assert Encoding.of(rows(), []) is None


def test_it_is_kept_as_it_is():
    encoding = Encoding.of(rows(), CODINGS).named({5.0: "ok"})
    again = Encoding.from_data(json.loads(json.dumps(encoding.as_data())))
    assert np.array_equal(again(rows(seed=1)), encoding(rows(seed=1)))
    assert again.names("abcd") == encoding.names("abcd")


@pytest.mark.parametrize(
    "harm",
    [{"counts": [1.0]}, {"total": 3}, {"values": [], "counts": [], "texts": []}, {"texts": []}],
)
def test_a_damaged_vocabulary_is_refused(harm):
    data = Encoding.of(rows(), CODINGS).as_data()
    with pytest.raises(ValueError, match="vocabulary"):
        Encoding.from_data([data[0] | harm, *data[1:]])


@pytest.mark.parametrize("name", ["KNN", "HBOS", "IForest", "PCA"])
def test_a_row_is_scored_as_if_it_were_alone(name, monkeypatch):
    encoding = Encoding.of(rows(), CODINGS)
    detector = build(name, 0.1, 0, {})
    fit(detector, encoding(rows()))
    scorer = choose_scaled(detector, rows(), None, encoding)
    together = scorer.score(rows(seed=1))
    assert np.array_equal(together, [scorer.score(row[None, :])[0] for row in rows(seed=1)])
    monkeypatch.setattr(prepared, "PART_BYTES", 1000)
    parts = choose_scaled(detector, rows(), None, encoding).score(rows(seed=1))
    assert np.array_equal(parts, together)
