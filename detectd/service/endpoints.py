"""The source and sink of a run, and the Kafka client that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd import wiring

if TYPE_CHECKING:
    from detectd.settings import Settings

log = structlog.get_logger()


class Endpoints:
    """Create source and sink, and recreate them after an interruption, since clients keep a failed
    state."""

    def __init__(self, settings: Settings) -> None:
        self.client = wiring.kafka_client(settings)
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)

    def renew(self, settings: Settings) -> None:
        """Close source and sink, and create new ones."""
        self.close()
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)

    def rename(self) -> None:
        """Switch to a free name, since another process uses this one; call `renew` next."""
        assert self.client
        self.client = self.client.renamed()
        log.warning(
            "service.renamed",
            transactional_id=self.client.transactional_id,
            reason="another process has the same host name, machine id and transactional id, as "
            "containers may have",
            hint="give each container its own hostname, or set kafka.transactional_id for each",
        )

    def close(self) -> None:
        """Close source and sink. May be called twice."""
        self.source.close()
        self.sink.close()
