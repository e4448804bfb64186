"""Compile functions that are called for every event.

numba caches its machine code on disk. If no directory is writable, or the disk is full, each
process compiles for itself. The same holds if other users can write there: numba's index is a
pickle, and its content is executed.

numba checks only a function's own file to decide whether its machine code is current. That code
includes called functions and constants from other files, whose changes it would miss. So their
stamps are added to the stamp that numba compares.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.options import DefaultOptions

from detectd.errors import ConfigError
from detectd.filesystem import owners, private_directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Not public: a numba without it counts references, which costs time and nothing else.
HAS_THE_OPTION = hasattr(DefaultOptions, "_nrt")

F = TypeVar("F", bound="Callable[..., Any]")

# The reason for not caching, logged once per directory.
refused: list[str] = []

# This runs before the configuration is read, but its environment variable is available.
CHECK_OWNERS = "DETECTD_PATHS__CHECK_OWNERS"
SUFFIXES = (".nbi", ".nbc")
COMPILES = "kernels are compiled at every start"


def compiled(function: F) -> F:
    """Compile on the first call, cache the machine code on disk, and run without the GIL."""
    # Said, since numba hands a caller's options on to what it calls.
    return _compiled(function, counts_references=True)


def compiled_in_place(function: F) -> F:
    """Do the same for a function that creates no array: numba then counts no references.

    Each array that a function is given, or slices, costs two atomic instructions otherwise; that is
    more than all the arithmetic of a kernel for one event.
    """
    return _compiled(function, counts_references=False)


def _compiled(function: F, *, counts_references: bool) -> F:
    options: dict[str, Any] = {"_nrt": counts_references} if HAS_THE_OPTION else {}
    try:
        dispatcher = numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # no writable directory
        return cast("F", numba.njit(nogil=True, **options)(function))
    store: Any = getattr(dispatcher, "_cache", None)
    if store is not None and not _is_safe(store.cache_path):
        return cast("F", numba.njit(nogil=True, **options)(function))
    _bear_a_full_disk(dispatcher)
    _stamp(store, function, options)
    return cast("F", dispatcher)


def keep_machine_code(package: str) -> None:
    """Cache on disk what the imported modules of a library compile, too.

    PyOD compiles in each process again: HBOS takes seconds longer to fit, and to load. Each of its
    compiled functions calls only those of its own file, which numba checks.
    """
    inner = f"{package}."
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(inner):
            for value in list(vars(module).values()):
                if isinstance(value, Dispatcher):
                    _keep(value)


def _keep(dispatcher: Any) -> None:
    before: Any = getattr(dispatcher, "_cache", None)
    if not isinstance(before, NullCache):
        return
    with contextlib.suppress(RuntimeError):  # no writable directory
        dispatcher.enable_caching()
        if _is_safe(dispatcher._cache.cache_path):  # noqa: SLF001 - numba does not tell otherwise
            _bear_a_full_disk(dispatcher)
        else:
            dispatcher._cache = before  # noqa: SLF001


def _stamp(store: Any, function: Any, options: dict[str, Any]) -> None:
    """Invalidate machine code of other options, or if anything that the function's file imports has
    changed."""
    kept: Any = getattr(store, "_cache_file", None)
    if hasattr(kept, "_source_stamp"):
        package = function.__module__.partition(".")[0]
        imported = "\n".join(sorted(set(_stamps(function.__globals__, package))))
        digest = hashlib.sha256(f"{options}\n{imported}".encode()).hexdigest()
        kept._source_stamp = (kept._source_stamp, digest)  # noqa: SLF001 - numba has no setting


def _stamps(names: dict[str, Any], package: str, depth: int = 1) -> Iterator[str]:
    """Yield stamps of compiled functions and of constants, including those in imported modules."""
    for name, value in names.items():
        if isinstance(value, ModuleType):
            if depth and value.__name__.partition(".")[0] == package:
                yield from _stamps(vars(value), package, depth - 1)
        elif isinstance(value, (bool, int, float)):
            yield f"{name}={value!r}"
        else:
            kept = getattr(getattr(value, "_cache", None), "_cache_file", None)
            if kept is not None:
                yield repr(getattr(kept, "_source_stamp", None))


@cache
def _is_safe(directory: str) -> bool:
    """Return whether no other user can have written the directory's content; if not, `refused` has
    the reason."""
    if os.environ.get(CHECK_OWNERS, "").lower() == "false":
        return True
    try:
        private_directories.require_private("NUMBA_CACHE_DIR", Path(directory))
        files = {place: place.lstat() for place in Path(directory).iterdir()}
    except (ConfigError, OSError) as why:
        refused.append(f"{COMPILES}: {why}")
        return False
    for place, status in files.items():
        if place.suffix in SUFFIXES and (flaw := owners.flaw(status)):
            refused.append(f"{COMPILES}: NUMBA_CACHE_DIR: {place} {flaw}; remove it")
            return False
    return True


def _bear_a_full_disk(dispatcher: Any) -> None:
    """Handle a full disk: numba checks that its directory is writable, but not for free space."""
    store: Any = getattr(dispatcher, "_cache", None)
    save = getattr(store, "save_overload", None)
    if save is None:
        return

    def save_if_there_is_room(*overload: Any) -> None:
        with contextlib.suppress(OSError):
            save(*overload)

    store.save_overload = save_if_there_is_room
