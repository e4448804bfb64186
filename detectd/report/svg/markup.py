"""HTML and SVG as trees: whatever text goes in, no markup comes out of it.

Serialising escapes, so nothing else has to remember to.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, tostring

Inside = Element | str | None

# What neither XML nor HTML has a place for: control characters, halves of surrogate pairs.
UNPRINTABLE = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tag(name: str, /, *inside: Inside, **attributes: str | float | None) -> Element:
    """Return an element with text and elements inside, in order; None is left out.

    `class_` stands for class, and an underscore for a hyphen: `stroke_width`. Numbers are written
    with as many digits as a screen can show.
    """
    given = {
        key.rstrip("_").replace("_", "-"): _printable(_written(value))
        for key, value in attributes.items()
        if value is not None
    }
    element = Element(name, given)
    last: Element | None = None
    for part in inside:
        if isinstance(part, Element):
            element.append(part)
            last = part
        elif part is not None and last is None:
            element.text = (element.text or "") + _printable(part)
        elif part is not None and last is not None:
            last.tail = (last.tail or "") + _printable(part)
    return element


def render(root: Element) -> str:
    """Return the document, in ASCII: whatever it is printed or written to can hold it.

    Text in `style` is not escaped, so only text of detectd may go there.
    """
    document: bytes = tostring(root, encoding="us-ascii", method="html")
    return "<!doctype html>\n" + document.decode("ascii")


def percentage(share: float) -> str:
    """Return a length in SVG or CSS, as a share of the whole."""
    return f"{_written(100 * share)}%"


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.5g}" if abs(value) < 1e5 else f"{value:.0f}"


def _printable(text: str) -> str:
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
