import numpy as np

from detectd.features.declaring import declare
from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds


def state():
    declared = ("cpu", declare({"of": "cpu", "fn": "mean", "window": 3}))
    return FeatureState(compiled_program(declared), KeyBounds(max_keys=5))


def test_a_batch_without_events_makes_no_table():
    features = state()
    assert features.rows([], [], np.empty(0), np.empty((0, 1))).rows.shape == (0, 2)
    assert list(features.tables.items()) == []


def test_a_batch_of_several_partitions_gives_what_each_of_them_gives_alone():
    values = np.random.default_rng(0).normal(size=(30, 1))
    times = np.arange(30) * 1000.0
    names, keys = [f"t/{i % 3}" for i in range(30)], [b"%d" % (i % 4) for i in range(30)]
    together = state().rows(names, keys, times, values).rows
    for name in sorted(set(names)):
        places = [i for i in range(30) if names[i] == name]
        alone = state().rows(
            [name] * len(places), [keys[i] for i in places], times[places], values[places]
        )
        assert np.array_equal(together[places], alone.rows)
