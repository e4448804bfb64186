"""Compiling what is called for every event.

numba is asked to keep its machine code on disk. Where no directory can be written, or the disk is
full, each process compiles anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

F = TypeVar("F", bound="Callable[..., Any]")


def compiled(function: F) -> F:
    """Compile at the first call, keep the machine code on disk, and run without the GIL."""
    try:
        return cast("F", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # No directory can be written: compile anew in each process.
        return cast("F", numba.njit(nogil=True)(function))
