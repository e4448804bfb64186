"""Score feature vectors: the PyOD detectors on offer, and how each scores a row alone.

The guarantee: a row's score does not depend on the other rows in its batch. Begin with `catalogue`.

catalogue   the detectors on offer, and why others are refused
scorer      fitting, and one score a row, independent of the batch, by PyOD
tail_sum    a detector of the project, for columns that are surprises already
encoding    categories as numbers, by their shares of the training rows
scaling     columns in units of their spread, for detectors that measure distances
prepared    a scorer with both in front
tails       ECOD and COPOD, which PyOD scores against their batch, computed directly
kernels     the same scores by compiled kernels
selection   which of these scores, compared with PyOD
outward     rows far outside, that must not rank as normal
"""

from detectd.detectors.catalogue import build, find, measures
from detectd.detectors.encoding import Coding, Encoding, Vocabulary, encoded_width
from detectd.detectors.outward import far_outside
from detectd.detectors.prepared import choose_scaled
from detectd.detectors.scaling import Scale, Scaling
from detectd.detectors.scorer import Scorer, fit, training_scores, try_params
from detectd.detectors.selection import choose

__all__ = [
    "Coding",
    "Encoding",
    "Scale",
    "Scaling",
    "Scorer",
    "Vocabulary",
    "build",
    "choose",
    "choose_scaled",
    "encoded_width",
    "far_outside",
    "find",
    "fit",
    "measures",
    "training_scores",
    "try_params",
]
