"""Find out who could change a file: trusted users, and members of a group."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from functools import cache
from pathlib import Path

ROOT = 0
EVERYBODY = 1 << 32  # the size of a map of users that leaves none out


@cache
def trusted() -> frozenset[int]:
    """Return the users who control this process anyway.

    Root, the user of this process, and the owners of the root directory and of this program: in
    containers and user namespaces those may be neither.
    """
    places = (Path("/"), Path(__file__))
    return frozenset({ROOT, os.geteuid(), *(place.stat().st_uid for place in places)})


@cache
def anonymous() -> int | None:
    """Return the number that stands for every user without one here; None if all have one.

    In a user namespace (systemd's PrivateUsers=, rootless containers) they cannot be distinguished.
    """
    try:
        sizes = [int(line.split()[2]) for line in _proc("self/uid_map").splitlines()]
        if sum(sizes) >= EVERYBODY - 1:
            return None
        return int(_proc("sys/kernel/overflowuid"))
    except (OSError, ValueError, IndexError):
        return None


def name(user: int) -> str:
    """Return the name of a user for a message."""
    if user == anonymous():
        return f"an unknown user (uid {user})"
    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}"


def flaw(status: os.stat_result, *, sticky: bool = False) -> str | None:
    """Return why others could change a file or a directory's content; None if they cannot.

    With `sticky`, a directory in which everyone removes only their own files, as /tmp, will do.
    """
    if status.st_uid not in trusted():
        return f"belongs to {name(status.st_uid)}, not to {name(os.geteuid())} or root"
    if sticky and status.st_mode & stat.S_ISVTX:
        return None
    if status.st_mode & stat.S_IWOTH:
        return "is writable by any user"
    if status.st_mode & stat.S_IWGRP and (others := _others(status.st_gid)):
        return f"is writable by its group {_group(status.st_gid)}, and so by {others}"
    return None


def fix(status: os.stat_result, place: Path) -> str:
    """Return the command that removes the flaw."""
    if status.st_uid not in trusted():
        return f"chown {os.geteuid()} {place}"
    return f"chmod go-w {place}"


@cache
def _others(group: int) -> str | None:
    """Return the members of a group beside trusted users, None if there are none.

    A group that only this process has is the user's own, or one that a container was given for its
    volumes (fsGroup), which has no name.
    """
    names = [each.pw_name for each in pwd.getpwall() if each.pw_gid == group]
    try:
        names += grp.getgrgid(group).gr_mem
    except KeyError:
        if group not in {os.getegid(), *os.getgroups()}:
            return "other processes"
    for member in names:
        with contextlib.suppress(KeyError):
            if pwd.getpwnam(member).pw_uid not in trusted():
                return member
    return None


def _group(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def _proc(path: str) -> str:
    return (Path("/proc") / path).read_text(encoding="ascii")
