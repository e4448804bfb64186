"""One model for all hosts: published on a compacted topic, fed into each host's own store.

    key               value
    <version>/<n>     the n-th piece of the model's archive
    active            {"version", "pieces", "sha256"}: which one answers

Everything is one transaction, so a reader sees a model completely or not at all. A detector is a
pickle, and a pickle is code: a client that may write to the topic runs code on every host. The hash
protects against damage, not against such clients; grant Write on the topic to publishers alone.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog
from kafka import KafkaProducer, TopicPartition

from detectd.errors import ConfigError, DetectdError, UsageError
from detectd.filesystem import atomic_files
from detectd.kafka import CLOSE_SECONDS, groups
from detectd.kafka import topics as broker_topics
from detectd.kafka.backoff import ExponentialBackoff
from detectd.kafka.errors import explained
from detectd.kafka.observer import onlooker
from detectd.kafka.topics import NewTopicConfig
from detectd.models import archive
from detectd.models.announcement import ACTIVE, PIECE_BYTES, Pieces, announced, require_possible
from detectd.pipeline.unexpected_errors import in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from detectd.models.store import Store

log = structlog.get_logger()

READ_SECONDS = 60.0

# How many characters of a refused record and of the reason are logged.
SHOWN, LONGEST = 100, 400


def publish(
    client: KafkaClient, topic: str, store: Store, version: str, creation: NewTopicConfig | None
) -> None:
    """Activate this model on every host that reads `topic`.

    Raise ConfigError if the topic is missing or not suitable for models, and as
    `KafkaClient.connect`.
    """
    require(client, topic, creation)
    packed = archive.pack(store, version)
    pieces = [packed[at : at + PIECE_BYTES] for at in range(0, len(packed), PIECE_BYTES)]
    digest = hashlib.sha256(packed).hexdigest()
    announcement = {"version": version, "pieces": len(pieces), "sha256": digest}
    gone = _superseded(client, topic, version)
    producer: Any = client.connect(
        KafkaProducer,
        transactional_id=f"{client.transactional_id}.models",
        acks="all",
        max_request_size=2 * PIECE_BYTES,
        compression_type="gzip",
        allow_auto_create_topics=False,
    )
    with closing(producer), explained("publishing the model"):
        producer.init_transactions()
        producer.begin_transaction()
        sent = [producer.send(topic, key=key, value=None, partition=0) for key in gone]
        for number, piece in enumerate(pieces):
            key = f"{version}/{number}".encode()
            sent.append(producer.send(topic, key=key, value=piece, partition=0))
        value = json.dumps(announcement).encode()
        sent.append(producer.send(topic, key=ACTIVE, value=value, partition=0))
        producer.flush(timeout=client.transaction_timeout)
        for future in sent:
            future.get(timeout=0)
        producer.commit_transaction()
    log.info("models.published", model=version, topic=topic, bytes=len(packed))


def require(client: KafkaClient, topic: str, creation: NewTopicConfig | None) -> None:
    """Raise ConfigError unless the topic exists, has one partition, and is compacted."""
    compacted = (("cleanup.policy", "compact"),)
    made = creation and NewTopicConfig(1, creation.replication_factor, compacted)
    names = {topic: topic}
    partitions = broker_topics.require(client, "kafka.models_topic", names, made)[topic]
    if partitions != 1:
        raise ConfigError(
            f"kafka.models_topic: {topic} has {partitions} partitions; models need a fixed order, "
            "so create it with one"
        )
    policy = broker_topics.config(client, topic, "cleanup.policy")
    if policy is not None and "compact" not in policy:
        raise ConfigError(
            f"kafka.models_topic: {topic} has cleanup.policy={policy}, which would delete the "
            "model; set it to compact"
        )


class Feed:
    """Store models that are published on the topic, and activate them.

    A damaged record is refused, once; `refused` counts them. Temporary failures (brokers, a full
    disk) are retried as long as the feed runs.
    """

    def __init__(self, client: KafkaClient, topic: str, store: Store) -> None:
        self._client = client
        self._topic = topic
        self._store = store
        self._pieces = Pieces()
        self.refused = 0
        self._refused_pieces = 0
        self._caught_up = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="models-feed", daemon=True)

    def start(self, patience: float) -> None:
        """Start, and wait until everything published so far is in the store."""
        self._thread.start()
        self._caught_up.wait(patience)

    def stop(self) -> None:
        """End the feed. May be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        self._retry(self._follow)

    def _retry(self, do: Callable[[], None]) -> None:
        """Call `do` until it returns, or the feed ends; log each new reason why it does not."""
        backoff, reported = ExponentialBackoff(), None
        while not self._stop.is_set():
            try:
                do()
            # Any exception: otherwise the thread would end unnoticed, and no more models would
            # arrive.
            except Exception as failed:  # noqa: BLE001
                reason = str(failed) if isinstance(failed, DetectdError) else repr(failed)
                if reason != reported:
                    log.warning("models.feed_interrupted", reason=reason, topic=self._topic)
                reported = reason
                self._stop.wait(backoff.pause(time.monotonic()))
            else:
                return

    def _follow(self) -> None:
        with closing(onlooker(self._client)) as reader, explained("reading the models topic"):
            place = TopicPartition(self._topic, 0)
            reader.assign([place])
            reader.seek_to_beginning()
            end = reader.end_offsets([place])[place]
            applied = self._applied()
            self._pieces.clear()
            while not self._stop.is_set():
                for found in reader.poll(timeout_ms=500).values():
                    for record in found:
                        self._take(record, applied)
                if reader.position(place) >= end:
                    self._caught_up.set()

    def _take(self, record: Any, applied: Path) -> None:
        if record.key == ACTIVE:
            if record.value is not None:
                self._retry(lambda: self._apply(record, applied))
            self._pieces.clear()
            return
        try:
            self._pieces.take(record.key, record.value)
        except ConfigError as refused:
            self._refused_pieces += 1
            # Many refused records must not flood the log.
            if self._refused_pieces.bit_count() == 1:
                key = repr((record.key or b"")[:SHOWN])
                self._refuse(record, refused, key=key, records=self._refused_pieces)
            else:
                self.refused += 1

    def _apply(self, record: Any, applied: Path) -> None:
        """Store and activate a model, but only once: an operator may have rolled back since.

        Raise DetectdError or OSError for temporary failures.
        """
        if record.offset <= _last_applied(applied):
            return
        version = repr(record.value[:SHOWN])
        try:
            wanted = announced(record.value)
            version = wanted.version[:SHOWN]
            require_possible(wanted)
            archive.unpack(self._store, version, self._pieces.archive(wanted))
            self._store.activate(version)
        except (ConfigError, UsageError) as refused:
            self._refuse(record, refused, model=version)
            return
        except (DetectdError, OSError):
            raise
        # A pickle can raise anything, and would again.
        except Exception as refused:  # noqa: BLE001
            self._refuse(record, refused, model=version)
            return
        content = {"topic": self._topic, "offset": record.offset}
        atomic_files.replace(applied, json.dumps(content).encode() + b"\n")
        log.info("models.received", model=version)

    def _refuse(self, record: Any, refused: Exception, **which: object) -> None:
        """Log in one line why a record is refused, and count it."""
        self.refused += 1
        reason = str(refused) if isinstance(refused, DetectdError) else in_words(refused)
        log.warning("models.refused", reason=reason[:LONGEST], offset=record.offset, **which)

    def _applied(self) -> Path:
        """Return the file with the last applied announcement.

        Stores are shared and topics are recreated, so each topic has its own file.
        """
        which = groups.topic_ids(self._client, [self._topic]).get(self._topic, self._topic)
        return (
            self._store.directory / f"feed-{hashlib.sha256(which.encode()).hexdigest()[:16]}.json"
        )


def _last_applied(applied: Path) -> int:
    try:
        return int(json.loads(applied.read_bytes())["offset"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return -1


def _superseded(client: KafkaClient, topic: str, version: str) -> list[bytes]:
    """Return the keys of pieces on the topic of models that are neither active nor to be
    activated."""
    keys: dict[bytes, bool] = {}
    latest = b""
    with closing(onlooker(client)) as reader, explained("reading the models topic"):
        place = TopicPartition(topic, 0)
        reader.assign([place])
        reader.seek_to_beginning()
        end = reader.end_offsets([place])[place]
        deadline = time.monotonic() + READ_SECONDS
        while reader.position(place) < end and time.monotonic() < deadline:
            for record in (r for found in reader.poll(timeout_ms=200).values() for r in found):
                if record.key == ACTIVE:
                    latest = record.value or b""
                elif record.key is not None:
                    keys[record.key] = record.value is not None
    try:
        active = announced(latest).version
    except ConfigError:
        active = version  # no host could read it, so none needs it
    kept = tuple(f"{each}/".encode() for each in (active, version))
    return [key for key, there in keys.items() if there and not key.startswith(kept)]
