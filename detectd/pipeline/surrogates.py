r"""JSON text with a lone surrogate, such as "\ud83d", which is valid JSON but not valid text.

`json.dumps` of Python and `JSON.stringify` of older JavaScript engines write it for file names
that are not UTF-8 and for text cut within a character. Decoders of UTF-8 refuse it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Every escape is consumed whole, so that in `\\ud83d` the second backslash begins none.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)


def spelled_out(value: bytes) -> bytes:
    r"""Return the same JSON with each lone surrogate replaced by the six characters of its escape.

    So `\ud83d` becomes `\\ud83d`: two lone surrogates stay different, while one is the same as the
    text of its escape. Whole pairs stay as they are.
    """
    return _ESCAPE.sub(lambda found: b"\\" + found[0] if found[1] else found[0], value)


def decode_json(value: bytes, decode: Callable[[bytes], T] = msgspec.json.decode) -> T:
    """Return JSON text decoded by `decode`, one of msgspec's; lone surrogates become the text of
    their escape.

    Raises as `decode`.
    """
    try:
        return decode(value)
    except msgspec.DecodeError:
        text = spelled_out(value) if b"\\u" in value else value
        if text == value:
            raise
        return decode(text)
