"""Which file is this? Its inode, and what it begins with: names and inodes are both used again."""

from __future__ import annotations

import glob
import gzip
import hashlib
import os
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """Device and inode, and the sha256 of the first `head_size` bytes, unpacked."""

    LONGEST: ClassVar[int] = 1024

    device: int = 0
    inode: int = 0
    head_size: int = 0
    head: str = hashlib.sha256().hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """For a position."""
        return asdict(self)

    def is_same_inode(self, path: Path) -> bool:
        """Whether `path` is the file itself, whatever it holds now."""
        status = path.stat()
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def still_holds(self, file: IO[bytes], offset: int) -> bool:
        """Whether an open file still begins as it did and reaches to `offset` at least."""
        descriptor = file.fileno()
        begins = _sha256(os.pread(descriptor, self.head_size, 0)) == self.head
        return begins and os.fstat(descriptor).st_size >= offset

    def is_still(self, path: Path, offset: int, *, packed: bool = False) -> bool:
        """Whether the file at `path` begins as this one did and reaches to `offset` at least."""
        if packed:  # Only reading it all would tell how far it reaches.
            with gzip.open(path) as packed_file:
                return _sha256(packed_file.read(self.head_size)) == self.head
        with path.open("rb") as file:
            return self.still_holds(file, offset)


def head_of(file: IO[bytes], offset: int, *, packed: bool) -> Identity:
    """The identity of an open file of which `offset` bytes have been processed."""
    status = os.fstat(file.fileno())
    size = min(offset, Identity.LONGEST)
    if packed:
        with gzip.open(f"/proc/self/fd/{file.fileno()}") as again:
            head = again.read(size)
    else:
        head = os.pread(file.fileno(), size, 0)
    return Identity(status.st_dev, status.st_ino, size, _sha256(head))


def rotated_sibling(path: Path, past: Identity, offset: int) -> Path | None:
    """The file beside `path` that it was renamed to."""
    for sibling in sorted(path.parent.glob(f"{glob.escape(path.name)}*")):
        if sibling != path and sibling.is_file() and past.is_same_inode(sibling):
            return sibling if past.is_still(sibling, offset) else None
    return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
