"""What a part of the service remembers of the stream, and when that counts."""

from __future__ import annotations

from typing import Any, Protocol


class Checkpointed(Protocol):
    """A part that learns from the stream, and that a crash does not make forget or learn twice.

    The law: what a part has learnt is what it would have learnt from exactly the records whose
    outputs are committed, each once. So

    - `snapshot` covers all that was seen, and goes into the commit of the outputs it was seen with;
    - `on_commit` says that this commit has succeeded: what was seen now counts;
    - `rollback` says that it will not: the part is as it was after the last `on_commit`, or the
      last `restore`, and the same records come again;
    - `restore` takes a part, new or not, to a snapshot; to its beginning if that is empty, or is of
      another model or of other options. A snapshot is JSON, and those of the version before are
      still read.

    The files of rows (`RowLog`, `WindowFile`, `TrainingRows`) keep the same law. Their `restore`
    returns False if rows of the snapshot are gone, and the part that owns them rolls them back by
    restoring its last snapshot.
    """

    def restore(self, state: dict[str, Any], /) -> None:
        """Go on from a `snapshot`, from the beginning if it is empty."""

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know once the outputs so far are committed."""

    def on_commit(self) -> None:
        """Let what was seen count: the outputs have been committed."""

    def rollback(self) -> None:
        """Forget what was seen since the last commit: it will be seen again."""
