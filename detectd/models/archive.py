"""A stored model as one piece of bytes, and back: for hosts that share no disk."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING

from detectd import durable
from detectd.errors import ConfigError
from detectd.os_failures import explained

if TYPE_CHECKING:
    from detectd.models.store import Store


def pack(store: Store, version: str) -> bytes:
    """The files of a model, in an order that does not vary."""
    home = store.directory / version
    store.manifest(version)  # raises where there is no such model
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(home.iterdir()):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return packed.getvalue()


def unpack(store: Store, version: str, packed: bytes) -> None:
    """Store the model: whole and as its manifest says, or not at all.

    Raises ConfigError where it is damaged, DetectdError where it cannot be written.
    """
    store.make()
    home = store.directory / version
    if home.exists():
        return
    beside = store.directory / f".{version}.{os.getpid()}.new"
    try:
        beside.mkdir(mode=0o700)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None or "/" in entry.name or entry.name.startswith("."):
                    raise ConfigError(f"{version}: damaged model: it holds {entry.name!r}")
                durable.write(beside / entry.name, content.read(), mode=0o600)
        beside.rename(home)
        durable.sync_directory(store.directory)
    except tarfile.TarError as broken:
        raise ConfigError(f"{version}: damaged model: {broken}") from None
    except OSError as failed:
        raise explained(
            failed, f"models.directory: {store.directory}: the model cannot be stored"
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    try:
        store.load(version)
    except ConfigError:
        shutil.rmtree(home, ignore_errors=True)
        raise
