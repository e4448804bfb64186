"""`detectd models`: manage the model store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from detectd import wiring
from detectd.commands.console import configuration
from detectd.errors import UsageError
from detectd.models.observations import VERDICTS
from detectd.telemetry import logs

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console
    from detectd.settings import Settings


def list_(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models list`."""
    store = wiring.store(configuration(arguments, console))
    active, held = store.active(), store.held()
    for version in store.versions():
        seen = store.observed(version)
        events = sum(n for verdict in VERDICTS if isinstance(n := seen.get(verdict), int))
        answered = f"  {events:,} events" if events else ""
        waits = "  HELD: activate or discard it" if version == held else ""
        console.say(
            f"{'*' if version == active else ' '} {store.describe(version)}{answered}{waits}"
        )


def show(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models show`."""
    settings = configuration(arguments, console)
    manifest = wiring.store(settings).manifest(arguments.version or _active(settings))
    console.say(json.dumps(manifest, indent=2))


def activate(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models activate`."""
    settings = configuration(arguments, console)
    wiring.store(settings).activate(arguments.version)
    console.say(f"active: {arguments.version}")
    to_other_hosts(settings, arguments.version, console)


def rollback(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models rollback`."""
    settings = configuration(arguments, console)
    version = wiring.store(settings).rollback()
    console.say(f"active: {version}")
    to_other_hosts(settings, version, console)


def discard(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models discard`."""
    waited = wiring.store(configuration(arguments, console)).discard()
    console.say("discarded: the rows collected for the next model")
    if waited:
        console.say(f"no longer held: {waited}, which is still stored")


def shadow(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models shadow`."""
    wiring.store(configuration(arguments, console)).nominate(arguments.version)
    console.say(f"candidate: {arguments.version or 'none'}")


def publish(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models publish`."""
    settings = configuration(arguments, console)
    version = arguments.version or _active(settings)
    if settings.kafka.models_topic is None:
        raise UsageError("kafka.models_topic is not set; name the topic for models")
    to_other_hosts(settings, version, console)


def prune(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd models prune`."""
    store = wiring.store(configuration(arguments, console))
    gone = store.prune(arguments.keep)
    for version in gone:
        console.say(f"removed: {version}")
    if not gone:
        there = f"{len(store.versions())} in {store.directory}"
        console.say(f"nothing to remove: {there}, --keep {arguments.keep}")


def to_other_hosts(settings: Settings, version: str, console: Console) -> None:
    """Publish a model if a topic for models is configured."""
    logs.configure(settings.log)
    topic = wiring.publish(settings, version)
    if topic:
        console.say(f"published: {version} on {topic}")


def _active(settings: Settings) -> str:
    version = wiring.store(settings).active()
    if version is None:
        raise UsageError(f"{settings.models.directory}: no model is active; name a version")
    return version
