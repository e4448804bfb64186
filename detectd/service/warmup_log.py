"""The training rows that `run` collects while it has no model, kept across crashes.

Rows that enter the collection are appended to a file, and how many of them count is part of each
commit, so a restart goes on with exactly the events that have been answered. The file grows with
the logarithm of the stream once all places are taken.
"""

from __future__ import annotations

import os
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectd.filesystem.os_errors import explained
from detectd.models.collection import NO_TIME, Collection
from detectd.models.even_sample import LEFT_OUT, Entry
from detectd.models.locks import locked_file
from detectd.pipeline.time_coverage import TimeCovered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.models.collection import Goal

    Entries = NDArray[np.void]

# Entries that are read at once to go on from them.
CHUNK = 65_536


class Origin(NamedTuple):
    """Where a row comes from: its partition, the time and the key of its event."""

    partition: str
    timestamp_ms: int | None
    key: bytes | None


class Collected(NamedTuple):
    """The rows (k, d) in the order in which they came, and what is known of their events.

    `keys` (k,) stand for their keys, 0 for none.
    """

    rows: NDArray[np.float64]
    partitions: int
    keys: NDArray[np.uint64]
    covered: TimeCovered | None


class RowLog:
    """Collects rows of `width` features in `directory`, until `collection` has enough."""

    def __init__(self, directory: Path, width: int, goal: Goal) -> None:
        self.path = directory / "warmup.rows"
        self.collection = Collection(goal)
        self._entry = _entry(width)
        self._width = width
        self._begin()
        self._generation = 0
        while (file := self._locked(directory)) is None:
            pass
        self._file = file

    def _locked(self, directory: Path) -> int | None:
        """Return the file, locked; None if the process that held it has removed it meanwhile."""
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
            # What is written from here on must not pass for the rows of that commit.
            self._generation = max(self._generation, state["generation"]) + 1
        if not there or not state:
            self.collection.restore((), (), 0, 0)
            self._begin()
        os.ftruncate(self._file, self._written * self._entry.itemsize)
        return there

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know to go on with the same rows."""
        return {
            "rows": self._written,
            "generation": self._generation,
            "failed": self.collection.failed,
            "offered": self.collection.sample.offered,
        }

    def want_more(self) -> None:
        """Collect more rows, since these cannot carry a model; or begin again with new ones."""
        if self.collection.want_more():
            self._begin()
            self._generation += 1

    def add(self, rows: NDArray[np.float64], origins: Sequence[Origin]) -> None:
        """Take rows (k, width), those that are kept on the disk before the commit that counts them.

        Give at most `collection.due` rows, so that the collection ends at the same row always.
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
        """Return all rows that are kept."""
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
        # Which entry is at each place.
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
        """Return whether the entries that a commit counts are there, and are the collection now."""
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
                return False  # A collection that began again has written over it.
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
    """Return an entry of the sample, as bytes: its place, where it comes from, and itself."""
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


def digest(name: bytes | None) -> int:
    """Return a number for a name, hardly ever that of another; 0 for None."""
    return 0 if name is None else int.from_bytes(blake2b(name, digest_size=8).digest()) or 1
