"""The common options of the librdkafka clients."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient

# librdkafka reports each lost connection; those that matter cause a later failure.
log = logging.getLogger("kafka.librdkafka")


def common(client: KafkaClient) -> dict[str, Any]:
    """Return the options of every client."""
    return {
        "bootstrap.servers": ",".join(client.bootstrap_servers),
        "client.id": client.client_id,
        "reconnect.backoff.max.ms": 1000,
        **client.native,
    }
