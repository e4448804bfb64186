"""`detectd run`, and the summary of a bounded run."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from detectd.settings.loader import examine, load
from detectd.settings.secrets import exposed, in_the_clear
from detectd.signals import Stop
from detectd.telemetry import logs
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console
    from detectd.service.run_summary import Summary


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd run`."""
    stop = Stop()
    stop.listen()  # before the slow imports: a stop during them is a stop like any other
    settings, warnings = examine(arguments.config)
    from detectd import jit
    from detectd.service.loop import Service

    logs.configure(settings.log)
    for warning in warnings:
        logs.warn("config.warning", reason=warning)
    for why in jit.refused:
        logs.warn("cache.refused", reason=why)
    for why in exposed(settings):
        logs.warn("secret.exposed", reason=why)
    for why in in_the_clear(settings):
        logs.warn("secret.in_the_clear", reason=why)
    with progress_bar("detectd run") as advance:
        shown = advance if sys.stderr.isatty() else None
        reread = partial(load, arguments.config)
        summary = Service(settings, stop, shown, reread, arguments.config).run()
    if settings.source.bounded:
        # If verdicts are on stdout, the summary must not be.
        tell = console.note if settings.sink.kind == "stdout" else console.say
        tell(summary_text(summary))


def summary_text(summary: Summary) -> str:
    """Return the counts per topic, abstention seen against promised, and the rate."""
    total = summary.topics.total()
    rate = total / summary.seconds if summary.seconds else 0.0
    warming = f" ({summary.warming_up:,} while warming up)" if summary.warming_up else ""
    lines = [
        f"records   {total:,} in {summary.seconds:.1f} s, {rate:,.0f} a second",
        *(f"{topic:12}{count:>12,}" for topic, count in _rows(summary)),
    ]
    lines[-2] += warming
    if summary.no_model:
        lines.append(f"no model    {summary.no_model}")
    if summary.serving:
        lines += _against_promise(summary)
    return "\n".join(lines)


def _rows(summary: Summary) -> list[tuple[str, int]]:
    names = ("normal", "anomaly", "abstain", "dead_letter")
    return [(name, summary.topics[name]) for name in names]


def _against_promise(summary: Summary) -> list[str]:
    from detectd.report.figures import exact_figures
    from detectd.report.wording import abstention_sentence

    assert summary.serving
    promise = summary.serving.promise
    abstained = summary.scored["abstain"]
    events = summary.scored["normal"] + summary.scored["anomaly"] + abstained
    if not events:
        return []
    seen = f"abstained   {abstained / events:.3%} of {events:,} judged events; "
    kept = promise.kept(events, abstained)
    if promise.exact is None or not promise.rate_bounded:
        standing = "" if kept is None else f": {'kept' if kept else 'NOT KEPT'}"
        return [f"{seen}the model {abstention_sentence(exact_figures(promise))}{standing}"]
    judged = {True: ": kept", False: ": NOT KEPT", None: "; `detectd report` holds keys to theirs"}
    return [
        f"{seen}promised {promise.exact.expected_rejection_rate:.3%} on average, at most "
        f"{promise.exact.rejection_rate_upper:.3%} with probability {1 - promise.exact.delta:g}"
        f"{judged[kept]}"
    ]
