"""The training window, kept across crashes as of any commit.

New rows are appended to a file, and the number of valid ones is part of each commit. So a restart
finds the window as it was when the outputs were committed, and a replay continues with the same
rows. Replaced rows stay in the file until it holds two windows; then the remaining rows start a new
file, and the old one is removed when a commit has named the new one.

With `sync` this survives a power cut. Without, it survives the process; after a power cut the row
numbers reveal an incomplete file, and the window restarts. If the disk is full, only the file is
lost: the window stays in memory, and is written again after as many new rows as it holds.
"""

from __future__ import annotations

import os
import secrets
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.models.locks import locked_file
from detectd.service.training_window import entry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from detectd.service.training_window import Digests, Rows, Verdicts, Window

    Entries = npt.NDArray[np.void]


class WindowFile:
    """Keep `window` in `directory`, for one process at a time; `name` is the prefix of its files.

    `trouble` is the reason why the window is currently not on disk, None if it is. Raise
    DirectoryLockedError if another process uses the directory, ConfigError if it is not writable.
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

        Return False if its rows are gone, damaged, or of another window: it then restarts empty.
        """
        self._let_go()
        self.window.clear()
        if not state:
            return True
        # On Kafka a snapshot is what the group's offsets say: it names a file of ours, or none.
        ours = fnmatchcase(str(state.get("file")), self._names) and "/" not in state["file"]
        same = ours and state["shape"] == self._shape()
        entries = self._read(state) if same else None
        if entries is None:
            return False
        self.window.restore(entries, state["offered"])
        self._name, self._written = state["file"], len(entries)
        self._file = os.open(
            self._directory / self._name, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        )
        return True

    def add(self, rows: Rows, verdicts: Verdicts, keys: Digests | None = None) -> None:
        """Offer rows (k, width) to the window, as `Window.add`; they are on disk before the commit
        that counts them."""
        places = self.window.add(rows, verdicts, keys)
        if self.trouble is not None and self.window.offered < self._retry_at:
            return
        # If several rows took one index, the last one is there.
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
        """Return the state for the commit; empty if the window is not on disk."""
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
        shape = [self.window.kind, self.window.size, self.window.width]
        return [*shape, "keyed"] if self.window.keyed else shape

    def _begin_file(self) -> None:
        """Write the window to a file that no commit has named yet."""
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
        """Return the entries of the commit; None if they are missing or changed."""
        kind, count = entry(self.window.width, keyed=self.window.keyed), state["written"]
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
