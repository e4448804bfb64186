"""What reaches a terminal shows what was there, and does nothing."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from detectd.report.terminal import one_line, printable

BIDIRECTIONAL = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def obeyed(character):
    """Whether a terminal or a renderer may do more than show it, by Unicode's own tables."""
    if "\udca0" <= character <= "\udcff":  # a byte of a path that is not UTF-8
        return False
    return (
        (unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} and character not in "\t\n")
        or unicodedata.bidirectional(character) in BIDIRECTIONAL
        or character in "\u200e\u200f\u061c"
    )


def test_every_character_that_a_terminal_obeys_is_escaped_and_no_other():
    for first in range(0, 0x110000, 256):
        characters = [chr(code) for code in range(first, first + 256)]
        shown = "".join(each for each in characters if not obeyed(each))
        assert printable(shown) == shown, hex(first)
        for each in set(characters) - set(shown):
            assert printable(each) != each, hex(ord(each))


@given(st.text())
def test_what_is_printed_can_be_encoded_and_is_left_alone_the_second_time(text):
    shown = printable(text)
    assert not any(map(obeyed, shown))
    assert printable(shown) == shown
    shown.encode(errors="surrogateescape")


@given(st.recursive(st.text() | st.floats(allow_nan=False), st.lists, max_leaves=5))
def test_json_keeps_its_meaning(value):
    value = {"\x9b": value}
    raw = json.dumps(value, ensure_ascii=False)
    assert json.loads(printable(raw)) == value


@given(st.text())
def test_a_cell_is_one_line_and_no_longer_than_it_may_be(text):
    assert len(one_line(text).splitlines()) <= 1
    assert "\t" not in one_line(text)
    # An escape takes six characters in the place of one.
    assert len(one_line(text, 10)) <= 60
    plain = "x" * 20
    assert one_line(plain, 10) == "x" * 9 + "…"
