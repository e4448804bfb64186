"""The training rows that `run` collects while it has no model, kept across crashes.

Rows of the collection are appended to a file, and the number of valid ones is part of each commit,
so a restart resumes with exactly the events that were processed. Once the collection is full, the
file grows with the logarithm of the stream.
"""

from __future__ import annotations

import os
import secrets
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectd.filesystem.os_errors import explained
from detectd.models.collection import NO_TIME, Collection
from detectd.models.even_sample import LEFT_OUT, Entry
from detectd.models.locks import locked_file
from detectd.pipeline.key_digest import digest
from detectd.pipeline.time_coverage import TimeCovered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.models.collection import Goal

    Entries = NDArray[np.void]

# Entries read per call on restart.
CHUNK = 65_536


class Origin(NamedTuple):
    """The origin of a row: partition, time and key of its event."""

    partition: str
    timestamp_ms: int | None
    key: bytes | None


class Collected(NamedTuple):
    """The rows (k, d) in order of arrival, with the data of their events.

    `keys` (k,) are hashes of their keys, 0 for none.
    """

    rows: NDArray[np.float64]
    partitions: int
    keys: NDArray[np.uint64]
    covered: TimeCovered | None


class RowLog:
    """Collect rows of `width` features in `directory`, until `collection` has enough."""

    def __init__(self, directory: Path, width: int, goal: Goal) -> None:
        self.path = directory / "warmup.rows"
        self.collection = Collection(goal)
        self._entry = _entry(width)
        self._width = width
        self._begin()
        # A random number: another stream may use the same directory between two runs of this one.
        self._generation = secrets.randbits(40)
        while (file := self._locked(directory)) is None:
            pass
        self._file = file

    def _locked(self, directory: Path) -> int | None:
        """Return the locked file; None if its previous owner has just removed it."""
        file = locked_file(
            self.path,
            f"{directory}: another detectd is collecting training rows here; wait until it has its "
            "model, or set another models.directory",
        )
        try:
            there = os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            there = False
        if there:
            return file
        os.close(file)
        return None

    def restore(self, state: dict[str, Any]) -> bool:
        """Resume from the `snapshot` of a commit, {} for none; False if its rows are gone."""
        there = not state or self._restore(state)
        if not there:
            # New entries must not be mistaken for rows of that commit.
            self._generation = max(self._generation, state["generation"]) + 1
        if not there or not state:
            self.collection.restore((), (), 0, 0)
            self._begin()
        os.ftruncate(self._file, self._written * self._entry.itemsize)
        return there

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs to resume with the same rows."""
        return {
            "rows": self._written,
            "generation": self._generation,
            "failed": self.collection.failed,
            "offered": self.collection.sample.offered,
        }

    def want_more(self) -> None:
        """Collect more rows, since these cannot train a model, or restart with new ones."""
        if self.collection.want_more():
            self._begin()
            self._generation += 1

    def add(self, rows: NDArray[np.float64], origins: Sequence[Origin]) -> None:
        """Add rows (k, width); kept ones are on disk before the commit that counts them.

        Pass at most `collection.due` rows, so that the collection always ends at the same row.
        """
        if not len(rows):
            return
        entries = np.zeros(len(rows), dtype=self._entry)
        entries["row"], entries["generation"] = rows, self._generation
        entries["time"] = [NO_TIME if o.timestamp_ms is None else o.timestamp_ms for o in origins]
        entries["key"] = [digest(origin.key) for origin in origins]
        partitions = [digest(origin.partition.encode()) for origin in origins]
        offered = self.collection.sample.offered
        entries["number"] = np.arange(offered, offered + len(rows))
        entries["partition"] = partitions
        entries["place"] = self.collection.add(partitions, entries["time"].tolist())
        entries = entries[entries["place"] != LEFT_OUT]
        self._append(entries)
        for place in entries["place"].tolist():
            self._count(place)

    def collected(self) -> Collected:
        """Return all kept rows."""
        latest = np.sort(np.array(self._latest, dtype=np.int64))
        if not len(latest):
            return Collected(np.empty((0, self._width)), 0, np.empty(0, dtype=np.uint64), None)
        written = np.memmap(self.path, self._entry, "r", shape=(self._written,))
        kept = written[latest]
        times = kept["time"][kept["time"] != NO_TIME]
        covered = TimeCovered(int(times.min()), int(times.max())) if len(times) else None
        rows = np.ascontiguousarray(kept["row"])
        keys = np.ascontiguousarray(kept["key"])
        return Collected(rows, len(np.unique(kept["partition"])), keys, covered)

    def done(self) -> None:
        """Remove the file: the model is stored, with the rows in it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the file. May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _begin(self) -> None:
        self._written = 0
        # The entry at each index.
        self._latest = array("q")

    def _count(self, place: int) -> None:
        if place == len(self._latest):
            self._latest.append(self._written)
        elif place >= 0:
            self._latest[place] = self._written
        self._written += 1

    def _append(self, entries: Entries) -> None:
        content = memoryview(entries.tobytes())
        offset = self._written * self._entry.itemsize
        try:
            while content:
                written = os.pwrite(self._file, content, offset)
                content, offset = content[written:], offset + written
            os.fsync(self._file)
        except OSError as failed:
            raise explained(failed, f"models.directory: {self.path} cannot be written") from None

    def _restore(self, state: dict[str, Any]) -> bool:
        """Load the entries of a commit; return False if they are gone."""
        size = state["rows"] * self._entry.itemsize
        if os.fstat(self._file).st_size < size:
            return False
        self._begin()
        known: list[Entry] = []
        times: list[int] = []
        for first in range(0, state["rows"], CHUNK):
            count = min(CHUNK, state["rows"] - first)
            content = os.pread(
                self._file, count * self._entry.itemsize, first * self._entry.itemsize
            )
            entries = np.frombuffer(content, dtype=self._entry)
            if (entries["generation"] != state["generation"]).any():
                return False  # A restarted collection has overwritten it.
            known += map(Entry, *(entries[name].tolist() for name in Entry._fields))
            times += entries["time"].tolist()
        try:
            self.collection.restore(known, times, state["offered"], state["failed"])
        except ValueError:
            return False
        for entry in known:
            self._count(entry.place)
        self._generation = state["generation"]
        return True


def _entry(width: int) -> np.dtype[np.void]:
    """Return the dtype of an entry: its index, its origin, its values."""
    return np.dtype(
        [
            ("place", "<i8"),
            ("number", "<i8"),
            ("time", "<i8"),
            ("key", "<u8"),
            ("partition", "<u8"),
            ("generation", "<i8"),
            ("row", "<f8", (width,)),
        ]
    )
