"""The format of CSV, as far as its header does not show it."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import field_validator

from detectd.settings.types import Name, Section

ASCII = bytes(range(128))


class CsvSettings(Section):
    """The CSV format of files and pipes, and of `--input`."""

    delimiter: Name = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    columns: tuple[Name, ...] = ()
    encoding: Name = "utf-8"

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, delimiter: str) -> str:
        one = len(delimiter) == 1 and delimiter.isascii()
        if delimiter != "auto" and (not one or delimiter.isalnum() or delimiter in '"\r\n.-+_'):
            raise ValueError(
                f'must be "auto" or the one character between fields, such as ";" or "\\t" in '
                f"double quotes (it is {delimiter!r})"
            )
        return delimiter

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice; name each column once")
        return columns

    @field_validator("encoding")
    @classmethod
    def _holds_ascii(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError(f'{encoding!r} is not a known encoding; one is "latin-1"') from None
        try:
            same = ASCII.decode(encoding) == ASCII.decode()
        except (LookupError, UnicodeError):
            same = False
        if not same:  # Fields and lines are split before they are decoded.
            raise ValueError(
                f"{encoding!r} does not write ASCII as ASCII does; convert the file to UTF-8"
            )
        return encoding
