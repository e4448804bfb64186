"""Measure how deeply JSON is nested, without decoding it. Pure.

Counting the opening brackets is cheap. Only if there are enough does a compiled scan skip strings
and count the open levels, in linear time for any bytes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

# As integers: Python counts an integer in bytes faster than bytes of length one.
BRACE, BRACKET, CLOSING_BRACE, CLOSING_BRACKET, QUOTE, BACKSLASH = b'{[}]"\\'


def any_deeper(values: Iterable[bytes], most: int) -> bool:
    """Return whether one of these JSON texts has more than `most` levels."""
    return any(
        depth(each) > most for each in values if len(each) > 2 * most and _opens(each) > most
    )


def _opens(text: bytes) -> int:
    """Return the number of opening brackets. Finding that a byte is absent takes a tenth of
    counting."""
    braces = text.count(BRACE) if text.find(BRACE, 1) > 0 else 1
    return braces + text.count(BRACKET) if BRACKET in text else braces


def depth(text: bytes) -> int:
    """Return the maximum number of nested objects and arrays in JSON text."""
    return int(_scan()(np.frombuffer(text, dtype=np.uint8)))


@cache
def _scan() -> Callable[[Any], Any]:
    from detectd.jit import compiled  # loads the compiler, which few streams need

    scan: Callable[[Any], Any] = compiled(_deepest)
    return scan


def _deepest(text: NDArray[np.uint8]) -> int:
    deepest = level = 0
    quoted = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped = byte == BACKSLASH
            quoted = byte != QUOTE
        elif byte == QUOTE:
            quoted = True
        elif byte in (BRACE, BRACKET):
            level += 1
            deepest = max(deepest, level)
        elif byte in (CLOSING_BRACE, CLOSING_BRACKET):
            level -= 1
    return deepest
