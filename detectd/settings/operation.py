"""The service's environment: the model store, endpoints, directories, the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from detectd.settings.types import RELOADABLE, HostName, OutputDirectory, SecretFile, Section


class ModelsSettings(Section):
    """The model store, and how many models it keeps."""

    directory: OutputDirectory = Path("models")
    keep: Annotated[int, RELOADABLE] = Field(default=10, ge=1)


class ServerSettings(Section):
    """The address of the endpoints: `address:port`, `unix:/path`, or none."""

    listen: str = "127.0.0.1:9464"
    token_file: SecretFile | None = None
    allowed_hosts: tuple[HostName, ...] = ()


class PathsSettings(Section):
    """The requirements on writable directories."""

    check_owners: bool = True


class LogSettings(Section):
    """The level and the format of logs on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
