"""Compressed files: which ones can be read, and how."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import IO, TYPE_CHECKING, cast

from detectd.errors import ConfigError
from detectd.extras import how_to_get

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
BLOCK = 1 << 17


class DamagedError(Exception):
    """A compressed file breaks off, or its content is not what its name says."""


_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


class Unpacked:
    """The content of an open compressed file, read forwards.

    Raises ConfigError if the library for this kind of compression is not installed.
    """

    def __init__(self, raw: IO[bytes], place: Path) -> None:
        self._raw = raw
        self._place = place
        raw.seek(0)
        self._content = _opened(raw, place)
        self.at = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end. Raises DamagedError."""
        pieces: list[bytes] = []
        left = size
        try:
            while left and (piece := self._content.read(left)):
                pieces.append(piece)
                left -= len(piece)
        except _BROKEN as broken:
            raise DamagedError(str(broken)) from None
        except OSError as broken:
            if broken.errno is not None:
                raise
            raise DamagedError(str(broken)) from None  # bz2 says it so
        self.at += size - left
        return b"".join(pieces)

    def seek(self, offset: int) -> None:
        """Go to `offset`, or to the end if that comes first."""
        if offset < self.at:
            self._raw.seek(0)
            self._content, self.at = _opened(self._raw, self._place), 0
        while self.at < offset and self.read(min(BLOCK, offset - self.at)):
            pass


def _opened(raw: IO[bytes], place: Path) -> IO[bytes]:
    if place.suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if place.suffix == ".bz2":
        return cast("IO[bytes]", bz2.BZ2File(raw))
    if place.suffix == ".xz":
        return cast("IO[bytes]", lzma.LZMAFile(raw))
    return cast("IO[bytes]", _Zstandard(raw, place))


class _Zstandard:
    """Frame after frame. The library's own reader takes a frame that breaks off for the end."""

    def __init__(self, raw: IO[bytes], place: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise ConfigError(
                f"source.path: {place} is compressed with zstd, whose library is not installed: "
                f"{how_to_get('codecs')}, or unpack the file with `zstd -d`"
            ) from None
        self._raw = raw
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._broken = zstandard.ZstdError
        self._frame = self._new()
        self._begun = False
        self._content = b""

    def read(self, size: int) -> bytes:
        while not self._content:
            packed = b""
            if self._frame.eof:
                packed, self._frame, self._begun = self._frame.unused_data, self._new(), False
            packed = packed or self._raw.read(BLOCK)
            if not packed:
                if self._begun:
                    raise EOFError("it ends within a frame")
                return b""
            self._begun = True
            try:
                self._content = self._frame.decompress(packed)
            except self._broken as broken:
                raise EOFError(str(broken)) from None
        content, self._content = self._content[:size], self._content[size:]
        return content
