"""A copy on disk of the position that the Kafka sink commits, in case the brokers expire it.

Brokers delete the offsets of a group that was unused for `offsets.retention.minutes`, a week by
default. A service that was down for longer would process its whole file again. So the sink also
keeps the position in a file, written before each transaction:

    committed   the last commit that is known to be finished
    pending     the one that is about to be made, and a digest of its last output
    outputs     the id of the topic of normal verdicts; another id means other outputs

As long as the brokers have the position of a commit, only that is used (`settle`), so after a crash
at any moment and a restart within the week, the transaction decides. Without it (`restore`):

    no pending commit                the position is that of `committed`
    the pending one's last output    the position is that of `pending`: a transaction is visible
    is in the outputs                whole or not at all
    it is not there                  the position is that of `committed`

The last case processes at most one batch twice, if the process died after that transaction, was
down for a week, and the output has been deleted or has more than `TAIL` others after it. To begin
again on purpose, remove the file together with the group's offsets.

For a Kafka source, the offsets are those of the partitions that this process committed; they are
used only for topics without offsets in the group. Another process may have progressed further with
a partition; then records are processed twice, whereas without the file the whole topic would be.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog

from detectd.filesystem import atomic_files
from detectd.kafka import groups
from detectd.kafka.errors import explained
from detectd.kafka.observer import onlooker, partitions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from detectd.pipeline.records import Outgoing, Position

log = structlog.get_logger()

# How many last offsets of each partition are searched for an output.
TAIL = 10_000
SEARCH_SECONDS = 60.0


def path_of(directory: Path, transactional_id: str) -> Path:
    """Return the file for this transactional id."""
    digest = hashlib.sha256(transactional_id.encode()).hexdigest()[:16]
    return directory / f"position-{digest}.json"


class LocalPosition:
    """The copy at `path`. A commit is `{"commit", "source", "state"}`, as the sink marks it."""

    def __init__(self, client: KafkaClient, path: Path, normal: str) -> None:
        self._client = client
        self._path = path
        self._normal = normal
        self._outputs = ""
        self._committed: dict[str, Any] | None = None
        self._pending: dict[str, Any] | None = None
        # Whether no commit is pending according to the file.
        self._settled = True
        self._failed = False

    def open(self) -> None:
        """Read the file. Ignore one that is damaged or belongs to other outputs."""
        self._outputs = groups.topic_ids(self._client, [self._normal]).get(self._normal, "")
        self._committed = self._pending = None
        try:
            found = json.loads(self._path.read_bytes())
            if found["outputs"] == self._outputs:
                self._committed, self._pending = found["committed"], found["pending"]
            else:
                log.info("sink.position_dropped", path=str(self._path), reason="other outputs")
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as broken:
            log.warning("sink.position_unreadable", path=str(self._path), reason=repr(broken))

    def agree(self, last: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the last commit from the brokers, or from the copy if they have expired it."""
        self.open()
        if last is not None:
            self.settle(last)
            return last
        kept = self.restore()
        if kept is None or "group" not in kept["source"]:
            return kept
        # The group may have progressed without this process; the source uses these offsets if not.
        source = kept["source"]
        offsets = {"remembered": source.get("offsets", {})}
        others = {key: value for key, value in source.items() if key != "offsets"}
        return kept | {"source": others | offsets}

    def restore(self) -> dict[str, Any] | None:
        """Return the last commit if the brokers have expired the position; None if there was
        none."""
        if self._pending and self._is_written(self._pending):
            self._committed = self._pending
        self._pending = None
        if self._committed:
            log.warning(
                "sink.position_restored",
                path=str(self._path),
                reason="the brokers have forgotten it",
                hint="to start over, stop the service and remove the file",
            )
        return self._committed

    def settle(self, commit: dict[str, Any]) -> None:
        """Record that this commit, which the brokers have, is the last one."""
        both = (self._pending, self._committed)
        ours = next((each for each in both if each and each["commit"] == commit["commit"]), None)
        # For a Kafka source the brokers' mark holds no offsets: the group has them.
        self._committed = ours or _merged(self._committed, commit)
        self._pending = None
        self._write()

    def prepare(self, number: int, position: Position, last: tuple[Outgoing, str] | None) -> None:
        """Write the pending commit; `last` is the last output and its topic."""
        commit = {"commit": number, "source": position.source, "state": position.state}
        self._pending = _merged(self._committed, commit)
        if last:
            out, topic = last
            digest = _digest(out.value, out.key, out.headers)
            self._pending["output"] = {"topic": topic, "digest": digest}
        self._write()

    def finish(self) -> None:
        """Record that the pending commit is finished; the next `prepare` or `rest` writes it."""
        self._committed, self._pending = self._pending, None
        self._settled = False

    def rest(self) -> None:
        """Write that nothing is pending, unless the file already says so."""
        if not self._settled and self._pending is None:
            self._write()

    def _write(self) -> None:
        content = {
            "outputs": self._outputs,
            "committed": self._committed,
            "pending": self._pending,
        }
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_files.replace(self._path, json.dumps(content).encode() + b"\n", mode=0o600)
        except OSError as failed:
            # The brokers have the position; this copy is only a fallback.
            if not self._failed:
                log.warning(
                    "sink.position_not_kept",
                    path=str(self._path),
                    reason=failed.strerror,
                    hint="make it writable, or the position is lost a week after the last commit",
                )
            self._failed = True
        else:
            self._failed = False
        self._settled = self._pending is None

    def _is_written(self, commit: dict[str, Any]) -> bool:
        """Return whether the commit's last output is among the last records of its topic."""
        wanted = commit.get("output")
        if not wanted:
            return False
        places = partitions(self._client, "topics", wanted["topic"])
        deadline = time.monotonic() + SEARCH_SECONDS
        with closing(onlooker(self._client)) as reader, explained("reading the outputs"):
            ends, begins = reader.end_offsets(places), reader.beginning_offsets(places)
            reader.assign(places)
            for place in places:
                reader.seek(place, max(begins[place], ends[place] - TAIL))
            while (
                any(reader.position(place) < ends[place] for place in places)
                and time.monotonic() < deadline
            ):
                for found in reader.poll(timeout_ms=200).values():
                    if any(_digest(r.value, r.key, r.headers) == wanted["digest"] for r in found):
                        return True
        return False


def _merged(before: dict[str, Any] | None, commit: dict[str, Any]) -> dict[str, Any]:
    """Return the commit, with earlier offsets of the partitions that it does not include."""
    source = commit["source"]
    old = (before or {}).get("source", {})
    if "group" not in source or old.get("group") != source["group"]:
        return dict(commit)
    offsets = {topic: dict(each) for topic, each in old.get("offsets", {}).items()}
    for topic, each in source.get("offsets", {}).items():
        offsets.setdefault(topic, {}).update(each)
    return commit | {"source": old | source | {"offsets": offsets}}


def _digest(value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str:
    """Return a digest that identifies an output, whose id is in the value or in a header."""
    parts = [value or b"", key or b"", *(b"%s=%s" % (n.encode(), v or b"") for n, v in headers)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
