"""The position of a file source: which file, how far it has been read, and which files follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError
from detectd.sources.file_identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from detectd.sources.chain import Chain
    from detectd.sources.file_reader import FileReader


def as_position(path: Path, reading: FileReader, generation: int, chain: Chain) -> dict[str, Any]:
    """Return the position as JSON."""
    header = reading.header.as_dict() if reading.header else None
    return {
        "path": str(path.absolute()),
        "offset": reading.offset,
        "line": reading.line,
        "generation": generation,
        "identity": reading.identity().as_dict(),
        "size": max(reading.size, reading.end),
        "target": str(chain.place.target),
        "next": [known.as_dict() for known in chain.expected()],
        **({"header": header} if header else {}),
    }


def require_path(position: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError if the position is that of another source."""
    known = position.get("path")
    if known != str(path.absolute()):
        raise ConfigError(
            f"source.path: {path} is not the file whose outputs are in the sink, "
            f"{known or 'another kind of source'}; name another sink.directory"
        )


def files_after(position: Mapping[str, Any]) -> Iterator[Identity]:
    """Return the identities of the files that followed this one."""
    return map(Identity.from_dict, position.get("next", ()))
