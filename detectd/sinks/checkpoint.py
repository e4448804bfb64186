"""What the file sink remembers of its last commit, in `checkpoint.json` beside the outputs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from detectd import durable
from detectd.errors import ConfigError
from detectd.records import Position, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Whatever an output holds beyond its length, in bytes, is not committed.

    `replayed` counts the bytes of the dead letters that have been answered once more.
    """

    position: Position | None = None
    lengths: dict[Topic, int] = field(default_factory=dict)
    replayed: int = 0


def read(directory: Path) -> Checkpoint | None:
    """The last commit; None before the first. Raises ConfigError where it is damaged."""
    path = directory / NAME
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        lengths = {Topic(name): int(n) for name, n in found["lengths"].items()}
        position = found["position"]
        return Checkpoint(
            Position(**position) if position else None, lengths, int(found.get("replayed", 0))
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"sink.directory: {path} is damaged; move the directory away or name another"
        ) from None


def write(
    directory: Path, checkpoint: Checkpoint, *, sync: bool, after: Sequence[int] = ()
) -> None:
    """Put it in the place of the one before; a reader sees the one or the other.

    With `sync`, what was written to the descriptors `after` is on the disk before.
    """
    body = json.dumps(asdict(checkpoint)).encode() + b"\n"
    durable.replace(directory / NAME, body, sync=sync, after=after)
