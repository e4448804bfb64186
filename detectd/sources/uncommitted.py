"""What a source found and no commit has yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Uncommitted(Generic[T]):
    """What was found since the last commit, in order.

    What comes between an offer and its commit waits for the next one.
    """

    def __init__(self) -> None:
        self._found: list[T] = []
        self._offered: list[T] = []

    def __iter__(self) -> Iterator[T]:
        return iter(self._found)

    def add(self, each: T) -> None:
        """Add what was found."""
        self._found.append(each)

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Remove all else."""
        self._found = list(filter(wanted, self._found))

    def offer(self, wanted: Callable[[T], bool] = lambda _: True) -> list[T]:
        """Return what the next commit makes permanent."""
        self._offered = list(filter(wanted, self._found))
        return self._offered

    def on_commit(self) -> list[T]:
        """Remove what was last offered, and return it."""
        offered, self._offered = self._offered, []
        self.keep(lambda each: each not in offered)
        return offered
