"""What the librdkafka clients are given in common."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient

# librdkafka reports each lost connection; whether that matters is seen by what fails after it.
log = logging.getLogger("kafka.librdkafka")


def common(client: KafkaClient) -> dict[str, Any]:
    """Return the options of every client."""
    return {
        "bootstrap.servers": ",".join(client.bootstrap_servers),
        "client.id": client.client_id,
        "reconnect.backoff.max.ms": 1000,
        **client.native,
    }
