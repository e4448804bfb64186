"""Which records are refused is found out, whatever the brokers say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from detectd.kafka.error_codes import TABLE
from detectd.kafka.errors import RecordsRefused
from detectd.sinks.refused_records import refused_records

if TYPE_CHECKING:
    from collections.abc import Sequence

WHY = TABLE[87]


@given(st.sets(st.integers(0, 40)), st.integers(1, 20), st.booleans())
def test_the_guilty_are_found_and_nobody_else(guilty: set[int], batch: int, named: bool) -> None:
    """Brokers look at a batch at a time, and stop at the first they refuse."""

    def attempt(numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), batch):
            places = range(first, min(first + batch, len(numbers)))
            bad = [place for place in places if numbers[place] in guilty]
            if bad:
                certain, suspects = (bad, []) if named else ([], places)
                raise RecordsRefused(dict.fromkeys(certain, WHY), dict.fromkeys(suspects, WHY))

    assert refused_records(attempt, 41).keys() == guilty


def test_a_batch_that_is_refused_as_a_whole_has_no_guilty() -> None:
    def attempt(numbers: Sequence[int]) -> None:
        if len(numbers) > 3:
            raise RecordsRefused({}, dict.fromkeys(range(len(numbers)), WHY))

    assert refused_records(attempt, 50) == {}


def test_what_is_not_found_in_time_is_left() -> None:
    def attempt(numbers: Sequence[int]) -> None:
        raise RecordsRefused({0: WHY}, {})

    assert refused_records(attempt, 50, seconds=0) == {}
