"""Python's search for cycles of garbage, while events flow.

What there is one of for every event takes part in no cycle, and is freed at once without a search.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of what an event takes, a tenth was for looking for cycles, and no event is part of one.
OBJECTS_A_COLLECTION = 100_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for cycles rarely, and never among what is there now."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
