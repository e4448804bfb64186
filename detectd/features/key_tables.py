"""A table of keys for each partition of the input. Pure.

Partitions come and go, and each takes its keys along, so a partition's outputs do not depend on
which others the process reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, ValuesView

    from detectd.features.key_changes import RowsByName
    from detectd.features.key_table import KeyTable
    from detectd.features.silence import Silence


class KeyTables:
    """Tables by the name of their partition; `new` creates an empty one."""

    def __init__(self, new: Callable[[], KeyTable]) -> None:
        self._new = new
        self._tables: dict[str, KeyTable] = {}

    def of(self, partition: str) -> KeyTable:
        """Return the partition's table; create an empty one if there is none."""
        table = self._tables.get(partition)
        if table is None:
            table = self._tables[partition] = self._new()
        return table

    def items(self) -> ItemsView[str, KeyTable]:
        """Return partitions and their tables."""
        return self._tables.items()

    def values(self) -> ValuesView[KeyTable]:
        """Return the tables."""
        return self._tables.values()

    def restore(self, states: dict[str, RowsByName]) -> None:
        """Restore the tables of a commit, and drop all others."""
        self._tables = {}
        for partition, state in states.items():
            self.of(partition).restore(state)

    def drop(self, partition: str) -> None:
        """Drop a partition that is now assigned to another process."""
        self._tables.pop(partition, None)

    def silences(self) -> list[tuple[str, Silence]]:
        """Return the partition and each silence that began or ended in it since the last commit."""
        return [(name, each) for name, table in self._tables.items() for each in table.silences]

    @property
    def changed(self) -> bool:
        """Return whether any table changed since the last commit."""
        return any(table.changed for table in self._tables.values())

    def on_commit(self) -> None:
        """Make the changes since the last commit permanent."""
        for table in self._tables.values():
            table.on_commit()

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        for table in self._tables.values():
            table.rollback()
