"""Records of a models topic: pieces of an archive, and the active model. Pure.

Any client with write access may write anything to the topic. Records that `publish` would not write
are refused here, before memory or time is spent on them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

import msgspec

from detectd.errors import ConfigError

# A record of this size fits within the brokers' default max.message.bytes.
PIECE_BYTES = 512 * 1024
# The most bytes of unannounced pieces that the feed keeps; it keeps the latest.
MOST_BYTES = 1 << 30
MOST_PIECES = MOST_BYTES // PIECE_BYTES

ACTIVE = b"active"
NAME = r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}"
VERSION = re.compile(NAME)
PIECE = re.compile(rb"(%b)/(0|[1-9][0-9]{0,8})" % NAME.encode())


class Announcement(msgspec.Struct, frozen=True):
    """The active model: its name, its archive's number of pieces, and the archive's hash."""

    version: str
    pieces: Annotated[int, msgspec.Meta(ge=1)]
    sha256: str


decode = msgspec.json.Decoder(Announcement).decode


def announced(value: bytes) -> Announcement:
    """Return a parsed announcement; it is trusted only if `require_possible` does not raise.

    Raise ConfigError if it is none.
    """
    try:
        return decode(value)
    except (ValueError, RecursionError) as broken:
        raise ConfigError(f"not an announcement: {broken}") from None


def require_possible(claim: Announcement) -> None:
    """Raise ConfigError if the announcement is impossible for a model."""
    if not VERSION.fullmatch(claim.version):
        raise ConfigError("not the name of a model")
    if claim.pieces > MOST_PIECES:
        raise ConfigError(f"it claims {claim.pieces} pieces, and {MOST_PIECES} is the limit")


class Pieces:
    """The unannounced pieces, by key, at most `most` bytes of them."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._held: dict[bytes, bytes] = {}
        self.weight = 0

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Keep a piece, or remove one without a value.

        Raise ConfigError if it is not a piece, or if the oldest pieces had to be removed.
        """
        if key is None or not PIECE.fullmatch(key):
            raise ConfigError("not a piece of a model")
        self.weight -= len(self._held.pop(key, b""))
        if value is None:
            return
        self._held[key] = value
        self.weight += len(value)
        dropped = 0
        while self.weight > self._most:
            self.weight -= len(self._held.pop(next(iter(self._held))))
            dropped += 1
        if dropped:
            raise ConfigError(
                f"the held pieces, which no announcement names, exceed {self._most:,} bytes; the "
                f"oldest {dropped} were dropped"
            )

    def archive(self, wanted: Announcement) -> bytes:
        """Return the announced archive. Raise ConfigError if pieces are missing."""
        keys = [f"{wanted.version}/{n}".encode() for n in range(wanted.pieces)]
        lacking = next((key for key in keys if key not in self._held), None)
        if lacking is not None:
            raise ConfigError(f"its piece {lacking.decode()} is missing")
        packed = b"".join(self._held[key] for key in keys)
        if hashlib.sha256(packed).hexdigest() != wanted.sha256:
            raise ConfigError("its sha256 is not the one announced")
        return packed

    def clear(self) -> None:
        """Release all."""
        self._held.clear()
        self.weight = 0
