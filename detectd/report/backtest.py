"""What a backtest found, held against the promise: as plain data, and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.evaluation import auroc, forced, risk_coverage, tally
from detectd.promise import exact_terms
from detectd.rejection import ANOMALY, Costs
from detectd.rejection.sequence import rate_interval
from detectd.report.figures import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.backtesting import Answered, Backtest
    from detectd.evaluation import RiskCoverage, Tally
    from detectd.promise import Promise

# A curve has as many steps as there are ranks; so many points draw it.
POINTS = 200
TABLE = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)

# From this share on, rows that trained the model are no coincidence.
FAMILIAR = 0.01


def backtest_figures(tested: Backtest) -> dict[str, Any]:
    """All of it; rates are shares of all judged events."""
    promise, answered = tested.serving.promise, tested.answered
    counted = tally(answered.verdicts, answered.anomalous)
    verdicts = {"normal": counted.normal, "anomaly": counted.anomaly, "abstain": counted.abstain}
    report = figures(tested.serving, verdicts)
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
        "rates": _rates(counted, promise, inside=report["observed"]["inside_promise"]),
        "cost": _cost(counted, answered, promise),
        "risk_coverage": _curve(answered),
        "auroc": auroc(answered.scores, answered.anomalous),
        "warnings": [*promise.warnings, *_warnings(tested, counted)],
    }


def _rates(counted: Tally, promise: Promise, *, inside: bool | None) -> dict[str, Any]:
    exact = promise.exact
    false_positives = counted.false_positives / counted.events
    false_negatives = counted.false_negatives / counted.events
    most_positives = _upper(promise, Costs(1.0, 0.0, 0.0))
    most_negatives = _upper(promise, Costs(0.0, 1.0, 0.0))
    return {
        "abstention": {
            "observed": counted.abstain / counted.events,
            "expected": exact.expected_rejection_rate,
            "upper": exact.rejection_rate_upper,
            "kept": inside,
        },
        "false_positive": {
            "observed": false_positives,
            "upper": most_positives,
            "kept": false_positives <= most_positives,
        },
        "false_negative": {
            "observed": false_negatives,
            "upper": most_negatives,
            "kept": false_negatives <= most_negatives,
        },
        "delta": exact.delta,
    }


def _upper(promise: Promise, costs: Costs) -> float:
    """The bound of a rate is that of the cost where only it costs something."""
    zone, terms = promise.rejector.zone, promise.terms
    return exact_terms(zone, terms, costs).cost_upper


def _cost(counted: Tally, answered: Answered, promise: Promise) -> dict[str, Any]:
    costs, exact = promise.terms.costs, promise.exact
    without = tally(forced(answered.log_p_anomaly, answered.log_p_normal), answered.anomalous)
    observed = counted.cost(costs)
    return {
        "observed": observed,
        "expected_bound": exact.expected_cost_bound,
        "upper": exact.cost_upper,
        "kept": observed <= exact.cost_upper,
        "without_abstaining": without.cost(costs),
    }


def _curve(answered: Answered) -> dict[str, Any]:
    wrong = (forced(answered.log_p_anomaly, answered.log_p_normal) == ANOMALY) != answered.anomalous
    # The less likely verdict's probability, in logs: the confidence, where that has no digits left.
    curve = risk_coverage(np.minimum(answered.log_p_anomaly, answered.log_p_normal), wrong)
    error = float(wrong.mean())
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
    """The places of at most POINTS points of the curve, evenly over its coverage, and those of the
    table."""
    wanted = np.union1d(np.linspace(0.0, 1.0, POINTS), TABLE)
    return np.unique(np.searchsorted(curve.coverage, wanted, side="right") - 1)


def _warnings(tested: Backtest, counted: Tally) -> Iterator[str]:
    terms = tested.serving.promise.terms
    least, _ = rate_interval(counted.events, counted.anomalies, terms.delta)
    if least > terms.contamination:
        yield (
            f"{counted.anomalies / counted.events:.3%} of the events are anomalies, and the bounds "
            f"of cost and false verdicts assume at most detector.contamination = "
            f"{terms.contamination:g}; raise it"
        )
    share = tested.familiar / counted.events
    if share >= FAMILIAR:
        yield (
            f"{tested.familiar:,} of the events have rows that the model was trained on: it knows "
            "them, so these figures may flatter it; keep later history for the test"
        )


def backtest_text(found: dict[str, Any]) -> str:
    """The figures in a screenful."""
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
    return [
        f"{'':26}{'observed':>12}{'at most':>12}  with probability {1 - rates['delta']:g}",
        *(
            f"{name:26}{row['observed']:12.6f}{row['upper']:12.6f}  "
            f"{'kept' if row['kept'] else 'NOT KEPT'}"
            for name, row in rows
        ),
        f"{'without abstaining':26}{cost['without_abstaining']:12.6f}",
    ]


def _risks(curve: dict[str, Any]) -> list[str]:
    """What would go wrong, if only the surest events had a verdict."""
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
        f"{curve['augrc_blind']:.6f} where confidence tells nothing",
    ]
