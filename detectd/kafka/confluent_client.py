"""The faster transport: librdkafka, by the confluent-kafka package (an extra)."""

from __future__ import annotations

from detectd.errors import ConfigError
from detectd.extras import how_to_get

try:
    import confluent_kafka  # noqa: F401 - whether it is there
except ImportError:
    raise ConfigError(
        f'kafka.client: "confluent" needs confluent-kafka; {how_to_get("confluent")}'
    ) from None

from detectd.kafka.confluent_consumer import Consumer
from detectd.kafka.confluent_producer import Producer

__all__ = ["Consumer", "Producer"]
