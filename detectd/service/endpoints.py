"""The two ends of a run, source and sink, and the Kafka client that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd import wiring

if TYPE_CHECKING:
    from detectd.settings import Settings

log = structlog.get_logger()


class Endpoints:
    """Makes both ends; after an interruption new ones, as clients keep what has failed."""

    def __init__(self, settings: Settings) -> None:
        self.client = wiring.kafka_client(settings)
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)

    def renew(self, settings: Settings) -> None:
        """Close both ends, and make new ones."""
        self.close()
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)

    def rename(self) -> None:
        """Go on under a name that is free, since another process has ours; `renew` comes next."""
        assert self.client
        self.client = self.client.renamed()
        log.warning(
            "service.renamed",
            transactional_id=self.client.transactional_id,
            reason="another process has this host's name, machine id and transactional id, as "
            "containers may",
            hint="give each container its own hostname, or set kafka.transactional_id for each",
        )

    def close(self) -> None:
        """Close both ends. May be called twice."""
        self.source.close()
        self.sink.close()
