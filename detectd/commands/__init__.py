"""What each command does, one module a noun. A command prints nothing: it tells the `Console`.

Slow libraries are imported by the command that needs them, so that `--help` and `check` are quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands import (
    anomalies,
    backtest,
    check,
    dead_letters,
    demo,
    fit,
    init,
    models,
    plan,
    report,
    run,
    status,
    tap,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from detectd.commands.console import Console

COMMANDS: Mapping[str, Callable[[argparse.Namespace, Console], None]] = {
    "init": init.init,
    "run": run.run,
    "check": check.check,
    "fit": fit.fit,
    "status": status.status,
    "anomalies": anomalies.anomalies,
    "tap": tap.tap,
    "dead-letters list": dead_letters.list_,
    "dead-letters replay": dead_letters.replay,
    "report": report.report,
    "plan": plan.plan,
    "backtest": backtest.backtest,
    "models list": models.list_,
    "models show": models.show,
    "models activate": models.activate,
    "models rollback": models.rollback,
    "models discard": models.discard,
    "models shadow": models.shadow,
    "models publish": models.publish,
    "models prune": models.prune,
    "demo": demo.demo,
}
