"""Whatever happens to a followed file, each of its lines is read once, in order."""

import random
from contextlib import closing

import pytest

from tests.support.rotating import SCHEMES, WAIT, Reading


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_every_line_is_read_once_in_order_whatever_is_rotated_and_restarted(tmp_path, scheme, seed):
    lots = random.Random(seed)
    log = scheme(tmp_path, lots)
    log.write()
    with closing(log), closing(Reading(log, lots)) as reading:
        for _ in range(60):
            do_one(log, reading, lots)
        log.reopen()
        log.write()
        log.finish_line()
        reading.drain()
    assert reading.committed == [line for lines in log.files for line in lines]
    assert reading.losses == 0


def do_one(log, reading, lots):
    step = lots.choice(
        ("write",) * 4 + ("read",) * 4 + ("rotate", "tidy", "wait", "rewind", "down")
    )
    if step == "wait":
        # A writer that knows of no rotation for longer than this loses lines, and says so.
        if not log.late:
            reading.now += WAIT
    elif step == "read":
        reading.read()
    elif step == "rewind":
        reading.rewind()
    elif step == "down":
        reading.close()
        for _ in range(lots.randrange(6)):
            getattr(log, lots.choice(("write", "write", "rotate", "tidy", "reopen")))()
        reading.source = reading.open()
    else:
        getattr(log, step)()
