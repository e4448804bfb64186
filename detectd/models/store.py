"""The model store: one directory per model, written once and never changed.

    <directory>/
      20261123T101500Z-3f2a9c/   manifest.json detector.pkl calibration.npy medians.npy rows.npy
      active.json                which one answers, and which ones did before
      candidate.json             which one runs in shadow mode
      held.json, discarded.json  what waits for an operator, see `pending`
      observed-*.json            what the stream made of the promise, a file a process
      .lock                      held while any of that changes

Any number of threads and processes may use a store at once. New entries are renamed into place, so
they are complete or absent; changes are made under the lock; and a model that any process loads or
serves is not removed.

A detector is a pickle, and a pickle is code: nothing is loaded that another user could have
written, or whose sha256 is not the manifest's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError, DetectdError, UsageError
from detectd.filesystem import atomic_files, private_directories
from detectd.filesystem.os_errors import explained
from detectd.filesystem.private_directories import require_private
from detectd.models import choices, locks, observed, pending, placing
from detectd.models.files import (
    Loaded,
    contamination,
    read_manifest,
    read_model,
    write_model,
)
from detectd.models.integrity import damaged, refuse_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from detectd.models.model import Model

KEY = "models.directory"


class Store:
    """The models under one directory."""

    def __init__(self, directory: Path, *, check_owners: bool = True) -> None:
        self.directory = directory
        self._check_owners = check_owners
        self._made = False

    def save(self, model: Model) -> None:
        """Write the model to a temporary directory, then rename it: it is complete or absent.

        An existing version is left unchanged: the name identifies the content.
        """
        self.add(model.version, lambda beside: write_model(model, beside))

    def add(self, version: str, write: Callable[[Path], None]) -> None:
        """Store the directory that `write` fills, under the name `version`.

        Raise DetectdError if it cannot be stored, and what `write` raises. If others add the same
        version at the same time, the first one stays.
        """
        self.make()
        home = self.directory / version
        if home.exists():
            return
        beside = atomic_files.unique(home)
        try:
            beside.mkdir(mode=0o700)
            with locks.in_use(beside):  # else another `prune` would remove it as abandoned
                write(beside)
                atomic_files.sync_directory(beside)
                placing.rename_unless_there(beside, home)
            atomic_files.sync_directory(self.directory)
        except OSError as failed:
            raise explained(
                failed,
                f"models.directory: {self.directory}: the model cannot be stored; the previous "
                "one stays active",
            ) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def load(self, version: str) -> Loaded:
        """Read a model, checking every byte before any of it is unpickled.

        Raise ConfigError if the store is writable by others, or the model is damaged.
        """
        return self.load_from(self.directory / version, version)

    def load_from(self, home: Path, version: str) -> Loaded:
        """Read a model as `load` does, from the directory `home`."""
        try:
            require_private(KEY, self.directory, check_owners=self._check_owners)
            with locks.in_use(home) as descriptor:
                refuse_writable(home, os.fstat(descriptor))
                return read_model(home, read_manifest(home, version))
        except (FileNotFoundError, NotADirectoryError):
            raise damaged(home, "it is gone") from None
        except OSError as failed:
            raise explained(failed, f"{home}: cannot be read") from None

    def manifest(self, version: str) -> dict[str, Any]:
        """Return the model's manifest."""
        self._require(version)
        return read_manifest(self.directory / version, version)

    def describe(self, version: str) -> str:
        """Return a model in one line; a damaged one says so."""
        try:
            manifest = self.manifest(version)
            recipe = manifest["recipe"]
            return (
                f"{version}  {recipe['detector']}  n={manifest['n']}  "
                f"contamination={contamination(manifest).mean:.4g}  {recipe['method']}  "
                f"{','.join(manifest['features'])}"
            )
        except (ConfigError, KeyError):
            return f"{version}  DAMAGED"

    def versions(self) -> list[str]:
        """Return the names of all models, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self.directory.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )

    def active(self) -> str | None:
        """Return the active version; None if nothing has been activated."""
        history = self._history()
        return history[-1] if history else None

    def activate(self, version: str) -> None:
        """Activate `version`; a running service switches to it within a second."""
        with self._changing():
            self._require(version)
            self._let_answer([v for v in self._history() if v != version] + [version])
            pending.hold(self.directory, None)

    def replace_active(self, old: str, new: str) -> bool:
        """Activate `new` instead of `old`; return False if another version is active by now."""
        with self._changing():
            self._require(new)
            history = self._history()
            if history[-1:] != [old]:
                return False
            self._let_answer([v for v in history if v != new] + [new])
            return True

    def rollback(self) -> str:
        """Activate the previous version, and return its name.

        The rows collected so far are discarded: the later model was trained on them.
        """
        with self._changing():
            history = self._history()
            earlier = [version for version in history[:-1] if version in self.versions()]
            if not earlier:
                raise DetectdError(
                    f"{self.directory}: no earlier model to go back to; run `detectd fit`"
                )
            self._discard()
            self._let_answer(earlier)
            return earlier[-1]

    def held(self) -> str | None:
        """Return the version that waits for `activate` or `discard`; None if there is none, or it
        is gone."""
        version = pending.held(self.directory)
        return version if version in self.versions() else None

    def hold(self, version: str) -> None:
        """Hold `version` for an operator."""
        with self._changing():
            self._require(version)
            pending.hold(self.directory, version)

    def discard(self) -> str | None:
        """Release the held model, and make the service discard the rows for the next one.

        Return the version that was held.
        """
        with self._changing():
            waited = self.held()
            self._discard()
            return waited

    def discarded(self) -> str:
        """Return a token that changes with each `discard` and each `rollback`."""
        return pending.discarded(self.directory)

    def candidate(self) -> str | None:
        """Return the candidate; None if there is none, or it is gone."""
        version = choices.candidate(self.directory)
        return version if version in self.versions() else None

    def nominate(self, version: str | None) -> None:
        """Run `version` in shadow mode; None ends that."""
        with self._changing():
            self._nominate(version)

    def replace_candidate(self, old: str, new: str) -> bool:
        """Make `new` the candidate instead of `old`; return False if another one is by now."""
        with self._changing():
            if self.candidate() != old:
                return False
            self._nominate(new)
            return True

    def prune(self, keep: int, *, spare_earlier: bool = False) -> list[str]:
        """Remove all but the newest `keep` models; return the removed ones.

        The active, candidate and held models are also spared, as are those that a process loads or
        serves now, and with `spare_earlier` the target of `rollback`.
        """
        with self._changing():
            versions, history = self.versions(), self._history()
            spared = {self.active(), self.candidate(), self.held()}
            if spare_earlier:
                spared.update([v for v in history[:-1] if v in versions][-1:])
            old = [v for v in versions[: -keep or None] if v not in spared]
            gone = {v: aside for v in old if (aside := placing.move_aside(self.directory / v))}
            if gone:
                choices.write_history(self.directory, [v for v in history if v not in gone])
            observed.forget(self.directory, self.versions())
            left = [path for path in self.directory.glob(".*.new") if placing.is_left_behind(path)]
        for path in [*gone.values(), *left]:
            shutil.rmtree(path, ignore_errors=True)
        return list(gone)

    def observed(
        self, version: str, zone: list[int] | None = None, stream: str | None = None
    ) -> dict[str, Any]:
        """Return the observations of all processes under `version`.

        With `zone`, observations under other ranks are left out: they belong to another promise.
        With `stream`, those known to belong to another stream are left out.
        """
        return observed.together(observed.parts(self.directory, version, zone, stream))

    def holder(self) -> locks.Holder:
        """Return a holder, which keeps models from being pruned while this process serves them."""
        return locks.Holder(self.directory)

    def make(self) -> None:
        """Create the directory if it is missing, accessible to its owner alone.

        Raise ConfigError if others could change its content.
        """
        if self._made and self.directory.is_dir():
            return
        try:
            private_directories.make(KEY, self.directory, 0o700, check_owners=self._check_owners)
        except OSError as refused:
            raise explained(refused, f"models.directory: cannot create {self.directory}") from None
        self._made = True

    def _history(self) -> list[str]:
        return choices.history(self.directory)

    def _let_answer(self, history: list[str]) -> None:
        """Activate the last of `history`, and end its shadow mode."""
        choices.write_history(self.directory, history)
        if self.candidate() == history[-1]:
            choices.write_candidate(self.directory, None)

    def _nominate(self, version: str | None) -> None:
        if version is not None:
            self._require(version)
            if version == self.active():
                raise UsageError(f"{version} is already active; name another as the candidate")
        choices.write_candidate(self.directory, version)

    def _discard(self) -> None:
        pending.discard(self.directory)
        pending.hold(self.directory, None)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        self.make()
        try:
            with locks.exclusive(self.directory):
                yield
        except OSError as failed:
            raise explained(
                failed, f"models.directory: {self.directory}: cannot be changed"
            ) from None

    def _require(self, version: str) -> None:
        if version not in self.versions():
            raise UsageError(f"{self.directory}: no model {version!r}; see `detectd models list`")
