"""What rides with an offset has room there, and comes back."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.sinks import commit_metadata

text = st.text(max_size=9)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=9,
)


@pytest.mark.slow
@given(st.dictionaries(text, json, max_size=5))
def test_a_mark_comes_back_as_it_was(mark: dict[str, object]) -> None:
    assert commit_metadata.read(commit_metadata.write(mark)) == mark


def test_a_mark_with_no_room_is_compressed() -> None:
    mark = {"by": "id", "commit": 7, "state": {"counts": list(range(1_000)) * 2}}
    memo = commit_metadata.write(mark)
    assert len(memo) <= 4_096
    assert memo.isascii()
    assert commit_metadata.read(memo + "\0") == mark


def test_a_mark_that_has_no_room_even_so_says_what_is_long() -> None:
    path = "".join(random.Random(1).choices(string.printable, k=9_000))
    with pytest.raises(ConfigError, match=r"'source': \d+.*shorten source.path"):
        commit_metadata.write({"by": "id", "source": {"path": path}})


@pytest.mark.parametrize("memo", [None, "", "by another", "z:!", "z:abcde", "[]", "1", "\0"])
def test_the_metadata_of_others_is_no_mark(memo: str | None) -> None:
    assert commit_metadata.read(memo) == {}
