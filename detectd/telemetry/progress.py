"""A progress bar on a terminal; nothing in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advance(Protocol):
    """Report the share done, in [0, 1], and the number of events so far."""

    def __call__(self, share: float, events: int) -> None:
        """Move the bar."""


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """Show a progress bar of shares; nothing if stderr is not a terminal."""
    with tqdm(
        total=1.0,
        miniters=0,
        desc=title,
        file=sys.stderr,
        leave=False,
        disable=not sys.stderr.isatty(),
        bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}",
    ) as bar:

        def advance(share: float, events: int) -> None:
            bar.set_postfix_str(f"{events:,} events", refresh=False)
            bar.update(max(0.0, share - bar.n))

        yield advance
