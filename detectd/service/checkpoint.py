"""The protocol for state that is committed with the outputs."""

from __future__ import annotations

from typing import Any, Protocol


class Checkpointed(Protocol):
    """State that a crash neither loses nor counts twice.

    The contract: the state is always what results from exactly the records whose outputs are
    committed, each once. So

    - `snapshot` covers all that was seen, and goes into the commit of the outputs it was seen with;
    - `on_commit` says that this commit has succeeded: what was seen now counts;
    - `rollback` says that it will not: the part is as it was after the last `on_commit`, or the
      last `restore`, and the same records come again;
    - `restore` takes a part, new or not, to a snapshot; to its beginning if that is empty, or is of
      another model or of other options. A snapshot is JSON, and those of the version before are
      still read.

    The files of rows (`RowLog`, `WindowFile`, `TrainingRows`) follow the same contract. Their
    `restore` returns False if rows of the snapshot are gone; the owner rolls them back by restoring
    its last snapshot.
    """

    def restore(self, state: dict[str, Any], /) -> None:
        """Resume from a `snapshot`, or from the beginning if it is empty."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the outputs so far are committed."""

    def on_commit(self) -> None:
        """Make what was seen permanent: the outputs have been committed."""

    def rollback(self) -> None:
        """Discard what was seen since the last commit: it will be read again."""
