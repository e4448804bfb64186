import ast
import importlib.util
from pathlib import Path

import pytest

from detectd.detectors import build, find, try_params
from detectd.detectors.catalogue import CATALOGUE, REFUSED, check_params
from detectd.errors import ConfigError

MODELS = Path(importlib.util.find_spec("pyod").origin).parent / "models"
NOT_DETECTORS = {"BaseDetector", "BaseDeepLearningDetector"}


def detectors_of_pyod():
    """Every public class in PyOD's models that descends from its base detector."""
    for path in MODELS.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            bases = [ast.unparse(base) for base in getattr(node, "bases", ())]
            name = getattr(node, "name", "_")
            if any("Detector" in base for base in bases) and not name.startswith("_"):
                yield name


def test_every_detector_of_pyod_is_offered_or_refused_with_a_reason():
    named = set(CATALOGUE) | set(REFUSED)
    assert set(detectors_of_pyod()) - NOT_DETECTORS - named == set()
    assert not set(CATALOGUE) & set(REFUSED)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_detector_on_offer_is_where_the_catalogue_says(name):
    entry = CATALOGUE[name]
    spec = importlib.util.find_spec(f"{entry.package}.{entry.module}")
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert f"class {name}(" in source
    assert ("torch" in source) >= entry.torch


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("IFrest", "did you mean 'IForest'?"),
        ("iforest", "did you mean 'IForest'?"),
        ("zzz", "choose one of "),
        ("LOCI", "against itself"),
        ("XGBOD", "labels"),
        ("LSCP", "other detectors"),
        ("FeatureBagging", "combo"),
        ("VAE", "at random"),
        ("DIF", "against itself"),
    ],
)
def test_an_unknown_or_refused_name_says_why_and_what_else(name, words):
    with pytest.raises(ConfigError, match=r"detector\.name") as refused:
        find(name)
    assert words in str(refused.value)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_network_says_which_extra_to_install():
    with pytest.raises(ConfigError, match=r"pip install '\.\[torch\]' in a checkout"):
        find("AutoEncoder")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_neighbours": 3}, "did you mean 'n_neighbors'?"),
        ({"zzz": 3}, "it has "),
        ({"contamination": 0.1}, "set detector.contamination instead"),
        ({"random_state": 1}, "set detector.seed instead"),
        ({"verbose": 1}, "remove it"),
    ],
)
def test_an_unknown_parameter_says_which_there_are(params, words):
    with pytest.raises(ConfigError, match=r"detector\.params") as refused:
        check_params("KNN", params)
    assert words in str(refused.value)


def test_the_networks_that_are_refused_do_in_pyod_what_the_reason_says():
    """Read, not measured: without PyTorch they do not run."""
    source = {name: (MODELS / f"{name}.py").read_text() for name in ("vae", "alad", "dif")}
    assert "torch.randn_like" in source["vae"]
    assert "nn.Dropout" in source["alad"]
    assert ".eval()" not in source["alad"]
    assert "StandardScaler().fit_transform(x_reduced)" in source["dif"]


def test_a_value_that_pyod_refuses_is_one_line():
    with pytest.raises(ConfigError, match=r"detector\.params: MAD rejects them"):
        build("MAD", 0.1, 0, {"threshold": "high"})


def test_a_value_that_only_a_fit_refuses_is_found_by_a_small_one():
    with pytest.raises(ConfigError, match=r"detector\.params: IForest rejects .*n_estimators"):
        try_params("IForest", {"n_estimators": "ten"}, 2)
    try_params("IForest", {"n_estimators": 5}, 2)
    try_params("KNN", {"n_neighbors": 5000}, 2)  # too many for so few rows, not in itself


def test_the_seed_reaches_the_detectors_that_take_one():
    assert build("IForest", 0.1, 7, {"n_estimators": 10}).random_state == 7
    assert build("KNN", 0.2, 7, {}).contamination == 0.2
