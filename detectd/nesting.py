"""How deep JSON is nested, found without decoding it. Pure."""

from __future__ import annotations

import re

import numpy as np

# A text, closed or not: without the second, many open quotes would take the square of their number.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def deeper_than(most: int, text: bytes) -> bool:
    """Return whether JSON text has more than `most` levels. Free if few brackets open."""
    return may_be_deeper(text, most) and depth(text) > most


def may_be_deeper(text: bytes, most: int) -> bool:
    """Return False if too few brackets open for more than `most` levels."""
    return len(text) > 2 * most and text.count(b"{") + text.count(b"[") > most


def depth(text: bytes) -> int:
    """Return how many objects and arrays are open at most at one place of JSON text.

    Whatever the bytes are, the time grows with their number.
    """
    brackets = _TEXT.sub(b"", text).translate(None, _OTHERS)
    levels = np.cumsum(_STEPS[np.frombuffer(brackets, dtype=np.uint8)], dtype=np.int64)
    return int(levels.max(initial=0))
