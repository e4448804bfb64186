"""The training window, kept across crashes as of any commit.

Rows that enter are appended to a file, and how many of them count is part of each commit. So a
restart finds the window as it was when the outputs were committed, and a replay goes on with the
same rows. Rows that were replaced stay in the file until it holds two windows; then what is left
begins a new file, and the old one goes when a commit has named the new one.

With `sync` that outlives a power cut. Without, it outlives the process; after a power cut the
numbers of the rows tell a file that is not whole, and the window begins again. A full disk costs
the file, not the window: it stays in memory, and is written again once as many rows have come as it
holds.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.models.locks import locked_file
from detectd.service.training_window import entry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from detectd.service.training_window import Window

    Entries = npt.NDArray[np.void]


class WindowFile:
    """Keeps `window` in `directory`, for one process at a time; `name` begins its files' names.

    `trouble` says why the window is not on the disk at the moment, None if it is. Raises
    DirectoryLockedError if another process keeps its own there, ConfigError if nothing can be
    written.
    """

    def __init__(
        self, directory: Path, window: Window, *, sync: bool, name: str = "window"
    ) -> None:
        self.window = window
        self.trouble: str | None = None
        self._directory = directory
        self._names = f"{name}-*.rows"
        self._sync = sync
        self._name = ""
        self._file = -1
        self._written = 0
        self._retry_at = 0
        self._others = True
        self._lock = locked_file(
            directory / f"{name}.lock",
            f"{directory}: another detectd keeps its training window here; stop it, or set another "
            "models.directory",
        )

    def restore(self, state: dict[str, Any]) -> bool:
        """Resume from the `snapshot` of the last commit, {} if there is none.

        False if its rows are gone, damaged, or those of another window: it then begins again.
        """
        self._let_go()
        self.window.clear()
        if not state:
            return True
        entries = self._read(state) if state["shape"] == self._shape() else None
        if entries is None:
            return False
        self.window.restore(entries, state["offered"])
        self._name, self._written = state["file"], len(entries)
        self._file = os.open(self._directory / self._name, os.O_WRONLY | os.O_CLOEXEC)
        return True

    def add(self, rows: npt.NDArray[np.float64], verdicts: npt.NDArray[np.int8]) -> None:
        """Offer rows (k, width) to the window, on the disk before the commit that counts them."""
        places = self.window.add(rows, verdicts)
        if self.trouble is not None and self.window.offered < self._retry_at:
            return
        # If several rows took one place, the last of them is there.
        entered = np.unique(places[places >= 0])
        try:
            if self._file < 0 or self._written + len(entered) > 2 * self.window.size:
                self._begin_file()
            elif len(entered):
                self._append(entered)
        except OSError as failed:
            self._let_go()
            self._name, self._others = "", True
            self.trouble = str(explained(failed, str(self._directory)))
            self._retry_at = self.window.offered + self.window.size

    def snapshot(self) -> dict[str, Any]:
        """For the commit. Empty if the window is not on the disk."""
        if self._file < 0:
            return {}
        return {
            "shape": self._shape(),
            "file": self._name,
            "written": self._written,
            "offered": self.window.offered,
        }

    def on_commit(self) -> None:
        """Remove files that the latest snapshot, which is committed, does not name."""
        if self._others:
            for path in self._directory.glob(self._names):
                if path.name != self._name:
                    path.unlink(missing_ok=True)
            self._others = False

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _shape(self) -> list[Any]:
        return [self.window.kind, self.window.size, self.window.width]

    def _begin_file(self) -> None:
        """Write what the window holds to a file that no commit has named yet."""
        self._let_go()
        self._name = self._names.replace("*", secrets.token_hex(8))
        self._others = True
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self._directory / self._name, flags, 0o600)
        self._append(np.arange(self.window.filled))
        if self._sync:
            atomic_files.sync_directory(self._directory)
        self.trouble = None

    def _append(self, places: npt.NDArray[np.int64]) -> None:
        entries = self.window.entries(places)
        content = memoryview(entries.tobytes())
        offset = self._written * entries.itemsize
        while content:
            written = os.pwrite(self._file, content, offset)
            content, offset = content[written:], offset + written
        if self._sync:
            os.fdatasync(self._file)
        self._written += len(entries)

    def _read(self, state: dict[str, Any]) -> Entries | None:
        """Return the entries that the commit counts; None if they are not there as they were."""
        kind, count = entry(self.window.width), state["written"]
        try:
            content = (self._directory / state["file"]).read_bytes()[: count * kind.itemsize]
        except FileNotFoundError:
            return None
        except OSError as failed:
            where = f"models.directory: {self._directory / state['file']}"
            raise explained(failed, f"{where} cannot be read") from None
        if len(content) < count * kind.itemsize:
            return None
        entries = np.frombuffer(content, dtype=kind)
        ascending = bool((np.diff(entries["number"], prepend=-1) > 0).all())
        return entries if ascending else None

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._written, self.trouble = -1, 0, None
