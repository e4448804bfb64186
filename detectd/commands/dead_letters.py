"""`detectd dead-letters`: what could not be answered, and answering it after a mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration, give

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def list_(arguments: argparse.Namespace, console: Console) -> None:
    """Dead letters by stage and error, without those that have been replayed."""
    from detectd import wiring
    from detectd.pipeline import dead_letters

    settings = configuration(arguments, console)
    from detectd.commands.dead_letters_text import list_figures, list_text
    from detectd.telemetry import logs

    logs.configure(settings.log)
    batches = wiring.outputs(settings).dead_letters(replayed=arguments.all)
    letters = (dead_letters.read(found) for batch in batches for found in batch.records)
    give(list_figures(dead_letters.grouped(letters)), list_text, arguments, console)


def replay(arguments: argparse.Namespace, console: Console) -> None:
    """Answer each dead letter once more, with the configuration and the model of now."""
    from detectd.signals import Stop

    stop = Stop()
    stop.listen()
    settings = configuration(arguments, console)
    from detectd.commands import replaying
    from detectd.commands.dead_letters_text import replay_figures, replay_text
    from detectd.telemetry import logs

    logs.configure(settings.log)
    done = replaying.replay(settings, stop, rehearse=arguments.dry_run)
    told = replay_figures(done, rehearsed=arguments.dry_run)
    give(told, replay_text, arguments, console)
