"""Maintain the store from the service: counts for reports, and pruning."""

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
    """Failures here do not stop the service: the commits hold the counts.

    `commits` names the commits of this process, `stream` the stream that it processes.
    """

    def __init__(self, store: Store, commits: str, stream: str) -> None:
        self._store = store
        self._counts = ProcessCounts(store.directory, commits, stream)
        self._served = store.holder()

    def recorded(self, version: str) -> dict[str, Any]:
        """Return the counts that this process, or its predecessor, recorded under `version`."""
        try:
            return self._counts.read(version)
        except (OSError, DetectdError) as failed:
            log.warning("stats.read_failed", reason=str(failed))
            return {}

    def begin_again(self) -> None:
        """Discard the counts of ended processes from an earlier run of the stream."""
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
        """Protect these models from removal by any process, and release all others."""
        self._served.only(*filter(None, versions))

    def prune(self, keep: int) -> None:
        """Keep at most `keep` models, plus those in use and the target of a rollback."""
        try:
            gone = self._store.prune(keep, spare_earlier=True)
        except (OSError, DetectdError) as failed:
            log.warning("models.not_pruned", reason=str(failed), hint="detectd models prune")
        else:
            if gone:
                log.info("models.pruned", models=gone)

    def close(self) -> None:
        """Release all protections. May be called twice."""
        self._counts.close()
        self._served.close()
