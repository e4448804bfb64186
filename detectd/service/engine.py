"""Score records with the current phase, whether warm-up or model, and keep its state."""

from __future__ import annotations

import math
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from detectd import derive
from detectd.pipeline.alerts import gap_alert
from detectd.pipeline.output_detail import shown
from detectd.pipeline.vectors import vectors
from detectd.service.key_memory import key_memory
from detectd.service.key_watch import key_watch
from detectd.service.phases import Phases
from detectd.telemetry.snapshot import Snapshot

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from detectd.pipeline.records import Gap, KeyRecord, LostPart, Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.service.champion import Champion
    from detectd.service.warmup import WarmupPhase
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sources import Source


class ScoringEngine:
    """Give each record its output. It is `Checkpointed`; call `settle` before each `snapshot`.

    Call `load` first, then `restore`. `commits` names the commits that this process makes.
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
        """Return the settings in force."""
        return self.phases.settings

    @property
    def warmup(self) -> WarmupPhase | None:
        """Return the warm-up phase; None when a model is active."""
        return self.phases.warmup

    @property
    def champion(self) -> Champion | None:
        """Return the model that serves; None during a warm-up."""
        return self.phases.serving.champion if self.phases.serving else None

    @property
    def wanted(self) -> int | None:
        """Return the maximum number of events to score before other work is due; None for no
        limit."""
        return self.phases.current.wanted

    @property
    def holding(self) -> bool:
        """Return whether nothing may be committed yet."""
        return self.warmup is not None and self.warmup.holding

    def load(self) -> None:
        """Serve the active model, or begin a warm-up if there is none."""
        self.phases.load()

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from the state of the last commit; call it again to undo everything since."""
        keys = state.get("keys", {})
        # Rows of other features do not fit this model.
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
        """Reset the counts: the stream is read from its beginning."""
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
        """Load the state of the records' keys, if it is not loaded yet; see `KeyMemory`."""
        return self._keys is None or self._keys.know(records, source, sink, pause)

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """Return one output for each record, in order."""
        batch = vectors(records, self._schema, self._keys.features if self._keys else None)
        answered = self.phases.current.answer(records, batch)
        if self._watch:
            self._watch.see(batch)
        return self._shown(answered)

    def alerts(self, gaps: Sequence[Gap | LostPart] = ()) -> list[Outgoing]:
        """Return the alert records for this commit, none without a topic for them: on the source,
        the promise or on keys, not on single events.

        First come the `gaps` before the events, then the others in the order of the events that
        raised them, wherever batches are cut.
        """
        if self.settings.topics.alerts is None:
            return []
        alerts = [(-math.inf, gap_alert(each)) for each in gaps]
        alerts += self._watch.alerts() if self._watch else []
        alerts += self.phases.serving.alerts() if self.phases.serving else []
        return self._shown([out for _, out in sorted(alerts, key=itemgetter(0))])

    def look(self, source: Source, position: Mapping[str, Any]) -> list[str]:
        """Inspect the assigned partitions before a commit of `position`.

        Return the partitions that need a commit but are missing from it.
        """
        if self.warmup:
            self.warmup.look(source.partitions())
        if self._watch is None:
            return []
        return self._watch.look(source.partitions(), position, time.monotonic())

    def _shown(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        output = self.settings.output
        return shown(outgoing, output.detail, original=output.value == "original")

    def settle(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """Count the outputs of the next commit; if called again before it, the last call counts."""
        if self.phases.serving:
            self.phases.serving.settle(counts, outgoing)

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the settled outputs are committed."""
        state = {"events": self.events} | self.phases.current.snapshot()
        return state | {"keys": self._keys.snapshot()} if self._keys else state

    def key_records(self, position: Mapping[str, Any]) -> Sequence[KeyRecord]:
        """Return the records that a commit of the source's position must write with the outputs."""
        return self._keys.records(position) if self._keys else ()

    def on_commit(self) -> None:
        """Make what was seen permanent: the outputs have been committed."""
        self.phases.current.on_commit()
        if self._watch:
            self._watch.on_commit()
        if self._keys:
            self._keys.on_commit()

    def rollback(self) -> None:
        """Discard what was scored since the last commit: it will be scored again."""
        self.phases.current.rollback()
        if self._keys:
            self._keys.rollback()
        if self._watch:
            self._watch.rollback()

    def release(self) -> None:
        """Release the held records without verdicts: the stream has ended."""
        assert self.warmup
        self.warmup.release()

    def restless(self) -> bool:
        """Return whether another model waits to take over; if so, a batch need not wait for
        records."""
        return self.phases.restless()

    def advance(self, hold: Callable[[], None]) -> bool:
        """Train what is due or switch models, between two batches.

        Call `hold` repeatedly while that takes long. Return True if the records held back until now
        are to be read again and scored.
        """
        held = self.holding
        self.phases.advance(hold)
        return held and not self.holding

    def take_snapshot(self) -> Snapshot:
        """Return what telemetry shows. The outcome of a training appears in one snapshot only."""
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
        """Apply other settings. If that fails, raise DetectdError and change nothing."""
        self.phases.reconfigure(settings)

    def write_observed(self) -> None:
        """Write the counts for reports."""
        if self.phases.serving:
            self.phases.serving.write_observed()

    def close(self) -> None:
        """Release the rows and write the counts."""
        self.write_observed()
        self.phases.close()
        if self._keys:
            self._keys.close()
