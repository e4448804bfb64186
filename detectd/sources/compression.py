"""Read compressed files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import IO, TYPE_CHECKING, cast

from detectd.errors import ConfigError
from detectd.extras import how_to_get
from detectd.pipeline import memory_budget

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1 << 17


class DamagedError(Exception):
    """A compressed file is truncated, or its content does not match its name."""


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
        """Return up to `size` bytes, fewer only at the end. Raise DamagedError."""
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
            raise DamagedError(str(broken)) from None  # from bz2
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
        return cast("IO[bytes]", _Xz(raw))
    return cast("IO[bytes]", _Zstandard(raw, place))


class _Xz:
    """Read an xz file stream by stream, in bounded memory, which the library's reader does not."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream = self._new()
        self._begun = False

    def read(self, size: int) -> bytes:
        content = b""
        while not content:
            packed = b""
            if self._stream.eof:
                # Streams may be padded with NULs.
                packed = self._stream.unused_data.lstrip(b"\0")
                self._stream, self._begun = self._new(), False
            if self._stream.needs_input:
                packed = packed or self._raw.read(BLOCK)
                packed = packed if self._begun else packed.lstrip(b"\0")
                if not packed:
                    if self._begun:
                        raise EOFError("it ends within a stream")
                    return b""
            self._begun = True
            content = self._stream.decompress(packed, size)
        return content

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=memory_budget.WINDOW_BYTES)


class _Zstandard:
    """Read a zstandard file frame by frame. The library's reader takes a truncated frame for the
    end."""

    # A byte may expand to 32 KiB: this many at once give PIECE_BYTES.
    PIECE = memory_budget.PIECE_BYTES >> 15

    def __init__(self, raw: IO[bytes], place: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise ConfigError(
                f"source.path: {place} is compressed with zstd, whose library is not installed: "
                f"{how_to_get('codecs')}, or unpack the file with `zstd -d`"
            ) from None
        self._raw = raw
        # Views, as both are consumed in pieces.
        self._packed = self._content = memoryview(b"")
        unpacker = zstandard.ZstdDecompressor(max_window_size=memory_budget.WINDOW_BYTES)
        self._new = unpacker.decompressobj
        self._broken = zstandard.ZstdError
        self._frame = self._new()
        self._begun = False

    def read(self, size: int) -> bytes:
        while not self._content:
            if self._frame.eof:
                self._packed = memoryview(b"".join((self._frame.unused_data, self._packed)))
                self._frame, self._begun = self._new(), False
            self._packed = self._packed or memoryview(self._raw.read(BLOCK))
            packed, self._packed = self._packed[: self.PIECE], self._packed[self.PIECE :]
            if not packed:
                if self._begun:
                    raise EOFError("it ends within a frame")
                return b""
            self._begun = True
            try:
                self._content = memoryview(self._frame.decompress(packed))
            except self._broken as broken:
                raise EOFError(str(broken)) from None
        content, self._content = self._content[:size], self._content[size:]
        return bytes(content)
