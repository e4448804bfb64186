"""Where models live: one directory each, written once and never changed.

    <directory>/
      20261123T101500Z-3f2a9c/   manifest.json detector.pkl calibration.npy medians.npy rows.npy
      active.json                which one answers, and which ones did before
      candidate.json             which one scores along without being heard
      observed.json              what the stream made of the promise

A detector is a pickle, and a pickle is code: nothing is loaded that another user could have
written, or whose sha256 is not the manifest's.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd import durable
from detectd.errors import ConfigError, DetectdError, UsageError
from detectd.models.libraries import libraries
from detectd.models.model import Contamination, Model, Recipe
from detectd.models.trusted import damaged, refuse_writable, sha256, verified
from detectd.os_failures import explained

if TYPE_CHECKING:
    from pathlib import Path

ARRAYS = ("calibration", "medians", "rows")


@dataclass(frozen=True)
class Loaded:
    """A model from the store. Its `detector` is None where `drift` names versions that differ.

    `drift` maps a library to its version then and now; such a model must be fitted again.
    """

    model: Model
    drift: dict[str, tuple[str, str]]


class Store:
    """The models under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, model: Model) -> None:
        """Write the model beside, then give it its name: it is there whole or not at all."""
        self.make()
        home = self.directory / model.version
        if home.exists():
            return  # The name says what it holds.
        beside = self.directory / f".{model.version}.new"
        try:
            _write_model(model, beside)
            beside.rename(home)
            durable.sync_directory(self.directory)
        except OSError as failed:
            shutil.rmtree(beside, ignore_errors=True)
            raise explained(
                failed,
                f"models.directory: {self.directory}: the model cannot be stored, "
                "the one before stays active",
            ) from None

    def load(self, version: str) -> Loaded:
        """Read a model, checking every byte before any of it is unpickled.

        Raises ConfigError where the store can be written by others, or the model is damaged.
        """
        home = self.directory / version
        if not home.is_dir():
            raise damaged(home, "it is gone")
        refuse_writable(self.directory, home, *home.iterdir())
        manifest = self.manifest(version)
        files = {name: verified(home / name, digest) for name, digest in manifest["files"].items()}
        now = libraries()
        drift = {
            name: (then, now.get(name, "none"))
            for name, then in manifest["libraries"].items()
            if now.get(name) != then
        }
        try:
            arrays = {name: np.load(io.BytesIO(files[f"{name}.npy"])) for name in ARRAYS}
            detector = None if drift else pickle.loads(files["detector.pkl"])  # noqa: S301 - hashed
            model = Model(
                version=version,
                created=manifest["created"],
                recipe=Recipe(**manifest["recipe"]),
                contamination=_contamination(manifest),
                features=tuple(manifest["features"]),
                libraries=manifest["libraries"],
                detector=detector,
                **arrays,
            )
        except (KeyError, TypeError, ValueError, AttributeError, ImportError) as broken:
            raise damaged(home, str(broken)) from broken
        return Loaded(model, drift)

    def manifest(self, version: str) -> dict[str, Any]:
        """What the model says of itself."""
        self._require(version)
        path = self.directory / version / "manifest.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_bytes())
            if manifest["version"] != version:
                raise damaged(path.parent, f"its manifest names {manifest['version']}")
            manifest["files"].items()
            manifest["libraries"].items()
        except FileNotFoundError:
            raise damaged(path.parent, "manifest.json is gone") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise damaged(path.parent, "manifest.json cannot be read") from None
        return manifest

    def describe(self, version: str) -> str:
        """A model in one line; a damaged one says so."""
        try:
            manifest = self.manifest(version)
            recipe = manifest["recipe"]
            return (
                f"{version}  {recipe['detector']}  n={manifest['n']}  "
                f"contamination={_contamination(manifest).mean:.4g}  {recipe['method']}  "
                f"{','.join(manifest['features'])}"
            )
        except (ConfigError, KeyError):
            return f"{version}  DAMAGED"

    def versions(self) -> list[str]:
        """The names of all models, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self.directory.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )

    def active(self) -> str | None:
        """The version that answers; None where nothing has been activated."""
        history = self._history()
        return history[-1] if history else None

    def activate(self, version: str) -> None:
        """Let `version` answer from now on; a running service goes over to it within a second."""
        self._require(version)
        self._let_answer([v for v in self._history() if v != version] + [version])

    def rollback(self) -> str:
        """Activate the version that answered before, and tell its name."""
        history = self._history()
        earlier = [version for version in history[:-1] if version in self.versions()]
        if not earlier:
            raise DetectdError(f"{self.directory}: no earlier model to go back to; fit one")
        self._let_answer(earlier)
        return earlier[-1]

    def candidate(self) -> str | None:
        """The version that scores along; None where there is none, or it is gone."""
        try:
            version: str | None = json.loads(self._candidate.read_bytes())["version"]
        except (FileNotFoundError, KeyError, ValueError, TypeError):
            return None
        return version if version in self.versions() else None

    def nominate(self, version: str | None) -> None:
        """Let `version` score along with the one that answers; None ends that."""
        if version is None:
            self._candidate.unlink(missing_ok=True)
            return
        self._require(version)
        if version == self.active():
            raise UsageError(f"{version} answers already; name another as the candidate")
        durable.replace(self._candidate, _json({"version": version}))

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` models, the active one and the candidate; tell which."""
        spared = {self.active(), self.candidate()}
        gone = [v for v in self.versions()[: -keep or None] if v not in spared]
        for version in gone:
            shutil.rmtree(self.directory / version)
        self._write_history([v for v in self._history() if v not in gone])
        return gone

    def observed(self, version: str) -> dict[str, Any]:
        """What was recorded under `version`: the count of each verdict, and whatever else."""
        try:
            found: dict[str, Any] = dict(json.loads(self._observed.read_bytes())[version])
        except (FileNotFoundError, KeyError, ValueError, TypeError):
            return {}
        return found

    def record_observed(self, version: str, observed: dict[str, Any]) -> None:
        """Keep for `detectd report` what the stream made of `version`.

        `observed` holds the count of each verdict and whatever else, all of it JSON. It is written
        once a second: a few kilobytes, on one line.
        """
        self.make()
        content = json.dumps({version: observed}, separators=(",", ":"))
        durable.replace(self._observed, content.encode() + b"\n")

    @property
    def _candidate(self) -> Path:
        return self.directory / "candidate.json"

    @property
    def _observed(self) -> Path:
        return self.directory / "observed.json"

    def make(self) -> None:
        """Create the directory where it is missing, for its owner alone."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as refused:
            raise explained(refused, f"models.directory: cannot create {self.directory}") from None

    def _history(self) -> list[str]:
        path = self.directory / "active.json"
        try:
            return list(json.loads(path.read_bytes())["history"])
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{path}: damaged; choose a model with `detectd models activate` after removing it"
            ) from None

    def _let_answer(self, history: list[str]) -> None:
        """The last of `history` answers, and so does not score along."""
        self._write_history(history)
        if self.candidate() == history[-1]:
            self.nominate(None)

    def _write_history(self, history: list[str]) -> None:
        durable.replace(self.directory / "active.json", _json({"history": history}))

    def _require(self, version: str) -> None:
        if version not in self.versions():
            raise UsageError(
                f"{self.directory}: no model {version!r}; `detectd models list` shows what is there"
            )


def _write_model(model: Model, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    files = {f"{name}.npy": _npy(getattr(model, name)) for name in ARRAYS}
    files["detector.pkl"] = pickle.dumps(model.detector, protocol=5)
    manifest = _manifest(model) | {"files": {name: sha256(c) for name, c in files.items()}}
    for name, content in files.items():
        durable.write(home / name, content, mode=0o600)
    durable.write(home / "manifest.json", _json(manifest), mode=0o600)
    durable.sync_directory(home)


def _manifest(model: Model) -> dict[str, Any]:
    settled = _json([asdict(model.recipe), model.features])
    return {
        "version": model.version,
        "created": model.created,
        "recipe": asdict(model.recipe),
        "contamination": asdict(model.contamination),
        "features": model.features,
        "config_sha256": sha256(settled),
        "libraries": model.libraries,
        "n": len(model.calibration),
        "training_rows": len(model.rows),
    }


def _contamination(manifest: dict[str, Any]) -> Contamination:
    """Models of earlier versions name it in their recipe alone: it was always a number."""
    if "contamination" not in manifest:
        return Contamination.known(manifest["recipe"]["contamination"])
    found = manifest["contamination"]
    return Contamination(found["mean"], tuple(found["points"]))


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
