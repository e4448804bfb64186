"""The state of keys on disk, as of any commit: a log of what each commit changed.

Each commit appends the words that it changed, and the committed length of the log is part of the
checkpoint. So after a crash, a restart finds every key as it was when the outputs were committed.
When a log has grown to several times its initial size, it continues in a new file, which begins
with all keys; the old file is removed when a commit has named the new one.

Streams that share a directory, one after the other, keep a log each: the stream is in the name of
the file. Names of earlier versions have no stream; such a file belongs to the commit that names it.

With `sync` this survives a power cut. Without, it survives the process; after a power cut an
incomplete log is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from detectd.errors import ConfigError
from detectd.features.key_changes import RowsByName
from detectd.features.key_rows import HEADER_WORDS, remap
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.models.locks import locked_file
from detectd.service import key_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from detectd.features.key_rows import Op, Remap
    from detectd.features.key_tables import KeyTables

log = structlog.get_logger()

NAME = re.compile(r"keys-(?:([0-9a-f]{8})-)?[0-9a-f]{16}\.log")
# A log continues in a new file at GROWTH times its initial bytes, and MORE.
GROWTH, MORE = 3, 4 << 20


class LogFile(NamedTuple):
    """A file of the log, with its committed and its initial length in bytes."""

    name: str
    descriptor: int
    size: int
    began: int


class KeyLog:
    """Keeps `tables`, whose rows hold the words of `ops`, in `directory`; one process at a time.

    `stream` identifies the stream whose commits name the log. Raises DirectoryLockedError if
    another process keeps its own there.
    """

    def __init__(
        self,
        key: str,
        directory: Path,
        tables: KeyTables,
        ops: Sequence[Op],
        *,
        stream: str,
        sync: bool,
    ) -> None:
        self.tables = tables
        self._key = key
        self._directory = directory
        self._ops = tuple(ops)
        self._width = HEADER_WORDS + sum(size for _, size in ops)
        self._stream = blake2b(stream.encode(), digest_size=4).hexdigest()
        self._sync = sync
        # The file that the last commit names, and that of the next one.
        self._file: LogFile | None = None
        self._next: LogFile | None = None
        self._state: dict[str, Any] = {}
        # Whether its file is another stream's, which may remove it at any time.
        self._foreign = False
        self._others = True
        self._lock = locked_file(
            directory / "keys.lock",
            f"{directory}: another detectd keeps the state of its keys here; stop it, or set "
            f"another {key}",
        )

    def restore(self, state: dict[str, Any]) -> bool:
        """Resume from the `state` of the last commit, {} for none.

        Return False if its file is gone: all keys start over. Raise ConfigError if it is damaged.
        """
        if self._file and state == self._state:
            self.rollback()  # After an interruption everything is in memory.
            return True
        self._let_go()
        self.tables.restore({})
        self._state = {}
        self._foreign = False
        if not state:
            return True
        # A snapshot may come from a Kafka group's offsets: it names a file of ours, or none.
        name = str(state.get("file"))
        if not NAME.fullmatch(name):
            log.warning(
                "keys.lost", reason=f"the last commit does not name a log of keys: {name!r}"
            )
            return False
        path = self._directory / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            log.warning(
                "keys.lost", file=str(path), reason="it is gone", hint="all keys start over"
            )
            return False
        except OSError as failed:
            raise explained(failed, f"{self._key}: {path} cannot be opened") from None
        file = LogFile(path.name, descriptor, state["bytes"], state["began"])
        self._state = state
        if self._read(path, file):
            self._file = file
        else:  # The next commit names a new file.
            os.close(descriptor)
        return True

    def snapshot(self) -> dict[str, Any]:
        """Write the changes for the next commit, and return the state that it must include."""
        if not self.tables.changed and not self._foreign:
            return self._state
        self._discard_next()
        file = self._file
        try:
            if file is None or file.size > GROWTH * file.began + MORE:
                self._next = self._begun()
            else:
                self._next = file._replace(size=self._append(file, self._changes()))
        except OSError as failed:
            raise explained(failed, f"{self._key}: {self._directory} cannot be written") from None
        return {"file": self._next.name, "bytes": self._next.size, "began": self._next.began}

    def on_commit(self) -> None:
        """Make the latest `snapshot` permanent, and remove the files that it does not name."""
        self.tables.on_commit()
        if self._next is None:
            return
        if self._file and self._file.descriptor != self._next.descriptor:
            os.close(self._file.descriptor)
        former, self._foreign = self._state.get("file", ""), False
        self._file, self._next = self._next, None
        self._state = {
            "file": self._file.name,
            "bytes": self._file.size,
            "began": self._file.began,
        }
        if self._others:
            self._remove_others(former, self._file.name)

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        self._discard_next()
        self.tables.rollback()

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _begun(self) -> LogFile:
        """Write all keys to a file that no commit has named yet."""
        name = f"keys-{self._stream}-{secrets.token_hex(8)}.log"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._others = True
        file = LogFile(name, os.open(self._directory / name, flags, 0o600), 0, 0)
        try:
            size = self._append(file, self._everything())
            if self._sync:
                atomic_files.sync_directory(self._directory)
        except BaseException:
            self._remove(file)
            raise
        return file._replace(size=size, began=size)

    def _everything(self) -> Iterator[bytes]:
        yield key_frames.heading(self._ops)
        for partition, table in self.tables.items():
            for changes in table.all_rows():
                yield key_frames.encode(partition, changes, self._width)

    def _changes(self) -> Iterator[bytes]:
        for partition, table in self.tables.items():
            for changes in table.changes():
                yield key_frames.encode(partition, changes, self._width)

    def _append(self, file: LogFile, payloads: Iterator[bytes]) -> int:
        """Write frames after the committed part of the file, and return their end."""
        offset = file.size
        for payload in payloads:
            content = memoryview(key_frames.frame(payload))
            while content:
                written = os.pwrite(file.descriptor, content, offset)
                content, offset = content[written:], offset + written
        if self._sync:
            os.fdatasync(file.descriptor)
        return offset

    def _read(self, path: Path, file: LogFile) -> bool:
        """Fill the tables with the committed part of the file; return whether it can be continued.

        It cannot if its ops differ, or if it is another stream's, whose commits a copied checkpoint
        names. Otherwise anything that a crash left after it is truncated.
        """
        ours = self._owner(file.name) in (None, self._stream)
        self._foreign = not ours
        try:
            if os.fstat(file.descriptor).st_size < file.size:
                size = os.fstat(file.descriptor).st_size
                raise key_frames.DamagedError(size, f"the checkpoint counts {file.size:,} bytes")
            states, moved = self._replayed(file)
            if moved:
                states = {name: rows.remapped(moved) for name, rows in states.items()}
            elif ours:
                os.ftruncate(file.descriptor, file.size)
            self.tables.restore(states)
        except ValueError as damaged:
            os.close(file.descriptor)
            raise ConfigError(
                f"{self._key}: {path} is {damaged}; replace it with an intact copy, or remove it "
                "to let all keys start over"
            ) from None
        except OSError as failed:
            os.close(file.descriptor)
            raise explained(failed, f"{self._key}: {path} cannot be read") from None
        return moved is None and ours

    def _replayed(self, file: LogFile) -> tuple[dict[str, RowsByName], Remap | None]:
        """Return each partition's rows, and the remap if they have other ops."""
        frames = key_frames.payloads(
            lambda offset, length: os.pread(file.descriptor, length, offset), file.size
        )
        ops = key_frames.ops_of(next(frames, (0, b""))[1])
        words = sum(size for _, size in ops)
        states: dict[str, RowsByName] = {}
        for offset, payload in frames:
            try:
                partition, changes = key_frames.decode(payload, HEADER_WORDS + words)
                states.setdefault(partition, RowsByName(words)).apply(changes)
            except (ValueError, IndexError) as wrong:
                raise key_frames.DamagedError(offset, str(wrong)) from None
        if ops == self._ops:
            return states, None
        moved = remap(ops, self._ops)
        log.info("keys.features_changed", kept=moved.stay, begin=moved.begin, dropped=moved.dropped)
        return states, moved

    def _discard_next(self) -> None:
        """Discard what was written for a commit that failed."""
        if self._next and (not self._file or self._next.descriptor != self._file.descriptor):
            self._remove(self._next)
        self._next = None

    def _remove(self, file: LogFile) -> None:
        os.close(file.descriptor)
        with contextlib.suppress(OSError):
            (self._directory / file.name).unlink()

    def _remove_others(self, former: str, name: str) -> None:
        """Remove the stream's files but `name`; `former` may be one without a stream in its
        name."""
        for path in self._directory.iterdir():
            owner = self._owner(path.name)
            ours = owner == self._stream or (path.name == former and owner is None)
            if ours and path.name != name:
                with contextlib.suppress(OSError):
                    path.unlink()
        self._others = False

    def _owner(self, name: str) -> str | None:
        """Return the stream in the name of a log; None for that of an earlier version."""
        found = NAME.fullmatch(name)
        return found[1] if found else ""

    def _let_go(self) -> None:
        for descriptor in {file.descriptor for file in (self._file, self._next) if file}:
            os.close(descriptor)
        self._file = self._next = None
