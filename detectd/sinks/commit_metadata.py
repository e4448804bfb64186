"""The metadata that a commit stores with its offsets: its owner, its number, and the service's
state.

Brokers store it as the metadata of an offset, limited to 4,096 characters by default
(offset.metadata.max.bytes). Longer metadata is compressed.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT = 4096

# JSON never begins with this.
COMPRESSED = "z:"


def write(mark: Mapping[str, Any]) -> str:
    """Return the mark as metadata. Raise ConfigError if it is too long."""
    memo = json.dumps(mark, separators=(",", ":"))
    if len(memo) <= LIMIT:
        return memo
    packed = COMPRESSED + base64.b85encode(zlib.compress(memo.encode(), 9)).decode()
    if len(packed) > LIMIT:
        parts = {name: len(json.dumps(part)) for name, part in mark.items()}
        raise ConfigError(
            f"sink: the position and the state have {len(packed):,} characters, and Kafka's "
            f"offsets hold at most {LIMIT:,} ({parts}); shorten source.path and the names in the "
            "configuration"
        )
    return packed


def read(memo: str | None) -> dict[str, Any]:
    """Return the mark in an offset's metadata; empty if another program wrote it."""
    # librdkafka includes the terminator of the string
    text = (memo or "{}").rstrip("\0")
    try:
        if text.startswith(COMPRESSED):
            packed = base64.b85decode(text.removeprefix(COMPRESSED))
            text = zlib.decompress(packed).decode()
        mark = json.loads(text)
    except (ValueError, zlib.error):
        return {}
    return mark if isinstance(mark, dict) else {}
