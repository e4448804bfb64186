"""Directories that only this process may change: they hold code, or files to overwrite."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem import owners, umask
from detectd.filesystem.safe_walk import Walk

if TYPE_CHECKING:
    from pathlib import Path

LIFT = "paths.check_owners = false disables this check"


def require_private(key: str, directory: Path, *, check_owners: bool = True) -> None:
    """Raise ConfigError if others could put something else in the place of `directory`.

    All directories and symlinks that lead there are looked at. It need not be there yet: then it
    can be created. With `check_owners` unset, nothing is looked at. Raise OSError if the way there
    is barred.
    """
    if not check_owners:
        return
    with Walk(directory, missing_ok=True) as walk:
        for place, status in walk.links:
            if status.st_uid not in owners.trusted():
                raise ConfigError(
                    f"{key}: {place} is a symbolic link owned by {owners.name(status.st_uid)}, who "
                    f"could point it elsewhere; name its target {walk.place} instead; or {LIFT}"
                )
        for place, status in walk.directories:
            _require(key, place, status, sticky=True)
        if not walk.missing and stat.S_ISDIR(walk.status.st_mode):
            _require(key, walk.place, walk.status, sticky=False)


def make(
    key: str, directory: Path, mode: int, *, shared: bool = False, check_owners: bool = True
) -> None:
    """Create `directory` and its missing parents where only this user can; see `require_private`.

    With `shared`, others may enter it as far as `mode` and the umask at the start allow.
    """
    require_private(key, directory, check_owners=check_owners)
    missing = [directory]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        try:
            each.mkdir(mode)
        except FileExistsError:
            if not each.is_dir():
                raise
        else:
            if shared:
                _share(each, mode)
        require_private(key, each, check_owners=check_owners)


def _require(key: str, place: Path, status: os.stat_result, *, sticky: bool) -> None:
    if flaw := owners.flaw(status, sticky=sticky):
        raise ConfigError(
            f"{key}: {place} {flaw}, so others could replace what is in it; "
            f"{owners.fix(status, place)}, or name another directory; {LIFT}"
        )


def _share(directory: Path, mode: int) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory, flags)
    try:
        umask.share(descriptor, mode)
    finally:
        os.close(descriptor)
