"""Rows that keep the digests of their keys, through quarantine, window, crash and refit."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.pipeline.key_digest import digest
from detectd.rejection import ANOMALY, NORMAL
from detectd.service import challenger_training
from detectd.service.suspicious_tail import with_tail
from detectd.service.training_rows import TrainingRows
from detectd.service.training_window import Guard, Window
from tests.support.zones_of_keys import keyed_serving

WIDTH, SIZE = 2, 40


def opened(directory, kind, quarantine, *, keyed=True):
    window = Window(WIDTH, SIZE, kind, Guard(0.1), keyed=keyed)
    return TrainingRows(directory, window, quarantine)


def batch(begin, count):
    """Rows and keys that tell their place in the stream; key 0 is none."""
    numbers = np.arange(begin, begin + count)
    verdicts = np.where(numbers % 8 == 5, ANOMALY, NORMAL).astype(np.int8)
    rows = np.repeat(numbers[:, None].astype(float), WIDTH, axis=1)
    return rows, verdicts, (numbers * 3).astype(np.uint64)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["sliding", "reservoir"]),
    st.sampled_from([0, 7, 30, 100]),
    st.lists(st.integers(0, 90), min_size=1, max_size=8),
    st.data(),
)
def test_each_row_keeps_its_key_however_the_stream_is_cut(
    tmp_path_factory, kind, quarantine, counts, data
):
    directory = tmp_path_factory.mktemp("keyed")
    kept, state, begin = opened(directory, kind, quarantine), {}, 0
    for count in counts:
        if data.draw(st.booleans(), label="crash"):
            kept.add(*batch(begin, 30))
            kept.close()
            kept = opened(directory, kind, quarantine)
            assert kept.restore(json.loads(json.dumps(state)))
        kept.add(*batch(begin, count))
        begin += count
        state = kept.snapshot()
        kept.on_commit()
        for scored in (None, NORMAL):
            rows, keys = kept.window.rows(scored), kept.window.keys(scored)
            assert keys.tolist() == (3 * rows[:, 0]).astype(int).tolist()
    kept.close()


@pytest.mark.parametrize("keyed", [False, True])
def test_rows_of_the_other_shape_are_not_taken_over(tmp_path, keyed):
    kept = opened(tmp_path, "sliding", 10, keyed=keyed)
    kept.add(*batch(0, 60))
    state = kept.snapshot()
    kept.close()
    other = opened(tmp_path, "sliding", 10, keyed=not keyed)
    assert not other.restore(state)
    assert other.window.filled == 0
    other.close()


def test_a_window_without_keys_has_none(tmp_path):
    kept = opened(tmp_path, "sliding", 0, keyed=False)
    kept.add(*batch(0, 60)[:2])
    assert kept.window.keys() is None
    kept.close()


def test_the_suspicious_tail_brings_its_keys_along():
    normal, before = np.arange(100.0, 180.0)[:, None], np.arange(50.0)[:, None]
    tail = before[:, 0] % 10 == 0
    rows = with_tail(normal, before, tail)[:, 0]
    keys = with_tail(normal[:, 0].astype(np.uint64), before[:, 0].astype(np.uint64), tail)
    assert keys.tolist() == rows.astype(int).tolist()
    assert (rows < 50).any()


@pytest.mark.parametrize("known", [False, True])
def test_a_strict_refit_has_no_keys_if_the_champion_knows_none(tmp_path, monkeypatch, known):
    """Else no key would have its share of the tail: each zone would lie far too low."""
    old = keyed_serving()
    if not known:
        old = replace(old, model=replace(old.model, keys=None))
    window = Window(WIDTH, 1000, "sliding", Guard(0.1), keyed=True)
    calm = np.full(1000, digest(b"calm"), dtype=np.uint64)
    rows = np.random.default_rng(1).normal(size=(1000, WIDTH))
    window.add(rows, np.full(1000, NORMAL, dtype=np.int8), calm)
    monkeypatch.setattr(challenger_training, "TrainerProcess", lambda _, task, *more: task)
    task = challenger_training.begin(
        window,
        SimpleNamespace(directory=tmp_path),
        old,
        SimpleNamespace(recipe=old.model.recipe, features=()),
        None,
        fewest=500,
        strict=True,
        max_changed=0.1,
        after_alarm=False,
    )
    if known:
        assert len(task.keys) == len(task.rows)
        assert set(np.unique(task.keys)) > {digest(b"calm")}
    else:
        assert task.keys is None
