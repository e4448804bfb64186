"""What the service does with the store beside its models: counts for reports, and pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import DetectdError
from detectd.models.observed import ProcessCounts

if TYPE_CHECKING:
    from detectd.models.store import Store
    from detectd.service.champion import Champion
    from detectd.service.shadow import Shadow

log = structlog.get_logger()


class StoreMaintenance:
    """No failure here is a reason to stop: the commits carry the counts.

    `commits` names those that this process makes, `stream` what it answers.
    """

    def __init__(self, store: Store, commits: str, stream: str) -> None:
        self._store = store
        self._counts = ProcessCounts(store.directory, commits, stream)
        self._served = store.holder()

    def recorded(self, version: str) -> dict[str, Any]:
        """Return what this process, or the one that it goes on from, has recorded under
        `version`."""
        try:
            return self._counts.read(version)
        except (OSError, DetectdError) as failed:
            log.warning("stats.read_failed", reason=str(failed))
            return {}

    def begin_again(self) -> None:
        """Forget what ended processes have recorded in an earlier run of the stream."""
        try:
            self._counts.begin_again()
        except (OSError, DetectdError) as failed:
            log.warning("stats.remove_failed", reason=str(failed))

    def record(self, champion: Champion, shadow: Shadow | None) -> bool:
        """Write the counts for reports."""
        seen = champion.report()
        if shadow:
            seen["shadow"] = shadow.report()
        try:
            self._store.make()
            self._counts.write(champion.version, seen)
        except (OSError, DetectdError) as failed:
            log.warning("stats.write_failed", reason=str(failed))
            return False
        return True

    def serves(self, *versions: str | None) -> None:
        """Let no process remove these models, and any process all others."""
        self._served.only(*filter(None, versions))

    def prune(self, keep: int) -> None:
        """Keep no more than `keep` models, those in use, and the one that can be gone back to."""
        try:
            gone = self._store.prune(keep, spare_earlier=True)
        except (OSError, DetectdError) as failed:
            log.warning("models.not_pruned", reason=str(failed), hint="detectd models prune")
        else:
            if gone:
                log.info("models.pruned", models=gone)

    def close(self) -> None:
        """Release all of it. May be called twice."""
        self._counts.close()
        self._served.close()
