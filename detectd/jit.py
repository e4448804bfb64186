"""Compiling what is called for every event.

numba is asked to keep its machine code on disk. Where no directory can be written, or the disk is
full, each process compiles anew.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def compiled(function: F) -> F:
    """Compile at the first call, keep the machine code on disk, and run without the GIL."""
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # No directory can be written.
        return cast("F", numba.njit(nogil=True)(function))
    _bear_a_full_disk(dispatcher)
    return cast("F", dispatcher)


def _bear_a_full_disk(dispatcher: Any) -> None:
    """numba looks for a directory that it may write to, but not whether there is room in it."""
    store: Any = getattr(dispatcher, "_cache", None)
    save = getattr(store, "save_overload", None)
    if save is None:
        return

    def save_if_there_is_room(*overload: Any) -> None:
        with contextlib.suppress(OSError):
            save(*overload)

    store.save_overload = save_if_there_is_room
