"""Training rows of a warm-up: collected, kept, and how many more when they carry no model."""

import numpy as np
import pytest

from detectd.answering.warmup import MOST_FAILED, Warmup


@pytest.fixture
def warmup(tmp_path):
    rows = Warmup(tmp_path, 2, 10)
    yield rows
    rows.close()


def fill(rows):
    rows.add(np.arange(2.0 * rows.remaining).reshape(-1, 2))


def test_rows_that_carry_no_model_are_kept_up_to_a_bound_then_collected_anew(warmup, tmp_path):
    warmup.resume(0)
    wanted = []
    for _ in range(2 * MOST_FAILED):
        fill(warmup)
        wanted.append(warmup.collected)
        warmup.want_more()
    assert wanted == [10, 20, 40] * 2
    assert warmup.path.stat().st_size <= 40 * 2 * 8


def test_a_restart_wants_what_was_wanted_before(warmup):
    warmup.resume(0)
    fill(warmup)
    warmup.want_more()
    assert warmup.resume(10, 1)
    assert (warmup.collected, warmup.remaining) == (10, 10)
    assert warmup.resume(10, 0)
    assert warmup.remaining == 0
