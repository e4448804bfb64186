"""The default transport: kafka-python."""

from __future__ import annotations

from detectd.kafka.kafka_python_consumer import Consumer
from detectd.kafka.kafka_python_producer import Producer

__all__ = ["Consumer", "Producer"]
