"""The result of a backtest compared with the promise: as plain data, and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.rejection import (
    ANOMALY,
    NORMAL,
    Costs,
    finite_history,
    most_inside,
    observed_inside,
    rate_interval,
)
from detectd.rejection.evaluation import auroc, forced, risk_coverage, tally_of
from detectd.rejection.promise import exact_terms
from detectd.report.figures import figures
from detectd.report.wording import cost_doubt, rate_doubt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.rejection import FiniteHistory, Stability
    from detectd.rejection.evaluation import RiskCoverage, Tally
    from detectd.rejection.promise import Promise
    from detectd.report.backtest_data import Backtest, BacktestData

    Ints = np.ndarray[Any, np.dtype[np.int64]]

# A curve has one step per rank; it is drawn with this many points.
POINTS = 200
TABLE = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)

# From this share on, training rows in the history are not a coincidence.
FAMILIAR = 0.01


def backtest_figures(tested: Backtest) -> dict[str, Any]:
    """Return all figures; rates are shares of all judged events."""
    promise, answered = tested.serving.promise, tested.answered
    counted = tally_of(answered.counts)
    verdicts = {"normal": counted.normal, "anomaly": counted.anomaly, "abstain": counted.abstain}
    report = figures(tested.serving, verdicts)
    allowed = _allowed(counted, promise)
    return {
        "model": report["model"],
        "history": {
            "events": counted.events,
            "anomalies": counted.anomalies,
            "anomaly_rate": counted.anomalies / counted.events,
            "warmup": tested.warmup,
            "dead_letters": dict(tested.dead),
            "training_rows": tested.familiar,
        },
        "verdicts": {
            **verdicts,
            "false_positives": counted.false_positives,
            "false_negatives": counted.false_negatives,
            "abstained_anomalies": counted.abstained_anomalies,
        },
        "rates": _rates(counted, promise, allowed)
        | {"doubt": rate_doubt(report["exact"]), "cost_doubt": cost_doubt(report["exact"])},
        "cost": _cost(tested, counted, allowed),
        "risk_coverage": _curve(answered, tested.serving.pooled.stability),
        "auroc": auroc(answered.scores, answered.anomalous),
        "warnings": [*promise.warnings, *_warnings(tested, counted)],
    }


def _allowed(counted: Tally, promise: Promise) -> FiniteHistory | None:
    """Return the bounds for a history of this length; None if there is no law, or there are zones
    of single keys: their bounds depend on how many events each key has."""
    terms = promise.terms
    if promise.exact is None or promise.mixture is not None:
        return None
    shares = terms.plausible or (terms.contamination,)
    return finite_history(promise.rejector.zone, shares, counted.events, terms.delta, terms.costs)


def _rates(counted: Tally, promise: Promise, allowed: FiniteHistory | None) -> dict[str, Any]:
    """Return the rates. `upper` bounds the long-run rate; `kept` is judged by the law of a history
    of that many events, which allows `history_upper`."""
    exact, events, delta = promise.exact, counted.events, promise.terms.delta
    kept = most = None
    if allowed is not None:
        kept = observed_inside(promise.rejector.zone, events, counted.abstain, delta)
        most = most_inside(promise.rejector.zone, events, delta) / events
    return {
        "abstention": {
            "observed": counted.abstain / events,
            "expected": promise.expected_rejection_rate,
            "upper": exact and exact.rejection_rate_upper,
            "history_upper": most,
            "kept": kept,
        },
        "false_positive": _rate(
            counted.false_positives,
            events,
            _upper(promise, Costs(1.0, 0.0, 0.0)),
            allowed.false_positives if allowed else None,
        ),
        "false_negative": _rate(
            counted.false_negatives,
            events,
            _upper(promise, Costs(0.0, 1.0, 0.0)),
            allowed.false_negatives if allowed else None,
        ),
        "delta": delta,
    }


def _rate(seen: int, events: int, upper: float | None, most: int | None) -> dict[str, Any]:
    return {
        "observed": seen / events,
        "upper": upper,
        "history_upper": None if most is None else most / events,
        "kept": None if most is None else seen <= most,
    }


def _upper(promise: Promise, costs: Costs) -> float | None:
    """Return the upper bound on the cost; with one cost alone, it bounds the rate of that one."""
    if promise.exact is None or promise.mixture is not None:
        return None
    return exact_terms(promise.rejector.zone, promise.terms, costs).cost_upper


def _cost(tested: Backtest, counted: Tally, allowed: FiniteHistory | None) -> dict[str, Any]:
    promise = tested.serving.promise
    costs, exact = promise.terms.costs, promise.exact
    without = tally_of(_forced(tested.answered, tested.serving.pooled.stability))
    total = counted.total_cost(costs)
    return {
        "observed": counted.cost(costs),
        "expected_bound": exact and exact.expected_cost_bound,
        "upper": exact and exact.cost_upper,
        "history_upper": allowed and allowed.cost / allowed.events,
        "kept": None if allowed is None else total <= allowed.cost,
        "without_abstaining": without.cost(costs),
    }


def _forced(answered: BacktestData, stability: Stability) -> Ints:
    """Events by the likelier verdict and the truth, (3, 2)."""
    likelier = forced(stability.log_p_anomaly, stability.log_p_normal)
    counts = np.zeros((3, 2), dtype=np.int64)
    for code in (NORMAL, ANOMALY):
        counts[code] = answered.ranks[:, likelier == code].sum(axis=1)
    return counts


def _curve(answered: BacktestData, stability: Stability) -> dict[str, Any]:
    says = forced(stability.log_p_anomaly, stability.log_p_normal) == ANOMALY
    # The less likely verdict's probability, in logs: the confidence, where that has no digits left.
    doubt = np.minimum(stability.log_p_anomaly, stability.log_p_normal)
    curve = risk_coverage(np.tile(doubt, 2), np.append(says, ~says), answered.ranks.ravel())
    error = float(curve.generalized_risk[-1])
    places = _spread(curve)
    return {
        "augrc": curve.augrc,
        "augrc_best": error**2 / 2,
        "augrc_blind": error / 2,
        "coverage": curve.coverage[places].tolist(),
        "selective_risk": curve.selective_risk[places].tolist(),
        "generalized_risk": curve.generalized_risk[places].tolist(),
    }


def _spread(curve: RiskCoverage) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the places of at most POINTS points of the curve, evenly over its coverage, and those
    of the table."""
    wanted = np.union1d(np.linspace(0.0, 1.0, POINTS), TABLE)
    return np.unique(np.searchsorted(curve.coverage, wanted, side="right") - 1)


def _warnings(tested: Backtest, counted: Tally) -> Iterator[str]:
    terms = tested.serving.promise.terms
    if tested.serving.promise.mixture is not None:
        yield (
            "keys have zones of their own (calibration.by_key), so no bound for a history of this "
            "length is stated; the risk by confidence and the cost without abstaining are by ranks "
            "among the scores of all keys"
        )
    least, _ = rate_interval(counted.events, counted.anomalies, terms.delta)
    if least > terms.contamination:
        yield (
            f"{counted.anomalies / counted.events:.3%} of the events are anomalies, and the "
            "bounds on cost and false verdicts assume at most detector.contamination = "
            f"{terms.contamination:g}; raise it"
        )
    share = tested.familiar / counted.events
    if share >= FAMILIAR:
        yield (
            f"{tested.familiar:,} of the events have rows that the model was trained on, so these "
            "figures may flatter it; test it on later history"
        )


def backtest_text(found: dict[str, Any]) -> str:
    """Return the figures as text for one screen."""
    model, history, verdicts = found["model"], found["history"], found["verdicts"]
    return "\n".join(
        [
            f"model     {model['version']}  {model['detector']}, n = {model['n']:,}, contamination "
            f"{model['contamination']:g}, T = {model['T']:.6g}",
            f"history   {history['events']:,} events judged, {history['anomalies']:,} of them "
            f"anomalies ({history['anomaly_rate']:.3%}){_left_out(history)}",
            f"verdicts  {verdicts['normal']:,} normal ({verdicts['false_negatives']:,} wrongly), "
            f"{verdicts['anomaly']:,} anomaly ({verdicts['false_positives']:,} wrongly), "
            f"{verdicts['abstain']:,} abstain ({verdicts['abstained_anomalies']:,} anomalies)",
            "",
            *_against_promise(found["rates"], found["cost"]),
            "",
            *_risks(found["risk_coverage"]),
            f"auroc     {_auroc(found['auroc'])}",
            *(f"WARNING   {warning}" for warning in found["warnings"]),
        ]
    )


def _auroc(area: float | None) -> str:
    if area is None:
        return "needs both anomalies and normal events"
    return f"{area:.4f} of the scores, whatever the threshold"


def _left_out(history: dict[str, Any]) -> str:
    dead = sum(history["dead_letters"].values())
    parts = [f"{history['warmup']:,} before them trained the model"] if history["warmup"] else []
    parts += [f"{dead:,} dead letters"] if dead else []
    return "".join(f"; {part}" for part in parts)


def _against_promise(rates: dict[str, Any], cost: dict[str, Any]) -> list[str]:
    rows = [
        ("abstention rate", rates["abstention"]),
        ("false positive rate", rates["false_positive"]),
        ("false negative rate", rates["false_negative"]),
        ("cost per event", cost),
    ]
    head = f"{'':26}{'observed':>12}{'at most':>12}{'long run':>12}"
    doubt, cost_doubt = rates["doubt"], rates["cost_doubt"]
    doubts = (doubt, cost_doubt, cost_doubt, cost_doubt)
    return [
        head if doubt else f"{head}  with probability {1 - rates['delta']:g}",
        *(
            f"{name:26}{row['observed']:12.6f}{_bound(row['history_upper'])}{_bound(row['upper'])}"
            f"  {_kept(row['kept'])}{f' ({why})' if why else ''}"
            for (name, row), why in zip(rows, doubts, strict=True)
        ),
        f"{'without abstaining':26}{cost['without_abstaining']:12.6f}",
    ]


def _bound(value: float | None) -> str:
    return f"{'-':>12}" if value is None else f"{value:12.6f}"


def _kept(kept: bool | None) -> str:
    if kept is None:
        return "no bound"
    return "kept" if kept else "NOT KEPT"


def _risks(curve: dict[str, Any]) -> list[str]:
    """Return the risks if only the surest events had a verdict."""
    coverage = np.array(curve["coverage"])
    places = [int(np.searchsorted(coverage, share, side="right")) - 1 for share in TABLE]
    chosen = [place for place in dict.fromkeys(places) if place > 0]
    cells = {
        "verdicts given": [f"{coverage[place]:.1%}" for place in chosen],
        "wrong among them": [f"{curve['selective_risk'][place]:.3%}" for place in chosen],
        "wrong among all": [f"{curve['generalized_risk'][place]:.3%}" for place in chosen],
    }
    return [
        *(f"{name:26}{''.join(f'{cell:>10}' for cell in row)}" for name, row in cells.items()),
        f"augrc     {curve['augrc']:.6f}; at best {curve['augrc_best']:.6f}, "
        f"{curve['augrc_blind']:.6f} if confidence were uninformative",
    ]
