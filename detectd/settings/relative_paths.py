"""Relative paths in a configuration start at its own directory; in a variable, where one is now.

What an instance under /etc/detectd writes starts in /var/lib/detectd/NAME instead, which is where
its unit may write. A secret is looked up among systemd's credentials first.

Earlier versions began at the working directory. What is there, and not where it is looked for now,
is used with a warning, so that a service continues with its own outputs and models.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from detectd.nearest import exists
from detectd.settings.types import OutputDirectory, SecretFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pydantic.fields import FieldInfo

    from detectd.settings import Settings

INSTALLED = Path("/etc/detectd")
STATE = Path("/var/lib/detectd")
WRITTEN, SECRET = (get_args(kind)[1] for kind in (OutputDirectory, SecretFile))


class _Relative(NamedTuple):
    """A relative path of the file, where it starts, and where it did in earlier versions."""

    section: str
    key: str
    path: Path
    base: Path
    before: Path

    @property
    def here(self) -> Path:
        return self.base / self.path

    @property
    def there(self) -> Path:
        return self.before / self.path

    @property
    def moved(self) -> bool:
        """Return whether all that there is of it is where earlier versions looked."""
        return not exists(self.here) and exists(self.there)


def resolve(
    settings: Settings, config: Path, by_variable: Collection[tuple[str, ...]]
) -> tuple[Settings, list[str]]:
    """Return the same settings with absolute paths, and a warning for each that may surprise.

    `by_variable` names the (section, key) that the environment sets.
    """
    # As the working directory is, without symbolic links: the sink knows its source by its path.
    config = config.absolute().parent.resolve() / config.name
    try:
        working = Path.cwd()
    except FileNotFoundError:  # removed since
        working = config.parent
    fixed: dict[tuple[str, str], Path] = {}
    relative: list[_Relative] = []
    for section, key, path, marks in _paths(settings):
        credential = _credential(path) if SECRET in marks else None
        if credential or path.is_absolute() or (section, key) in by_variable:
            fixed[section, key] = credential or working / path
        else:
            base = _base(config, written=WRITTEN in marks)
            relative.append(_Relative(section, key, path, base, working))
    # Outputs that are still to be made go where the rest of an older set-up is.
    old = any(each.moved for each in relative) and not any(exists(each.here) for each in relative)
    warnings = []
    for each in relative:
        stays = each.moved or (old and not exists(each.here))
        fixed[each.section, each.key] = each.there if stays else each.here
        if each.here != each.there and (stays or exists(each.there)):
            warnings.append(_warning(each, stays=stays))
    return _with(settings, fixed), warnings


def _paths(settings: Settings) -> Iterator[tuple[str, str, Path, list[object]]]:
    for section, table in settings:
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            if isinstance(value, Path):
                yield section, key, value, _marks(field)


def _marks(field: FieldInfo) -> list[object]:
    """Return what is said of a path: pydantic keeps it apart unless the path may be left out."""
    inner = [mark for each in get_args(field.annotation) for mark in get_args(each)]
    return [*field.metadata, *inner]


def _base(config: Path, *, written: bool) -> Path:
    installed = config.parent == INSTALLED.resolve()
    return STATE / config.stem if written and installed else config.parent


def _credential(path: Path) -> Path | None:
    home = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(home) / path if home and (Path(home) / path).is_file() else None


def _warning(path: _Relative, *, stays: bool) -> str:
    if stays:
        return (
            f"{path.section}.{path.key}: {path.there} is used, as before; from the next version "
            f"on, relative paths start at the configuration, which means {path.here}: write the "
            "absolute path"
        )
    return (
        f"{path.section}.{path.key}: {path.here} is used, and no longer {path.there}: relative "
        "paths start at the configuration; write the absolute path if you mean the other"
    )


def _with(settings: Settings, fixed: dict[tuple[str, str], Path]) -> Settings:
    changed = {}
    for section, table in settings:
        paths = {key: path for (name, key), path in fixed.items() if name == section}
        changed[section] = table.model_copy(update=paths)
    return settings.model_copy(update=changed)
