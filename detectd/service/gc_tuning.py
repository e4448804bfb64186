"""Tune Python's cyclic garbage collector.

Objects with one instance per event are never part of a cycle, and are freed without a collection.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The cyclic garbage collector took 10 % of the time per event, and no per-event object can be in a
# cycle.
OBJECTS_A_COLLECTION = 100_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Run the collector rarely, and never over the objects that exist now."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
