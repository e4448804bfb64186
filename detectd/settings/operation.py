"""What the service needs around it: a store of models, pages, directories, a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from detectd.settings.types import RELOADABLE, HostName, OutputDirectory, SecretFile, Section


class ModelsSettings(Section):
    """Where models live, and how many of them."""

    directory: OutputDirectory = Path("models")
    keep: Annotated[int, RELOADABLE] = Field(default=10, ge=1)


class ServerSettings(Section):
    """Where the service shows how it is doing: `address:port`, `unix:/path`, or nowhere."""

    listen: str = "127.0.0.1:9464"
    token_file: SecretFile | None = None
    allowed_hosts: tuple[HostName, ...] = ()


class PathsSettings(Section):
    """What is asked of the directories that are written."""

    check_owners: bool = True


class LogSettings(Section):
    """What goes to stderr, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
