"""A file of JSON lines or CSV as a source: read to its end, or followed like `tail -F`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from detectd.filesystem.compressed_names import SUFFIXES
from detectd.nearest import missing
from detectd.pipeline import memory_budget
from detectd.sources import Batch, Losses, Source, losses
from detectd.sources.chain import Chain
from detectd.sources.file_identity import Identity
from detectd.sources.file_position import as_position, files_after, require_path
from detectd.sources.file_readers import FileFormat, FileReaders
from detectd.sources.file_refusals import readable, replaced
from detectd.sources.header import CsvFormat
from detectd.sources.losses import LossLog
from detectd.sources.open_file import require_regular
from detectd.sources.opener import Opener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.pipeline.records import Record
    from detectd.sources.file_reader import FileReader
    from detectd.sources.open_file import OpenFile

log = structlog.get_logger()

POLL_SECONDS = 0.05

# Number of bytes without a record after which `read` returns.
MOST_SILENT = 64 << 20

# A file that was read to its end less than this many seconds before a truncation has lost nothing.
BLIND_SECONDS = 1.0


class FileSource(Source):
    """Read the records of one file. `follow` waits for more at its end, through rotation and
    truncation.

    A record's id is `name:line`. After a rotation or truncation lines count from 1 again, and the
    ids include the generation: `name#1:line`.

    `rotated` are globs for rotated files, beside the names that logrotate gives by default. A
    renamed file is read until it has been silent for `rotate_wait_seconds`.
    """

    _reading: FileReader

    def __init__(
        self,
        path: Path,
        *,
        row_format: Literal["json", "csv"],
        follow: bool,
        max_record_bytes: int,
        batch_bytes: int = memory_budget.SLICE_BYTES,
        csv: CsvFormat | None = None,
        rotated: Sequence[str] = (),
        rotate_wait_seconds: float = 0.0,
        follow_symlinks: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.follow = follow
        self._batch_bytes = batch_bytes
        self._packed = path.suffix in SUFFIXES
        self._clock = clock
        self._open = Opener(follow_symlinks=follow_symlinks)
        self._chain = Chain(path, rotated, rotate_wait_seconds, self._open, clock=clock, wall=wall)
        self._losses = LossLog(path)
        how = FileFormat(row_format == "csv", csv or CsvFormat(), max_record_bytes)
        self._readers = FileReaders(path, how, self._losses, clock)
        self._generation = 0
        self._has_been = False
        self._acknowledged: dict[str, Any] | None = None

    def start(self, position: dict[str, Any] | None) -> None:
        """See `Source`. A followed file may be created later."""
        self._losses.begin()
        with readable(self.path, resuming=position is not None):
            require_regular(self.path, missing_ok=self.follow)
            if position is None:
                self._generation = 0
                self._readers.remember(None)
                self._begin()
                position = self._position()
            else:
                self._resume(position)
        self._acknowledged = position

    def read(self, limit: int, wait: float) -> Batch:
        """See `Source`."""
        deadline = time.monotonic() + wait
        records: list[Record] = []
        ended = False
        room, passed_over = self._batch_bytes, 0
        # Return before the end of a stretch without records, such as a hole, so that a stop is
        # noticed.
        while len(records) < limit and room > 0 and passed_over < MOST_SILENT and not ended:
            most = min(limit - len(records), memory_budget.most_records(room, self._columns))
            if taken := self._reading.take(most):
                records += taken
                room -= memory_budget.weight(taken)
                passed_over = 0
            elif fed := self._feed():
                passed_over += fed
            elif not self.follow:
                ended = not self._reading.finish()
            elif not self._reading.idle(self._clock()) and not self._moved_on():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                time.sleep(min(left, POLL_SECONDS))
        return Batch(records, self._position(), ended, self._losses.offer())

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Store the position for a `rewind`; the sink stores it for a restart."""
        self._acknowledged = position
        self._losses.on_commit()
        self._chain.acknowledge(position["generation"])

    def origin(self) -> dict[str, Any] | None:
        """See `Source`. The first file may have been rotated since."""
        known = self._acknowledged
        if not self.follow or known is None or known["offset"]:
            return known
        # The beginning of a file is known only once something has been written.
        identity, after = self._chain.beginning(known["generation"])
        if identity:
            known = {
                **known,
                "identity": identity.as_dict(),
                "next": [one.as_dict() for one in after],
            }
            self._acknowledged = known
        return known

    def take_losses(self) -> Losses:
        """See `Source`."""
        return self._losses.take()

    def rewind(self) -> None:
        """See `Source`. The files since then are still open, wherever they are now."""
        position = self._acknowledged
        assert position is not None
        if not self.follow or self._chain.current is None:
            self.start(position)
            return
        if not self._reading.is_intact():
            self._find_content()
        offset = position["offset"]
        self._chain.go_back(position["generation"])
        self._readers.remember(position.get("header"))
        file = self._chain.current
        assert file
        self._generation = file.generation
        self._read_from(file, offset, position["line"])
        if file.cut:
            self._lost(position["line"], losses.UNANSWERED, file.end - offset)

    def progress(self) -> float | None:
        """See `Source`; for a compressed file, the share of its compressed bytes."""
        return None if self.follow else self._chain.progress(self._reading.offset)

    def unread(self) -> int | None:
        """See `Source`: counts the current file and the known next ones."""
        return self._chain.unread(self._reading.offset)

    def absent(self) -> str | None:
        """See `Source`. A file that existed once is being rotated."""
        self._has_been = self._has_been or self._chain.current is not None
        if self._has_been:
            return None
        return f"source.path: {missing(self.path, 'waiting until it does')}"

    def close(self) -> None:
        """See `Source`."""
        self._chain.close()

    @property
    def _columns(self) -> tuple[str, ...] | None:
        header = self._reading.header
        return header.columns if header else None

    def _feed(self) -> int:
        """Read from the current file; return the number of bytes, 0 if there is no more for now."""
        read = self._reading.feed(follow=self.follow)
        self._chain.has_read(read)
        self._readers.note_header(self._reading)
        return read

    def _position(self) -> dict[str, Any]:
        return as_position(self.path, self._reading, self._generation, self._chain)

    def _resume(self, position: dict[str, Any]) -> None:
        require_path(position, self.path)
        offset = position.get("offset", 0)
        self._chain.close()
        self._generation = position["generation"]
        self._readers.remember(position.get("header"))
        past = Identity.from_dict(position["identity"])
        self._has_been = bool(past.inode)
        if not past.inode:
            self._begin()
            return
        file = self._find(past, offset, Path(position.get("target", position["path"])))
        if file is None:
            self._resume_behind(position, past)
            return
        if not past.head_size and past.modified:
            file.opened_at = past.modified
        self._chain.begin(file, self._generation, found=True)
        self._read_from(file, offset, position["line"])
        self._expect(position)

    def _find(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Return the file of an earlier run, None if it is gone; raise ConfigError if that is an
        error."""
        if self.follow:
            self._chain.place.target = target
            return self._chain.tails.find(past, offset, target)
        file = self._open(self.path)
        if not file.matches(past, offset):
            file.close()
            raise replaced(self.path)
        return file

    def _resume_behind(self, position: dict[str, Any], past: Identity) -> None:
        """Resume after a file that is gone, with what was written since then."""
        left = max(0, position.get("size", 0) - position["offset"])
        self._lost(position["line"], losses.GONE, left or None)
        file = self._chain.begin_after(past.modified, files_after(position), self._generation + 1)
        self._generation += 1
        self._read_from(file, 0, 0)

    def _expect(self, position: dict[str, Any]) -> None:
        for number in range(self._chain.expect(files_after(position))):
            self._lost(position["line"], losses.NEXT_GONE, None, -1 - number)

    def _begin(self) -> None:
        """Begin the file at its start; if it is followed and does not exist yet, do nothing for
        now."""
        self._chain.close()
        file = self._chain.place.open(patient=False) if self.follow else self._open(self.path)
        self._chain.begin(file, self._generation)
        self._read_from(file, 0, 0)

    def _lost(self, line: int, why: losses.Loss, size: int | None, number: int = 0) -> None:
        self._losses.lost(self._generation, line, why, size, number)

    def _read_from(self, file: OpenFile | None, offset: int, line: int) -> None:
        self._reading = self._readers.reader(file, offset, line, self._generation)

    def _moved_on(self) -> bool:
        """Switch to the file that replaced the current one, if any."""
        self._readers.note_header(self._reading)
        chain = self._chain
        if late := chain.written_too_late():
            self._lost(self._reading.line, losses.TOO_LATE, late, chain.behind[-1].end)
        if chain.current is None:
            file = chain.place.open()
            chain.begin(file, self._generation)
            if file:
                self._read_from(file, 0, 0)
            return file is not None
        if not chain.current.cut and not self._reading.is_intact():
            return self._find_content()
        following = chain.following()
        if following is None:
            return False
        if self._reading.finish():
            return True
        log.info(
            "source.rotated",
            path=str(self.path),
            lines=self._reading.line,
            next=following.place.name,
        )
        chain.go_over(following, self._reading.end)
        self._generation = following.generation
        self._read_from(following, 0, 0)
        return True

    def _find_content(self) -> bool:
        """Switch to the copy that was made of a file before its truncation, if any."""
        chain, reader = self._chain, self._reading
        assert chain.current
        past = reader.identity()
        if copy := chain.tails.find_copy(past, reader.offset, chain.place.target):
            log.info("source.copied", path=str(self.path), line=reader.line, copy=copy.place.name)
            chain.replace(copy)
            self._read_from(copy, reader.offset, reader.line)
            return True
        chain.current.cut = True
        chain.current.end = reader.end
        unread, blind = reader.size - reader.end, self._clock() - reader.looked
        if unread > 0 or blind > BLIND_SECONDS:
            self._lost(reader.line, losses.TRUNCATED, max(0, unread) or None)
        return True
