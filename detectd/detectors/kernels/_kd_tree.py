"""Find the nearest training rows in one of scikit-learn's k-d trees.

Friedman, Bentley and Finkel, "An Algorithm for Finding Best Matches in Logarithmic Expected Time",
1977. The search visits the nodes in scikit-learn's order and replaces neighbours as scikit-learn
does, so that among rows at the same distance it selects the same ones; LOF's score depends on the
choice. A node is skipped only if it cannot contain a neighbour, to the last bit: the sum of squares
to its box, added up as distances are, never exceeds the distance to a row in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectd.detectors.kernels._blocks import LANES, add_squares
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Tree(NamedTuple):
    """A complete binary tree over n rows: below node i are nodes 2i+1 and 2i+2.

    `boxes` (nodes, 2, d) are the lowest and highest corners of the nodes, `blocks` (leaves, d,
    width) the rows of the leaves, padded with infinity, `places` (leaves, width) their indices
    among the training rows.
    """

    boxes: Rows
    blocks: Rows
    places: Ints


def take_apart(tree: Any) -> Tree:
    """Return copies of the arrays of a fitted KDTree. Raise ValueError if they are not as
    expected."""
    data, order, nodes, bounds = tree.get_arrays()
    count, leaves = len(nodes), (len(nodes) + 1) // 2
    if bounds.shape != (2, count, data.shape[1]):
        raise ValueError("a tree whose nodes are not boxes")
    is_leaf = np.arange(count) >= count - leaves
    if count & (count + 1) or not np.array_equal(nodes["is_leaf"] != 0, is_leaf):
        raise ValueError("a tree that is not complete")
    starts, ends = nodes["idx_start"][is_leaf], nodes["idx_end"][is_leaf]
    if starts[0] != 0 or ends[-1] != len(data) or not np.array_equal(starts[1:], ends[:-1]):
        raise ValueError("leaves that do not hold each row once")
    most = int((ends - starts).max())
    width = most + -most % LANES
    blocks = np.full((leaves, data.shape[1], width), np.inf)
    places = np.zeros((leaves, width), dtype=np.int64)
    for leaf, (start, end) in enumerate(zip(starts, ends, strict=True)):
        rows = order[start:end]
        blocks[leaf, :, : len(rows)] = np.asarray(data)[rows].T
        places[leaf, : len(rows)] = rows
    return Tree(np.ascontiguousarray(np.asarray(bounds).transpose(1, 0, 2)), blocks, places)


@compiled
def find_nearest(
    row: Rows,
    boxes: Rows,
    blocks: Rows,
    places: Ints,
    squares: Rows,
    near: Ints,
    waiting: Ints,
    bounds: Rows,
    leaf: Rows,
) -> None:
    """Fill `squares` (k,) and `near` (k,) with the k smallest squared distances and their rows.

    They are a heap, the largest first; a distance that overflows is never used, and its entry stays
    (inf, 0) as in scikit-learn. `waiting`, `bounds` (levels,) and `leaf` (width,) are work space.
    """
    inner = boxes.shape[0] // 2
    squares[:] = np.inf
    near[:] = 0
    node, bound, left = 0, 0.0, 0
    while True:
        if bound < squares[0]:
            if node < inner:
                first, second = _bounds(row, boxes[2 * node + 1], boxes[2 * node + 2])
                node = 2 * node + 1
                waiting[left] = node + 1
                bound, bounds[left] = first, second
                if first > second:
                    waiting[left], node = node, node + 1
                    bound, bounds[left] = second, first
                left += 1
                continue
            add_squares(row, blocks[node - inner], leaf)
            for p in range(leaf.shape[0]):
                if leaf[p] < squares[0]:
                    _replace_largest(squares, near, leaf[p], places[node - inner, p])
        if left == 0:
            return
        left -= 1
        node, bound = waiting[left], bounds[left]


@compiled
def _bounds(row: Rows, first: Rows, second: Rows) -> tuple[float, float]:
    """Return the squared distances from a row to two boxes (2, d), 0 within."""
    to_first = to_second = 0.0
    for j in range(row.shape[0]):
        x = row[j]
        step = max(first[0, j] - x, 0.0) + max(x - first[1, j], 0.0)
        to_first += step * step
        step = max(second[0, j] - x, 0.0) + max(x - second[1, j], 0.0)
        to_second += step * step
    return to_first, to_second


@compiled
def _replace_largest(squares: Rows, near: Ints, square: float, place: int) -> None:
    """Replace the largest square by a smaller one, and sift as scikit-learn does."""
    size, at = squares.shape[0], 0
    while 2 * at + 1 < size:
        larger = 2 * at + 1
        if larger + 1 < size and squares[larger + 1] > squares[larger]:
            larger += 1
        if square >= squares[larger]:
            break
        squares[at], near[at] = squares[larger], near[larger]
        at = larger
    squares[at], near[at] = square, place
