"""Columns in different units, through the whole command."""

import json

import numpy as np


def bytes_and_load(count, seed):
    """Lines of a in bytes, b in shares; the last one has a fault in b."""
    values = np.random.default_rng(seed).normal([5e9, 0.5], [1e9, 0.1], (count, 2)).tolist()
    values[-1] = [5e9, 2.0]
    return [json.dumps({"a": a, "b": b}) for a, b in values]


def test_a_fault_in_the_small_column_is_found_and_explained_and_a_change_is_told(world):
    world.write(output={"explain": True})
    history = world.lines(world.home / "history.jsonl", bytes_and_load(1000, 1))
    world.lines(world.events, bytes_and_load(200, 2))
    fitted = world.run("fit", "--input", history)
    assert fitted.returncode == 0, fitted.stderr
    assert "scaled for KNN (robust), in units of: a " in fitted.stderr
    assert world.run("run").returncode == 0
    last = world.outputs()["anomaly"][-1]
    assert last["event"]["b"] == 2.0
    assert next(iter(last["explanation"]["features"])) == "b"

    world.write(detector={"scale": "none"})
    changed = world.run("run")
    assert changed.returncode == 0, changed.stderr
    assert "detector.scale was 'robust', is 'none'" in changed.stderr


def test_a_forest_gets_the_columns_as_they_came(world):
    world.write(detector={"name": "IForest"})
    fitted = world.run(
        "fit", "--input", world.lines(world.home / "history.jsonl", bytes_and_load(1000, 1))
    )
    assert fitted.returncode == 0, fitted.stderr
    assert "scaled" not in fitted.stderr
