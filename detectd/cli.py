"""The command line: parses, dispatches, prints and exits. Nothing else in the package does.

Slow libraries are imported by the command that needs them, so that `--help` and `check` are quick.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from detectd.arguments import PLAN_KEYS, default_config, parser
from detectd.errors import DetectdError, UsageError
from detectd.stderr import bear_loss

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from detectd.settings import Settings


# Where there is no configuration yet, any source and features will do.
ANY_STREAM: dict[str, Any] = {
    "source": {"kind": "stdin"},
    "sink": {"kind": "stdout"},
    "event": {"features": ["any"]},
}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    bear_loss()
    arguments = parser({name: does.__doc__ or "" for name, does in COMMANDS.items()}).parse_args(
        argv
    )
    if getattr(arguments, "config", "") is None:
        arguments.config = default_config()
    try:
        COMMANDS[arguments.name](arguments)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except DetectdError as error:
        _complain(error, arguments.debug, getattr(arguments, "config", None))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from flushing into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as unforeseen:  # noqa: BLE001 - the last resort: one line, and exit 1
        _complain(unforeseen, arguments.debug)
        return 1
    return 0


def _complain(error: Exception, debug: bool, config: Path | None = None) -> None:
    if debug:
        traceback.print_exception(error)
        return
    if isinstance(error, DetectdError):
        for line in str(error).splitlines():
            print(f"detectd: {_located(line, config)}", file=sys.stderr)
        return
    kind = type(error).__name__
    print(f"detectd: {kind}: {error} (--debug shows the traceback)", file=sys.stderr)


def _located(line: str, config: Path | None) -> str:
    """A line that begins with a key gets the name of the file in which it is set."""
    from detectd.settings import Settings

    section = line.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0]
    return f"{config}: {line}" if config and section in Settings.model_fields else line


def run(arguments: argparse.Namespace) -> None:
    """source -> verdicts -> sink, until SIGTERM or the end of a bounded source."""
    from detectd.signals import Stop

    stop = Stop()
    stop.listen()  # before the slow imports: a stop during them is a stop like any other
    settings = _settings(arguments)
    from detectd.report.summary import summary_text
    from detectd.secrets import exposed
    from detectd.service import Service
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    for why in exposed(settings, arguments.config):
        logs.warn("secret.exposed", why)
    with progress_bar("detectd run") as advance:
        summary = Service(settings, stop, advance if sys.stderr.isatty() else None).run()
    if settings.source.bounded:
        # Verdicts may be on stdout; then the summary must not be among them.
        print(
            summary_text(summary),
            file=sys.stderr if settings.sink.kind == "stdout" else sys.stdout,
        )


def check(arguments: argparse.Namespace) -> None:
    """Validate config, detector, features, source, sink and store."""
    settings = _settings(arguments)
    from detectd.checks import check as checked
    from detectd.secrets import exposed

    for line in checked(settings):
        print(line)
    for why in exposed(settings, arguments.config):
        print(f"WARNING   {why}")
    if arguments.connect:
        from detectd.connecting import connect_check
        from detectd.telemetry import logs

        logs.configure(settings.log)
        table = connect_check(settings)
        print(*table.lines(), sep="\n")
        failed = table.verdict()
        if failed:
            raise failed


def fit(arguments: argparse.Namespace) -> None:
    """Fit, calibrate, store and activate a model."""
    settings = _settings(arguments)
    from detectd.fitting import fit_file
    from detectd.report.figures import figures
    from detectd.report.text import text
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    with progress_bar("detectd fit") as advance:
        fitted = fit_file(arguments.input, settings, advance)
    for note in fitted.notes:
        print(f"detectd: {note}", file=sys.stderr)
    print(text(figures(fitted.serving, {})))
    _publish(settings, fitted.serving.model.version)


def report(arguments: argparse.Namespace) -> None:
    """The promise of the active model, paper and exact side by side, and what was observed."""
    settings = _settings(arguments)
    from detectd.report.active import active_figures
    from detectd.report.text import text
    from detectd.telemetry import logs

    logs.configure(settings.log)
    _give(active_figures(settings), text, arguments)


def plan(arguments: argparse.Namespace) -> None:
    """What could be promised, before there is any data."""
    from detectd import wiring
    from detectd.loading import read, settle
    from detectd.report.planning import SIZES, plan_figures, plan_text

    written = read(arguments.config) if arguments.config.exists() else ANY_STREAM
    asked: dict[str, dict[str, float]] = {}
    for section, key in PLAN_KEYS.values():
        value = getattr(arguments, f"{section}.{key}")
        if value is not None:
            asked.setdefault(section, {})[key] = value
    for section, keys in asked.items():
        # T and a budget imply each other: the one asked for here replaces the file's other.
        replaced = {"T", "max_abstain_rate"} if keys.keys() & {"T", "max_abstain_rate"} else set()
        kept = {k: v for k, v in written.get(section, {}).items() if k not in replaced}
        written = written | {section: kept | keys}
    found = plan_figures(wiring.terms(settle(written, "plan")), arguments.n or SIZES)
    _give(found, plan_text, arguments)


def models_list(arguments: argparse.Namespace) -> None:
    """One line a model, oldest first; the active one is starred."""
    from detectd import wiring

    store = wiring.store(_settings(arguments))
    active = store.active()
    for version in store.versions():
        print("*" if version == active else " ", store.describe(version))


def models_show(arguments: argparse.Namespace) -> None:
    """A model's manifest."""
    from detectd import wiring

    store = wiring.store(_settings(arguments))
    version = arguments.version or store.active()
    if version is None:
        raise UsageError(f"{store.directory}: no model is active; name a version")
    print(json.dumps(store.manifest(version), indent=2))


def models_activate(arguments: argparse.Namespace) -> None:
    """Let a version answer from now on."""
    from detectd import wiring

    settings = _settings(arguments)
    wiring.store(settings).activate(arguments.version)
    print(f"active: {arguments.version}")
    _publish(settings, arguments.version)


def models_rollback(arguments: argparse.Namespace) -> None:
    """Go back to the version that answered before."""
    from detectd import wiring

    settings = _settings(arguments)
    version = wiring.store(settings).rollback()
    print(f"active: {version}")
    _publish(settings, version)


def models_publish(arguments: argparse.Namespace) -> None:
    """Let every host that reads kafka.models_topic answer with a model."""
    from detectd import wiring

    settings = _settings(arguments)
    version = arguments.version or wiring.store(settings).active()
    if version is None:
        raise UsageError(f"{settings.models.directory}: no model is active; name a version")
    if settings.kafka.models_topic is None:
        raise UsageError("kafka.models_topic is not set; name the topic for models")
    _publish(settings, version)


def models_prune(arguments: argparse.Namespace) -> None:
    """Remove old versions."""
    from detectd import wiring

    gone = wiring.store(_settings(arguments)).prune(arguments.keep)
    for version in gone:
        print(f"removed: {version}")


def demo(arguments: argparse.Namespace) -> None:
    """A first look, with no config, no Kafka and no data of one's own."""
    from detectd.demo import run_demo
    from detectd.telemetry.progress import progress_bar

    run_demo(arguments.directory, arguments.events, progress_bar, print)


def _give(
    found: dict[str, Any], text: Callable[[dict[str, Any]], str], arguments: argparse.Namespace
) -> None:
    """Print figures, or write them where -o says."""
    rendered = json.dumps(found, indent=2) if arguments.format == "json" else text(found)
    if arguments.output is None:
        print(rendered)
        return
    try:
        arguments.output.write_text(rendered + "\n", encoding="utf-8")
    except OSError as refused:
        raise UsageError(f"-o {arguments.output}: {refused.strerror}") from None


def _publish(settings: Settings, version: str) -> None:
    from detectd import wiring
    from detectd.telemetry import logs

    logs.configure(settings.log)
    topic = wiring.publish(settings, version)
    if topic:
        print(f"published: {version} on {topic}")


def _settings(arguments: argparse.Namespace) -> Settings:
    from detectd.loading import load

    return load(arguments.config)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "run": run,
    "check": check,
    "fit": fit,
    "report": report,
    "plan": plan,
    "models list": models_list,
    "models show": models_show,
    "models activate": models_activate,
    "models rollback": models_rollback,
    "models publish": models_publish,
    "models prune": models_prune,
    "demo": demo,
}
