"""Observations on the promise by each process on a store: one file per process.

    observed-<who>-<n>.json         {version: {counts and whatever else}}
    .observed-<who>-<n>.lock        held by the process whose file that is, as long as it lives
    observed.json                   as earlier versions wrote it, for all processes; taken over once

`who` is the process's stream of commits, which a restarted process continues; `n` is the first
number that no other process holds. The counts of an ended process remain valid, so they are
included as long as the model is kept, or until the `stream` is read from its beginning again:
observations belong to one run of a stream.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from detectd.filesystem import atomic_files
from detectd.models import locks
from detectd.models.observations import combined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

PATTERN = "observed*.json"
LEGACY = "observed.json"


class ProcessCounts:
    """The counts of this process on the `stream`. `commits` names its commits."""

    def __init__(self, directory: Path, commits: str, stream: str) -> None:
        self._directory = directory
        self._stream = stream
        self._who = hashlib.sha256(commits.encode()).hexdigest()[:12]
        self._by = ""
        self._lock = -1

    def read(self, version: str) -> dict[str, Any]:
        """Return what it, or its predecessor, recorded under `version`."""
        self._claim()
        return _content(self._directory / _name(self._by)).get(version, {})

    def write(self, version: str, what: dict[str, Any]) -> None:
        """Replace the record. Raise OSError."""
        self._claim()
        write(self._directory, self._by, version, what | {"stream": self._stream})

    def begin_again(self) -> None:
        """Delete the records of ended processes from an earlier run. Raise OSError."""
        if not self._directory.is_dir():
            return
        self._claim()
        with locks.exclusive(self._directory):
            _forget(
                self._directory,
                lambda content: any(w.get("stream") == self._stream for w in content.values()),
            )

    def close(self) -> None:
        """Release the record for another process. May be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _claim(self) -> None:
        if self._lock >= 0:
            return
        with locks.exclusive(self._directory):
            number = 0
            while (lock := _claimed(self._directory, f"{self._who}-{number}")) is None:
                number += 1
            self._lock, self._by = lock, f"{self._who}-{number}"
            mine, legacy = self._directory / _name(self._by), self._directory / LEGACY
            if legacy.exists() and not mine.exists():
                legacy.rename(mine)


def parts(
    directory: Path, version: str, zone: Sequence[int] | None, stream: str | None = None
) -> list[dict[str, Any]]:
    """Return the records of each process under `version`.

    Records of another zone than `zone`, or of another stream than `stream`, are left out.
    """
    found = [_content(path).get(version, {}) for path in sorted(directory.glob(PATTERN))]
    return [
        part
        for part in found
        if part
        and (zone is None or part.get("zone") is None or part["zone"] == list(zone))
        and (stream is None or part.get("stream") in (None, stream))
    ]


def together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the records of all processes as one; empty if there are none."""
    return combined(found) if len(found) > 1 else {**found[0]} if found else {}


def write(directory: Path, by: str, version: str, what: dict[str, Any]) -> None:
    """Replace the record of the process `by`. Raise OSError."""
    content = json.dumps({version: what}, separators=(",", ":"))
    atomic_files.replace(directory / _name(by), content.encode() + b"\n")


def forget(directory: Path, versions: Iterable[str]) -> None:
    """Remove the records of ended processes under models other than `versions`.

    Call this while holding the store's lock: no process claims a file meanwhile.
    """
    kept = set(versions)
    _forget(directory, lambda content: not kept & content.keys())


def _forget(directory: Path, unwanted: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
    """Remove files of ended processes with such a content."""
    for path in directory.glob(PATTERN):
        by = path.stem.removeprefix("observed").removeprefix("-")
        if not by or not unwanted(_content(path)):
            continue
        with contextlib.suppress(OSError):
            lock = _claimed(directory, by)
            if lock is not None:
                path.unlink(missing_ok=True)
                (directory / _lock_name(by)).unlink(missing_ok=True)
                os.close(lock)


def _claimed(directory: Path, by: str) -> int | None:
    """Return the lock of that process's file, if no living process has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(directory / _lock_name(by), flags, 0o600)
    if locks.try_lock(descriptor, fcntl.LOCK_EX):
        return descriptor
    os.close(descriptor)
    return None


def _content(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())
        return {version: dict(what) for version, what in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _name(by: str) -> str:
    return f"observed-{by}.json" if by else LEGACY


def _lock_name(by: str) -> str:
    return f".observed-{by}.lock"
