"""The detectors on offer, how each scores a row alone, and why others are refused.

Tables only: PyOD is imported when a detector's parameters are validated, or it is built.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError
from detectd.extras import how_to_get
from detectd.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scoring(Enum):
    """How to compute the score of a row alone with a detector."""

    BATCH = "scoring in a batch gives each row the same bits as scoring it alone"
    ROW = "a batch rounds differently, so each row is scored by a call of its own"
    TAILS = "a batch is scored against itself, so the score of one row is computed directly"


@dataclass(frozen=True, slots=True)
class Entry:
    """A detector on offer. Beyond `exact_to` features a batch goes through BLAS, with other
    rounding.

    A detector that does not `learn` scores its training rows like any others. One that `measures`
    sums distances along the columns, so the column with the largest numbers dominates.
    """

    module: str
    scoring: Scoring = Scoring.BATCH
    exact_to: int | None = None
    torch: bool = False
    package: str = "pyod.models"
    learns: bool = True
    measures: bool = False


# Beyond 15 features scikit-learn's neighbour searches multiply matrices instead of walking trees,
# and the last bits of a product depend on its shape.
TREES_TO = 15

CATALOGUE: dict[str, Entry] = {
    "ABOD": Entry("abod", exact_to=TREES_TO, measures=True),
    # KMeans multiplies matrices, and a row between two clusters can change sides with the rounding.
    "CBLOF": Entry("cblof", Scoring.ROW, measures=True),
    "COPOD": Entry("copod", Scoring.TAILS),
    "ECOD": Entry("ecod", Scoring.TAILS),
    "GMM": Entry("gmm", Scoring.ROW),
    "HBOS": Entry("hbos"),
    "HDBSCAN": Entry("hdbscan", exact_to=TREES_TO, measures=True),
    "IForest": Entry("iforest"),
    "INNE": Entry("inne", Scoring.ROW, measures=True),
    "KDE": Entry("kde", measures=True),
    "KNN": Entry("knn", exact_to=TREES_TO, measures=True),
    "KPCA": Entry("kpca", Scoring.ROW, measures=True),
    "LODA": Entry("loda", Scoring.ROW),
    "LOF": Entry("lof", exact_to=TREES_TO, measures=True),
    "MAD": Entry("mad"),
    "MCD": Entry("mcd"),
    "OCSVM": Entry("ocsvm", measures=True),
    "PCA": Entry("pca"),
    "Sampling": Entry("sampling", measures=True),
    "TailSum": Entry("tail_sum", package="detectd.detectors", learns=False),
    # Networks multiply matrices too.
    "AE1SVM": Entry("ae1svm", Scoring.ROW, torch=True, measures=True),
    "AnoGAN": Entry("anogan", Scoring.ROW, torch=True, measures=True),
    "AutoEncoder": Entry("auto_encoder", Scoring.ROW, torch=True, measures=True),
    "DeepSVDD": Entry("deep_svdd", Scoring.ROW, torch=True, measures=True),
    "LUNAR": Entry("lunar", Scoring.ROW, torch=True, measures=True),
    "MO_GAAL": Entry("mo_gaal", Scoring.ROW, torch=True, measures=True),
    "SO_GAAL": Entry("so_gaal", Scoring.ROW, torch=True, measures=True),
}

ITSELF = "scores a batch against itself, so an event's score would depend on its neighbours"
RANDOM = "draws at random while it scores, so a replay would give different scores"
LABELS = "needs labels, and a stream has none"
SERIES = "scores a time series as a whole, not an event"
GRAPH = "scores the nodes of a graph, not events"
MEDIA = "scores texts, images or sounds through an embedding, not feature vectors"
OTHERS = "is composed of other detectors, which a configuration cannot name"
BACKWARDS = "flips its scores by their skewness, which can rank far outliers as most normal"
COMBO = "needs the package combo, which detectd does not install"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("CD", "COF", "DIF", "LMDD", "LOCI", "RGraph", "ROD", "SOD", "SOS"), ITSELF),
    **dict.fromkeys(("ALAD", "VAE"), RANDOM),
    **dict.fromkeys(("DevNet", "XGBOD"), LABELS),
    **dict.fromkeys(("LSCP", "SUOD"), OTHERS),
    "FeatureBagging": COMBO,
    "QMCD": BACKWARDS,
    **dict.fromkeys(("AudioAE", "EmbeddingOD", "MultiModalOD"), MEDIA),
    **dict.fromkeys(
        (
            "AnomalyTransformer",
            "KShape",
            "LSTMAD",
            "MatrixProfile",
            "SAND",
            "SpectralResidual",
            "TimeSeriesOD",
        ),
        SERIES,
    ),
    **dict.fromkeys(
        (
            "ANOMALOUS",
            "AnomalyDAE",
            "CONAD",
            "CoLA",
            "DOMINANT",
            "GUIDE",
            "Radar",
            "SCAN",
        ),
        GRAPH,
    ),
}

# Parameters that the service sets, and the configuration keys for them.
OURS = {"contamination": "detector.contamination", "random_state": "detector.seed"}


def find(name: str) -> Entry:
    """Return the detector of that name. Raise ConfigError with the nearest name, or the reason for
    its absence."""
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        if entry.torch and importlib.util.find_spec("torch") is None:
            raise ConfigError(f"detector.name: {name} needs PyTorch; {how_to_get('torch')}")
        return entry
    if name in REFUSED:
        raise ConfigError(f"detector.name: {name} {REFUSED[name]}; choose another")
    known = {candidate.lower(): candidate for candidate in (*CATALOGUE, *REFUSED)}
    close = difflib.get_close_matches(name.lower(), known, n=1)
    listed = ", ".join(CATALOGUE)
    hint = f"did you mean {known[close[0]]!r}?" if close else f"choose one of {listed}"
    raise ConfigError(f"detector.name: PyOD has no detector {name!r}; {hint}")


def measures(name: str) -> bool:
    """Return whether the detector of that name sums distances along the columns."""
    return name in CATALOGUE and CATALOGUE[name].measures


def check_params(name: str, params: Mapping[str, Any]) -> None:
    """Raise ConfigError for a parameter that the detector does not have. Imports PyOD."""
    known = set(inspect.signature(_class(name).__init__).parameters) - {"self", *OURS}
    for param in params:
        if param in OURS:
            raise ConfigError(f"detector.params.{param}: set {OURS[param]} instead")
        if param == "verbose":  # libsvm prints past sys.stdout, into the verdicts
            raise ConfigError("detector.params.verbose: remove it; detectd controls the output")
        if param not in known:
            close = difflib.get_close_matches(param, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(known))}"
            raise ConfigError(f"detector.params: {name} has no parameter {param!r}; {hint}")


def build(name: str, contamination: float, seed: int, params: Mapping[str, Any]) -> Any:
    """Return an unfitted PyOD detector. Raise ConfigError if it cannot be created."""
    check_params(name, params)
    detector = _class(name)
    accepted = inspect.signature(detector.__init__).parameters
    ours = {"contamination": contamination, "random_state": seed}
    given = {key: value for key, value in ours.items() if key in accepted}
    try:
        with quiet():
            return detector(**given, **params)
    except (TypeError, ValueError) as refused:
        raise ConfigError(f"detector.params: {name} rejects them: {_line(refused)}") from None


def _class(name: str) -> Any:
    entry = find(name)
    try:
        return getattr(importlib.import_module(f"{entry.package}.{entry.module}"), name)
    except ImportError as missing:
        raise ConfigError(f"detector.name: {name} cannot be imported: {_line(missing)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
