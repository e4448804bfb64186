"""A short form of `make fuzz`: the seeds, and what chance makes of them."""

from __future__ import annotations

import pytest

from detectd.pipeline import scoring
from tests.fuzz.campaign import blindly
from tests.fuzz.path import one_input, worlds
from tests.fuzz.seeds import seeds


@pytest.mark.parametrize("number", range(len(seeds())))
def test_every_seed_keeps_the_invariants(number):
    one_input(seeds()[number])


@pytest.mark.parametrize("seed", range(4))
def test_what_chance_makes_of_them_does_too(seed):
    assert blindly(one_input, seeds(), seed, runs=400) == 400


def test_the_invariants_can_fail(monkeypatch):
    """Outputs out of order, and an output that breaks, do not go unseen."""
    worlds()
    two = b"\x00\x00" + b"no\x1e\x1eJSON"
    one_input(two)
    monkeypatch.setattr(scoring, "_in_order", lambda living, *_, **__: living[::-1])
    with pytest.raises(AssertionError):
        one_input(two)
    monkeypatch.undo()

    def breaks(record, defect):
        raise AttributeError

    monkeypatch.setattr(scoring, "dead_letter", breaks)
    with pytest.raises(AttributeError):
        one_input(two)
