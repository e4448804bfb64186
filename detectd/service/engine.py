"""Who answers, seen from the loop: records in, outputs out, and what is remembered beside them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from detectd import derive
from detectd.pipeline.output_detail import shown
from detectd.pipeline.vectors import vectors
from detectd.service.key_memory import key_memory
from detectd.service.key_watch import key_watch
from detectd.service.phases import Phases
from detectd.telemetry.snapshot import Snapshot

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from detectd.pipeline.records import KeyRecord, Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.service.champion import Champion
    from detectd.service.warmup import WarmupPhase
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sources import Partition, Source


class ScoringEngine:
    """Gives each record its output. It is `Checkpointed`, with `settle` before each snapshot.

    `load` comes first, then `restore`. `commits` names the commits that this process makes.
    """

    def __init__(self, settings: Settings, schema: Schema, commits: str) -> None:
        self.phases = Phases(settings, schema, commits)
        self._schema = schema
        self._keys = key_memory(settings)
        self._watch = key_watch(settings, self._keys.features) if self._keys else None
        self.events = derive.event_fingerprint(settings)
        self._restored = False

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.phases.settings

    @property
    def warmup(self) -> WarmupPhase | None:
        """What answers while there is no model; None if there is one."""
        return self.phases.warmup

    @property
    def champion(self) -> Champion | None:
        """The model that answers; None during a warm-up."""
        return self.phases.serving.champion if self.phases.serving else None

    @property
    def wanted(self) -> int | None:
        """How many events to answer at most before something else is due; None for any number."""
        return self.phases.current.wanted

    @property
    def holding(self) -> bool:
        """Whether nothing may be committed yet."""
        return self.warmup is not None and self.warmup.holding

    def load(self) -> None:
        """Let the active model answer, or begin a warm-up if there is none."""
        self.phases.load()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what the last commit remembers; call it again to take everything back."""
        keys = state.get("keys", {})
        # Rows of other features are none of this model's.
        if self.warmup and state.get("events") != self.events:
            state = {}
        if self.phases.serving and not self._restored:
            self.phases.serving.look_for_candidate(wait=True)
        self.phases.current.restore(state)
        if self._keys:
            self._keys.restore(keys)
        if self._watch:
            self._watch.rollback()
        self._restored = True

    def begin_again(self) -> None:
        """Count nothing of an earlier run: the stream is read from its beginning."""
        self.phases.upkeep.begin_again()
        if self.phases.serving:
            self.phases.serving.begin_again()

    def know(
        self,
        records: Sequence[Record],
        source: Source,
        sink: Sink,
        pause: Callable[[float], bool],
    ) -> bool:
        """See that all that features remember of the records' keys is here; see `KeyMemory`."""
        return self._keys is None or self._keys.know(records, source, sink, pause)

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """Return one output for each record, in order."""
        batch = vectors(records, self._schema, self._keys.features if self._keys else None)
        if self._watch:
            self._watch.see(batch)
        return self._shown(self.phases.current.answer(records, batch))

    def alerts(self) -> list[Outgoing]:
        """Return records that report on the promise or on keys, not on an event, for the commit."""
        alerts = self.phases.serving.alerts() if self.phases.serving else []
        return self._shown(alerts + self._watch.alerts() if self._watch else alerts)

    def look(
        self, partitions: Mapping[str, Partition] | None, position: Mapping[str, Any]
    ) -> list[str]:
        """Look at the partitions that are assigned, before a commit of `position`.

        Returns those of which something is to be committed that are not in it.
        """
        if self.warmup:
            self.warmup.look(partitions)
        return self._watch.look(partitions, position, time.monotonic()) if self._watch else []

    def _shown(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        output = self.settings.output
        return shown(outgoing, output.detail, original=output.value == "original")

    def settle(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """Note the outputs that the next commit is to hold; the last word before it counts."""
        if self.phases.serving:
            self.phases.serving.settle(counts, outgoing)

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know once the settled outputs are committed."""
        state = {"events": self.events} | self.phases.current.snapshot()
        return state | {"keys": self._keys.snapshot()} if self._keys else state

    def key_records(self, position: Mapping[str, Any]) -> Sequence[KeyRecord]:
        """Return what the commit of a source's position must write beside the outputs."""
        return self._keys.records(position) if self._keys else ()

    def on_commit(self) -> None:
        """Let what was seen count: the outputs have been committed."""
        self.phases.current.on_commit()
        if self._watch:
            self._watch.on_commit()
        if self._keys:
            self._keys.on_commit()

    def rollback(self) -> None:
        """Forget what was answered since the last commit: it will be answered again."""
        self.phases.current.rollback()
        if self._keys:
            self._keys.rollback()
        if self._watch:
            self._watch.rollback()

    def release(self) -> None:
        """Let what is held back be answered without a model: the stream has ended."""
        assert self.warmup
        self.warmup.release()

    def restless(self) -> bool:
        """Return whether another model waits to take over: then a batch need not wait for more."""
        return self.phases.restless()

    def advance(self, hold: Callable[[], None]) -> bool:
        """Between two batches: train what is due, or let another model answer.

        Calls `hold` again and again while that takes long. Returns True if what was held back until
        now is to be read again, and answered.
        """
        held = self.holding
        self.phases.advance(hold)
        return held and not self.holding

    def take_snapshot(self) -> Snapshot:
        """Return what telemetry shows; how trainings ended is in one snapshot only."""
        phase = self.phases.serving
        keys = self._watch.figures() if self._watch else None
        if phase is None:
            return Snapshot(warmup=self.warmup.progress if self.warmup else None, keys=keys)
        champion, retrainer = phase.champion.figures(), phase.retrainer
        if retrainer is None:
            return Snapshot(champion=champion, keys=keys)
        return Snapshot(
            champion=champion,
            keys=keys,
            held=retrainer.held,
            training=retrainer.running,
            refits=retrainer.outcomes(),
        )

    def reconfigure(self, settings: Settings) -> None:
        """Go on under other settings. Raises DetectdError if impossible, and changes nothing."""
        self.phases.reconfigure(settings)

    def write_observed(self) -> None:
        """Let reports see the counts."""
        if self.phases.serving:
            self.phases.serving.write_observed()

    def close(self) -> None:
        """Let go of the rows, and leave the counts."""
        self.write_observed()
        self.phases.close()
        if self._keys:
            self._keys.close()
