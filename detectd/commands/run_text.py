"""What a bounded run did, held against the promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.report.figures import exact_figures
from detectd.report.wording import abstention_sentence

if TYPE_CHECKING:
    from detectd.service.run_summary import Summary


def summary_text(summary: Summary) -> str:
    """Counts per topic, abstention seen against promised, and the rate."""
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
    return [
        f"{seen}promised {promise.exact.expected_rejection_rate:.3%} on average, at most "
        f"{promise.exact.rejection_rate_upper:.3%} with probability {1 - promise.exact.delta:g}: "
        f"{'kept' if kept else 'NOT KEPT'}"
    ]
