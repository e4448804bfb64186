"""Feature vectors to scores: which PyOD detectors there are, and how each scores a row alone.

catalogue   the detectors on offer, and why others are refused
scorer      one score a row, independent of the batch
tails       ECOD and COPOD, which PyOD scores against their batch, computed directly
"""

from detectd.detectors.catalogue import build, check_params, find
from detectd.detectors.scorer import Scorer, choose, fit, training_scores

__all__ = ["Scorer", "build", "check_params", "choose", "find", "fit", "training_scores"]
