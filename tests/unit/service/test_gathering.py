"""How long the service lets records wait for others."""

import time

import pytest

from detectd.service.gathering import BatchLimits, Gatherer
from detectd.sources import Batch

LIMITS = BatchLimits(
    most_records=100, answer_seconds=1.0, enough_bytes=1_000_000, copies=1, wait_seconds=0.4
)


class Asked:
    """A source that notes how long it may wait, and has nothing."""

    def __init__(self):
        self.waits = []

    def read(self, _limit, wait):
        self.waits.append(wait)
        return Batch([], {}, ended=True)


@pytest.mark.parametrize(
    ("since", "at_least", "at_most"),
    [
        (0.0, 0.3, 0.4),
        (0.2, 0.1, 0.2),
        (100.0, 0.0, 0.04),  # the client may be about to have more
    ],
)
def test_a_batch_is_complete_so_long_after_the_one_before(since, at_least, at_most):
    source, gatherer = Asked(), Gatherer(LIMITS)
    gatherer.gathered = time.monotonic() - since
    gatherer.gather(source, None, lambda: False)
    assert at_least <= source.waits[0] <= at_most
