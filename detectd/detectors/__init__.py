"""Feature vectors to scores: which PyOD detectors there are, and how each scores a row alone.

catalogue   the detectors on offer, and why others are refused
scorer      one score a row, independent of the batch
tails       ECOD and COPOD, which PyOD scores against their batch, computed directly
"""

from detectd.detectors.catalogue import build, find
from detectd.detectors.scorer import Scorer, choose, fit, training_scores, try_params

__all__ = ["Scorer", "build", "choose", "find", "fit", "training_scores", "try_params"]
