"""A stored model as one archive, and back, for hosts without a shared disk."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.models import locks
from detectd.models.files import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.models.store import Store


def pack(store: Store, version: str) -> bytes:
    """Return the archive of a model, deterministically. Raise DetectdError as `Store.load`."""
    home = store.directory / version
    store.manifest(version)  # raises if there is no such model
    packed = io.BytesIO()
    try:
        with locks.in_use(home), tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(home.iterdir()):
                entry = tarfile.TarInfo(path.name)
                entry.size = path.stat().st_size
                with path.open("rb") as file:
                    archive.addfile(entry, file)
    except OSError as failed:
        raise explained(failed, f"{home}: cannot be read") from None
    return packed.getvalue()


def unpack(store: Store, version: str, packed: bytes) -> None:
    """Store the model completely and as its manifest says, or not at all.

    Raise ConfigError if it is damaged, DetectdError if it cannot be written.
    """

    def write(beside: Path) -> None:
        _extract(packed, version, beside)
        store.load_from(beside, version)

    store.add(version, write)


def _extract(packed: bytes, version: str, directory: Path) -> None:
    try:
        # No compression: a few compressed bytes could expand to any size.
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if _plain(entry, len(packed)) else None
                if content is None:
                    raise ConfigError(f"{version}: damaged model: it holds {entry.name[:100]!r}")
                atomic_files.write(directory / entry.name, content.read(), mode=0o600)
    except tarfile.TarError as broken:
        raise ConfigError(f"{version}: damaged model: {broken}") from None


def _plain(entry: tarfile.TarInfo, most: int) -> bool:
    """Return whether it is a model file whose bytes are in the archive, unlike a sparse file."""
    return entry.isreg() and not entry.issparse() and entry.name in FILES and entry.size <= most
