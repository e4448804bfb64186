"""`detectd plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd import derive
from detectd.commands.arguments import PLAN_KEYS
from detectd.commands.console import give
from detectd.config_path import DEFAULT_CONFIG
from detectd.nearest import exists, missing
from detectd.settings.loader import read, settle

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console

# Without a configuration, any source and features will do.
ANY_STREAM: dict[str, Any] = {
    "source": {"kind": "stdin"},
    "sink": {"kind": "stdout"},
    "event": {"features": ["any"]},
}


def plan(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd plan`."""
    named = exists(arguments.config)
    written = read(arguments.config) if named else ANY_STREAM
    asked: dict[str, dict[str, float]] = {}
    for section, key in PLAN_KEYS.values():
        value = getattr(arguments, f"{section}.{key}")
        if value is not None:
            asked.setdefault(section, {})[key] = value
    for section, keys in asked.items():
        # T and a budget imply each other: the one given here replaces the other from the file.
        replaced = {"T", "max_abstain_rate"} if keys.keys() & {"T", "max_abstain_rate"} else set()
        kept = {k: v for k, v in written.get(section, {}).items() if k not in replaced}
        written = written | {section: kept | keys}
    from detectd.report.plan import SIZES, plan_figures, plan_text

    terms = derive.terms(settle(written, "plan"))
    found = plan_figures(terms, arguments.n or SIZES, arguments.events_per_day)
    give(found, plan_text, arguments, console)
    if not named and arguments.config != DEFAULT_CONFIG:
        why = missing(arguments.config, "name another with --config FILE")
        console.note(f"detectd: WARNING: {why}; this plan is made without it")
