"""Keys as fixed-size numbers, for arrays."""

from __future__ import annotations

from hashlib import blake2b

from detectd.pipeline.memory_budget import CACHED_KEY_BYTES

# The digest of an event without a key.
NO_KEY = 0


def digest(name: bytes | None) -> int:
    """Return a hash of a name, 64 bits; `NO_KEY` for None."""
    if name is None:
        return NO_KEY
    return int.from_bytes(blake2b(name, digest_size=8).digest()) or 1


class Digests(dict[bytes | None, int]):
    """The digests of names, remembered, except of long ones; the memory is cleared at `MOST`
    names."""

    MOST = 65_536

    def __missing__(self, name: bytes | None) -> int:
        found = digest(name)
        if name is None or len(name) <= CACHED_KEY_BYTES:
            if len(self) >= self.MOST:
                self.clear()
            self[name] = found
        return found
