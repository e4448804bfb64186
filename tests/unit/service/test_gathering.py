"""How long the service lets records wait for others."""

import time

import pytest

from detectd.service.loop import Service
from detectd.settings.loader import settle
from detectd.signals import Stop
from detectd.sources import Batch

STREAM = {
    "source": {"kind": "file", "path": "events.jsonl", "batch_seconds": 0.4},
    "sink": {"kind": "stdout"},
    "event": {"features": ["a", "b"]},
    "server": {"listen": ""},
}


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
def test_a_batch_is_complete_so_long_after_the_one_before(since, at_least, at_most, tmp_path):
    models = {"models": {"directory": str(tmp_path)}}
    service = Service(settle(STREAM | models, "test"), Stop())
    service.source = Asked()
    service.gathered = time.monotonic() - since
    service._gather(None)
    assert at_least <= service.source.waits[0] <= at_most
