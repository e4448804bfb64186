"""KNN and LOF: the neighbours are scikit-learn's, also among rows at one distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import KDTree

from detectd.detectors import choose
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.kernels._kd_tree import find_nearest, take_apart
from tests.parity.rows import adversarial, fresh, generated
from tests.support.against_pyod import check, fitted, one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")


def left(detector, rows):
    """How many rows the kernel leaves to PyOD."""
    kernel = compiled(detector)
    return kernel.kernel(rows, np.empty(len(rows)), *kernel.parts)


def nearest(tree, row, count):
    """What `find_nearest` fills in: squared distances and places, in the heap's order."""
    squares, near = np.empty(count), np.empty(count, dtype=np.int64)
    leaf = np.empty(tree.blocks.shape[2])
    rest = squares, near, np.empty(64, np.int64), np.empty(64), leaf
    find_nearest(*(row, *tree, *rest))
    return squares, near


ROWS = st.integers(1, 4).flatmap(
    lambda d: st.tuples(
        arrays(float, st.tuples(st.integers(2, 90), st.just(d)), elements=st.integers(-3, 3)),
        arrays(float, d, elements=st.integers(-4, 4)),
    )
)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(ROWS, st.integers(1, 12), st.integers(1, 40))
def test_of_many_rows_at_one_distance_the_same_are_taken(drawn, count, leaf_size):
    """Integers: almost every distance is there more than once."""
    rows, row = drawn
    count = min(count, len(rows))
    tree = KDTree(rows, leaf_size=leaf_size)
    squares, near = nearest(take_apart(tree), row, count)
    distances, places = tree.query(row[None], k=count)
    assert np.array_equal(np.sort(np.sqrt(squares)), distances[0])
    assert np.array_equal(np.sort(near), np.sort(places[0]))
    plain = np.sort(((rows - row) ** 2).sum(axis=1))[:count]
    assert np.array_equal(np.sort(squares), plain)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_any_distances_are_those_of_looking_at_all_rows(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 5)) * np.logspace(0, 3, 5)
    row = rng.normal(size=5) * 10 ** rng.uniform(-3, 6)
    squares, near = nearest(take_apart(KDTree(rows, leaf_size=9)), row, 7)
    assert len(set(near)) == 7
    plain = np.zeros(300)
    for j in range(5):
        plain += (row[j] - rows[:, j]) ** 2
    assert np.array_equal(np.sort(squares), np.sort(plain)[:7])
    assert np.array_equal(squares, plain[near])


@pytest.mark.parametrize("width", [1, 5, 16])
@pytest.mark.parametrize("method", ["largest", "mean", "median"])
def test_knn_scores_as_pyod_does_with(method, width):
    rows = generated("plain", 300, width)
    for count in (1, 4, 5):
        check(fitted("KNN", rows, method=method, n_neighbors=count), fresh(rows, 10))


@pytest.mark.parametrize("params", [{"n_neighbors": 1}, {"n_neighbors": 5}, {"leaf_size": 7}])
@pytest.mark.parametrize("kind", ["plain", "tied"])
@pytest.mark.parametrize("width", [1, 5, 16])
def test_lof_scores_as_pyod_does_with(width, kind, params):
    rows = generated(kind, 300, width)
    check(fitted("LOF", rows, **params), fresh(rows, 10))


@pytest.mark.parametrize("name", ["KNN", "LOF"])
@pytest.mark.parametrize("width", [5, 20])
def test_rows_that_come_more_than_once_in_training(name, width):
    rows = np.repeat(generated("plain", 60, width), 8, axis=0)
    check(fitted(name, rows), np.vstack([rows[::16], fresh(rows, 10)]))


@pytest.mark.parametrize("name", ["KNN", "LOF"])
def test_products_of_matrices_leave_to_pyod_what_hangs_on_their_roundings(name):
    rows = generated("plain", 300, 20)
    detector = fitted(name, rows)
    probes = np.random.default_rng(1).normal(size=(200, 20))
    assert left(detector, probes) == 0
    assert left(detector, rows) == 0  # a distance of 0 is none of the counted
    wild = adversarial(rows, each=1)
    assert 0 < left(detector, wild) < len(wild)
    check(detector, wild)


def test_a_distance_of_nothing_is_what_a_product_makes_of_it():
    rows = generated("plain", 300, 20) + 100
    detector = fitted("KNN", rows, method="mean")
    assert left(detector, rows[:20]) == 20
    check(detector, rows[:20])


def test_half_of_all_rows_as_neighbours():
    rows = generated("plain", 40, 3)
    for name in ("KNN", "LOF"):
        check(fitted(name, rows, n_neighbors=30), fresh(rows, 10))


@pytest.mark.parametrize("method", ["largest", "median"])
def test_the_order_of_the_training_rows_changes_no_bit_of_knn(method):
    rows = generated("tied", 300)
    probes = fresh(rows, 100)
    scores = compiled(fitted("KNN", rows, method=method)).score(probes)
    turned = compiled(fitted("KNN", rows[::-1].copy(), method=method)).score(probes)
    assert turned.tobytes() == scores.tobytes()


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("KNN", {"metric": "manhattan"}, "metric 'manhattan'"),
        ("KNN", {"p": 1}, "metric 'manhattan'"),
        ("LOF", {"metric": "cosine"}, "metric 'cosine'"),
        ("LOF", {"algorithm": "ball_tree"}, "kind of tree"),
        ("LOF", {"novelty": False}, "no new rows"),
    ],
)
def test_parameters_without_a_kernel_are_left_to_pyod(name, params, words):
    rows = generated("plain", 100, 3)
    detector = fitted(name, rows, **params)
    with pytest.raises(Unsupported, match=words):
        compiled(detector)
    scorer = choose(detector, rows)
    assert scorer.how.startswith("PyOD")
    assert scorer.doubt is None


@pytest.mark.parametrize("method", ["highest"])
def test_a_method_that_is_not_known_is_left_to_pyod(method):
    detector = fitted("KNN", generated("plain", 100, 3))
    detector.method = method
    with pytest.raises(Unsupported, match="highest"):
        compiled(detector)


def test_trees_of_another_shape_are_refused():
    class Another:
        def __init__(self, tree, **changed):
            self.arrays = [changed.get(str(i), part) for i, part in enumerate(tree.get_arrays())]

        def get_arrays(self):
            return self.arrays

    tree = KDTree(generated("plain", 100, 3), leaf_size=10)
    _, _, nodes, bounds = tree.get_arrays()
    take_apart(Another(tree))
    with pytest.raises(ValueError, match="not boxes"):
        take_apart(Another(tree, **{"3": bounds[:1]}))
    uneven = np.array(nodes)
    uneven["is_leaf"][1] = 1
    with pytest.raises(ValueError, match="not complete"):
        take_apart(Another(tree, **{"2": uneven}))
    gap = np.array(nodes)
    gap["idx_start"][-1] += 1
    with pytest.raises(ValueError, match="each row once"):
        take_apart(Another(tree, **{"2": gap}))
