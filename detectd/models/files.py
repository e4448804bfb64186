"""A model as the files of one directory: writing, and reading with checks."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors import Encoding, Scaling, encoded_width
from detectd.features import as_data, from_data
from detectd.filesystem import atomic_files
from detectd.models.environment import libraries
from detectd.models.integrity import damaged, sha256, verified
from detectd.models.model import Contamination, Model, Recipe, RowKeys
from detectd.pipeline.unexpected_errors import in_words

if TYPE_CHECKING:
    from pathlib import Path

ARRAYS = ("calibration", "medians", "rows")
MANIFEST, DETECTOR = "manifest.json", "detector.pkl"
SCALING = "scaling.npy"  # only of models whose columns are scaled
KEYS = {"rows": "row_keys.npy", "calibration": "calibration_keys.npy"}  # only of rows with keys
ENCODING = "encoding.json"  # only of models with categories
OTHERS = {MANIFEST, DETECTOR, SCALING, ENCODING, *KEYS.values()}
FILES = frozenset({*OTHERS, *(f"{name}.npy" for name in ARRAYS)})


@dataclass(frozen=True)
class Loaded:
    """A model from the store. Its `detector` is None if `drift` names versions that differ.

    `drift` maps a library to its version then and now; such a model must be fitted again.
    """

    model: Model
    drift: dict[str, tuple[str, str]]


def write_model(model: Model, home: Path) -> None:
    """Write the files into the empty directory `home`. Raise OSError."""
    files = {f"{name}.npy": _npy(getattr(model, name)) for name in ARRAYS}
    files[DETECTOR] = pickle.dumps(model.detector, protocol=5)
    if model.scaling is not None:
        files[SCALING] = _npy(np.stack([model.scaling.center, model.scaling.spread]))
    if model.keys is not None:
        files |= {file: _npy(getattr(model.keys, name)) for name, file in KEYS.items()}
    if model.encoding is not None:
        files[ENCODING] = as_json(model.encoding.as_data())
    manifest = _manifest(model) | {"files": {name: sha256(c) for name, c in files.items()}}
    for name, content in files.items():
        atomic_files.write(home / name, content, mode=0o600)
    atomic_files.write(home / MANIFEST, as_json(manifest), mode=0o600)


def read_model(home: Path, manifest: dict[str, Any]) -> Loaded:
    """Return the model whose files are in `home`.

    Raise ConfigError unless they are unchanged.
    """
    if not FILES.issuperset(manifest["files"]):
        raise damaged(home, "its manifest names files that no model has")
    files = {name: verified(home / name, digest) for name, digest in manifest["files"].items()}
    now = libraries()
    drift = {
        name: (then, now.get(name, "none"))
        for name, then in manifest["libraries"].items()
        if now.get(name) != then
    }
    try:
        arrays = {name: np.load(io.BytesIO(files[f"{name}.npy"])) for name in ARRAYS}
        detector = None if drift else pickle.loads(files[DETECTOR])  # noqa: S301 - hashed
        model = Model(
            version=manifest["version"],
            created=manifest["created"],
            recipe=Recipe(**manifest["recipe"]),
            contamination=contamination(manifest),
            features=tuple(manifest["features"]),
            libraries=manifest["libraries"],
            detector=detector,
            declared=from_data(manifest["declared"]) if "declared" in manifest else None,
            scaling=_scaling(files),
            keys=_keys(files),
            encoding=_encoding(files),
            **arrays,
        )
        _require_shapes(model)
    except MemoryError:
        raise
    except Exception as broken:  # a pickle can raise anything
        raise damaged(home, in_words(broken)) from broken
    return Loaded(model, drift)


def _scaling(files: dict[str, bytes]) -> Scaling | None:
    if SCALING not in files:
        return None
    center, spread = np.load(io.BytesIO(files[SCALING]))
    return Scaling(center, spread)


def _keys(files: dict[str, bytes]) -> RowKeys | None:
    if not files.keys() & set(KEYS.values()):
        return None
    return RowKeys(**{name: np.load(io.BytesIO(files[file])) for name, file in KEYS.items()})


def _encoding(files: dict[str, bytes]) -> Encoding | None:
    return Encoding.from_data(json.loads(files[ENCODING])) if ENCODING in files else None


def _require_shapes(model: Model) -> None:
    """Raise ValueError unless the arrays are those of one model."""
    width = len(model.features)
    shapes = {"calibration": (None,), "medians": (width,), "rows": (None, width)}
    for name, shape in shapes.items():
        array = getattr(model, name)
        sizes = zip(array.shape, shape, strict=False)
        fits = array.ndim == len(shape) and all(b is None or a == b for a, b in sizes)
        if array.dtype != np.float64 or not fits or not array.size:
            raise ValueError(f"{name} has the wrong shape or type")
    if not (np.isfinite(model.calibration).all() and np.isfinite(model.medians).all()):
        raise ValueError("a calibration score or a median is not finite")
    if (model.scaling is None) != (model.recipe.scale == "none"):
        raise ValueError("the recipe's scale contradicts the scaling")
    if (model.encoding.codings if model.encoding else ()) != model.recipe.codings:
        raise ValueError("the recipe's categories contradict the encoding")
    if not all(0 <= each.column < width for each in model.recipe.codings):
        raise ValueError("the encoding names columns that the model does not have")
    inputs = encoded_width(width, model.recipe.codings)
    if model.scaling is not None and not _can_scale(model.scaling, inputs):
        raise ValueError("the scaling has the wrong shape, type or values")
    if not all(isinstance(name, str) for name in model.features):
        raise ValueError("the name of a feature is not valid")
    if model.keys is not None and not _are_keys(model.keys, model):
        raise ValueError("the keys have the wrong shape or type")


def _are_keys(keys: RowKeys, model: Model) -> bool:
    sizes = (keys.rows, len(model.rows)), (keys.calibration, len(model.calibration))
    return all(each.shape == (n,) and each.dtype == np.uint64 for each, n in sizes)


def _can_scale(scaling: Scaling, width: int) -> bool:
    arrays = scaling.center, scaling.spread
    fits = all(each.shape == (width,) and each.dtype == np.float64 for each in arrays)
    return fits and bool(np.isfinite(arrays).all() and (scaling.spread > 0.0).all())


def read_manifest(home: Path, version: str) -> dict[str, Any]:
    """Return the manifest of the model in `home`. Raise ConfigError unless it is `version`."""
    try:
        manifest: dict[str, Any] = json.loads((home / MANIFEST).read_bytes())
        if manifest["version"] != version:
            raise damaged(home, f"its manifest names {manifest['version']}")
        manifest["files"].items()
        manifest["libraries"].items()
    except FileNotFoundError:
        raise damaged(home, "manifest.json is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged(home, "manifest.json cannot be read") from None
    return manifest


def contamination(manifest: dict[str, Any]) -> Contamination:
    """Return the contamination; models of earlier versions have it only in their recipe, as a
    number."""
    if "contamination" not in manifest:
        return Contamination.known(manifest["recipe"]["contamination"])
    found = manifest["contamination"]
    return Contamination(found["mean"], tuple(found["points"]))


def as_json(value: object) -> bytes:
    """Return the content of a JSON file for people to read."""
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _manifest(model: Model) -> dict[str, Any]:
    declared = {} if model.declared is None else {"declared": as_data(model.declared)}
    settled = as_json([asdict(model.recipe), declared.get("declared", model.features)])
    return {
        "version": model.version,
        "created": model.created,
        "recipe": asdict(model.recipe),
        "contamination": asdict(model.contamination),
        "features": model.features,
        **declared,
        "config_sha256": sha256(settled),
        "libraries": model.libraries,
        "n": len(model.calibration),
        "training_rows": len(model.rows),
    }


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
