"""Read earlier outputs from rotated files."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import deque
from itertools import chain
from typing import IO, TYPE_CHECKING

import structlog

from detectd.filesystem.os_errors import explained
from detectd.pipeline.records import Record
from detectd.sinks.moved_output import DAMAGED, PACKERS, open_former

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

log = structlog.get_logger()

BLOCK = 1 << 20

# Names that rotation gives `anomaly.jsonl`: anomaly.jsonl.1, anomaly.jsonl-20261128.gz, and with
# logrotate's `extension` anomaly-20261128.jsonl.
STAMP = r"[-._]\d[-\dT:Z_.]*"


def rotated(path: Path) -> list[Path]:
    """Return the rotated files of `path`, beside it or in a subdirectory, newest first.

    They are sorted by modification time, which renaming and compressing keep.
    """
    ending = "|".join(map(re.escape, PACKERS))
    name = re.compile(
        rf"{re.escape(path.stem)}(?:{re.escape(path.suffix)}{STAMP}|{STAMP}{re.escape(path.suffix)})"
        rf"(?:{ending})?"
    )
    found: list[tuple[int, Path]] = []
    for place in chain(path.parent.glob("*"), path.parent.glob("*/*")):
        if name.fullmatch(place.name):
            with contextlib.suppress(FileNotFoundError):  # a rotation is in progress
                status = place.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime_ns, place))
    return [place for _, place in sorted(found, reverse=True)]


def everything(place: Path) -> Iterator[list[Record]]:
    """Yield the records of a rotated file, a block at a time, up to any damage."""
    try:
        with open_former(place) as file:
            at = 0
            while lines := file.readlines(BLOCK):
                yield _records(place, at, lines)
                at += sum(map(len, lines))
    except FileNotFoundError:
        return
    except DAMAGED as broken:
        _skip(place, str(broken))
    except OSError as failed:
        if failed.errno is not None:
            raise explained(failed, f"{place}: cannot be read") from None
        _skip(place, str(failed))  # bz2 reports damage without an errno


def last(place: Path, count: int) -> list[Record]:
    """Return the last `count` records of a rotated file; a compressed one is read completely."""
    if place.suffix in PACKERS:
        return list(deque(chain.from_iterable(everything(place)), maxlen=count))
    try:
        with place.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            at = begin_of_last(file, count, end)
            file.seek(at)
            return _records(place, at, file)
    except FileNotFoundError:
        return []
    except OSError as failed:
        raise explained(failed, f"{place}: cannot be read") from None


def _records(place: Path, at: int, lines: Iterable[bytes]) -> list[Record]:
    """Return the lines as records, each with its byte offset as id; the first is at `at`."""
    records = []
    for line in lines:
        records.append(Record(f"{place.name}@{at}", line.rstrip(b"\n")))
        at += len(line)
    return records


def begin_of_last(file: IO[bytes], count: int, end: int) -> int:
    """Return the offset of the last `count` lines before `end`, by searching backwards."""
    wanted = count + 1  # the last line ends in a line feed, too
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        block = file.read(end - begin)
        found = block.count(b"\n")
        if found >= wanted:
            cut = len(block)
            for _ in range(wanted):
                cut = block.rindex(b"\n", 0, cut)
            return begin + cut + 1
        wanted, end = wanted - found, begin
    return 0


def _skip(place: Path, reason: str) -> None:
    log.warning("outputs.damaged", path=str(place), reason=reason, hint="the rest is left out")
