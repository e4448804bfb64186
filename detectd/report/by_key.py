"""The promises of keys that have a zone of their own, and the keys that keep theirs least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.models.key_observations import by_place, recorded
from detectd.report.terminal import one_line
from detectd.report.wording import standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detectd.models.serving import Serving
    from detectd.rejection.key_promise import KeyCounts

# Of the keys farthest above their own promise.
WORST = 5
WIDTH = 32


def key_figures(serving: Serving, observed: object) -> dict[str, Any] | None:
    """Return the figures of keys with a zone of their own; None without `calibration.by_key`.

    `observed` is the result of `KeyObservations.as_dict`. `worst` are the keys with more
    abstentions than expected, by standard deviations, at most `WORST` of them.
    """
    zones, promises = serving.judge.keys, serving.key_promises
    if zones is None or promises is None:
        return None
    names, counts = by_place(recorded(observed), zones)
    seen = int(counts.events.sum())
    delta, lawful = serving.promise.terms.delta, serving.promise.exact is not None
    answering = promises.mixture(counts.events, delta) if seen else None
    sizes = zones.sizes[:-1]
    return {
        "own": zones.own,
        "fewest_scores": int(sizes.min()) if zones.own else None,
        "most_scores": int(sizes.max()) if zones.own else None,
        "events": seen,
        "shared_events": int(counts.events[-1]),
        # What the zones that answered these events promise together.
        "expected_rejection_rate": answering and answering.rejection_rate,
        "rejection_rate_upper": answering and answering.rejection_rate_upper if lawful else None,
        # False for sound models with probability delta at most, however often one looks.
        "inside_promise": promises.kept(counts, delta) if seen and lawful else None,
        "worst": list(_worst(serving, names, counts)),
    }


def _worst(
    serving: Serving, names: Mapping[int, str], counts: KeyCounts
) -> Iterator[dict[str, Any]]:
    promises, delta = serving.key_promises, serving.promise.terms.delta
    lawful = serving.promise.exact is not None
    assert promises
    excess = promises.excess(counts)[:-1]
    for place in np.argsort(-excess, kind="stable")[:WORST].tolist():
        if excess[place] <= 0.0:
            return
        events, abstained = int(counts.events[place]), int(counts.abstained[place])
        yield {
            "key": names.get(place, ""),
            "events": events,
            "abstain": abstained,
            "rejection_rate": abstained / events,
            "expected_rejection_rate": float(promises.expected[place]),
            "rejection_rate_upper": promises.upper(place, delta) if lawful else None,
            "inside_promise": promises.kept_by(place, counts, delta) if lawful else None,
        }


def key_lines(by_key: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield name and text of each line on keys."""
    if not by_key:
        return
    yield "by key", own_sentence(by_key)
    if by_key["events"]:
        yield "", _promised(by_key)
    for key in by_key["worst"]:
        yield "", worst_sentence(key)


def _promised(by_key: Mapping[str, Any]) -> str:
    upper, events = by_key["rejection_rate_upper"], by_key["events"]
    most = "" if upper is None else f", at most {upper:.3%}"
    return (
        f"{by_key['shared_events'] / events:.1%} of {events:,} events judged in the shared zone; "
        f"all zones together promise to abstain from {by_key['expected_rejection_rate']:.3%}{most}"
    )


def own_sentence(by_key: Mapping[str, Any]) -> str:
    """Return how many keys have a zone of their own."""
    if not by_key["own"]:
        return "no key has enough calibration scores for a zone of its own; all share one"
    fewest, most = by_key["fewest_scores"], by_key["most_scores"]
    scores = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    if by_key["own"] == 1:
        return f"1 key has a zone of its own, of {scores} calibration scores; all others share one"
    return (
        f"{by_key['own']:,} keys have zones of their own, of {scores} calibration scores; all "
        "others share one"
    )


def worst_sentence(key: Mapping[str, Any]) -> str:
    """Return what one key did, beside its own promise."""
    upper = key["rejection_rate_upper"]
    most = "" if upper is None else f", at most {upper:.3%}"
    return (
        f"{one_line(key['key'], WIDTH)}: {key['rejection_rate']:.3%} of {key['events']:,} events, "
        f"promised {key['expected_rejection_rate']:.3%}{most}: {standing(key['inside_promise'])}"
    )
