"""`detectd check`: find all configuration errors before the service starts."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from stat import S_ISVTX, S_IWOTH
from typing import TYPE_CHECKING

from detectd import derive, wiring
from detectd.commands.check_by_key import what_a_key_needs
from detectd.commands.check_features import what_features_are
from detectd.commands.check_model import what_answers
from detectd.commands.check_training import what_is_learnt
from detectd.errors import ConfigError, DetectdError
from detectd.filesystem.os_errors import explained
from detectd.filesystem.private_directories import require_private
from detectd.filesystem.safe_walk import Walk
from detectd.nearest import exists, missing
from detectd.pipeline import memory_budget
from detectd.pipeline.decode import decode
from detectd.pipeline.field_watch import FIRST_RECORDS, FieldWatch
from detectd.settings.loader import examine
from detectd.settings.secrets import exposed, in_the_clear
from detectd.settings.stock import unedited
from detectd.telemetry import listen_address, logs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from detectd.commands.console import Console
    from detectd.settings import Settings


def check(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd check`."""
    settings, warnings = examine(arguments.config)
    console.say(f"config    {arguments.config}")
    for warning in warnings:
        console.say(f"WARNING   {warning}")
    for line in _without_brokers(settings):
        console.say(line)
    for why in (*exposed(settings), *in_the_clear(settings)):
        console.say(f"WARNING   {why}")
    if arguments.connect:
        from detectd.commands.check_kafka import connect_check

        logs.configure(settings.log)
        table = connect_check(settings)
        console.say("\n".join(table.lines()))
        failed = table.verdict()
        if failed:
            raise failed


def _without_brokers(settings: Settings) -> list[str]:
    """Return the checks that passed, one line each.

    Raise ConfigError with one line for each failed check.
    """
    good: list[str] = []
    bad: list[str] = []
    looks = (
        _detector,
        what_features_are,
        _source,
        _sink,
        _server,
        _memory,
        _model,
        what_a_key_needs,
        _learning,
        _cache,
    )
    for look in looks:
        try:
            good += look(settings)
        except DetectdError as mistake:
            bad.append(str(mistake))
    if bad:
        raise ConfigError("\n".join(dict.fromkeys(bad)))  # Two looks may meet the same mistake.
    return good


def _detector(settings: Settings) -> Iterator[str]:
    detector = settings.detector
    derive.require_detector(settings)
    yield f"detector  {detector.name}, contamination {detector.contamination}"


def _source(settings: Settings) -> Iterator[str]:
    source = settings.source
    yield f"source    {source.kind} {source.path or ' '.join(source.topics)}".rstrip()
    if source.kind != "file":
        return
    assert source.path is not None
    yield from _writers(source.path)
    if source.follow and not exists(source.path):
        if stock := unedited(settings):
            yield f"WARNING   {stock}"
        yield f"WARNING   source.path: {missing(source.path, '`run` waits until it does')}"
    elif not source.follow or source.path.is_file():
        yield from _try_first_records(settings)


def _writers(path: Path) -> Iterator[str]:
    """Warn if any user could replace the source file."""
    try:
        with Walk(path, missing_ok=True) as walk:
            places = [*walk.directories, *([] if walk.missing else [(walk.place, walk.status)])]
    except OSError:
        return
    # In a sticky directory such as /tmp, other users cannot replace it.
    open_to_all = (p for p, each in places if each.st_mode & (S_IWOTH | S_ISVTX) == S_IWOTH)
    for place in open_to_all:
        yield (
            f"WARNING   source.path: any user on this host can write to {place}, and so feed the "
            "service events; move the file"
        )


def _cache(settings: Settings) -> Iterator[str]:
    """Warn if compiled code cannot be cached, without importing the compiler."""
    directory = os.environ.get("NUMBA_CACHE_DIR")
    if "detectd.jit" in sys.modules:
        from detectd import jit

        yield from (f"WARNING   {why}" for why in jit.refused)
    elif directory:
        try:
            check_owners = settings.paths.check_owners
            require_private("NUMBA_CACHE_DIR", Path(directory), check_owners=check_owners)
        except (ConfigError, OSError) as why:
            yield f"WARNING   kernels are compiled at every start: {why}"


def _try_first_records(settings: Settings) -> Iterator[str]:
    """Open the file as `run` would, and check whether its first records give rows, keys and times.

    Raise ConfigError if none of them gives a row, unless the file is followed and may change.
    """
    source = wiring.source(settings, None)
    try:
        source.start(None)
        batch = source.read(FIRST_RECORDS, 0)
    finally:
        source.close()
    schema = derive.schema(settings)
    decoded = decode(batch.records, schema)
    if decoded.dead and not decoded.sound:
        wrong = (
            f"event: the first {len(batch.records)} records of {settings.source.path} are all dead "
            f"letters; the first error: {decoded.dead[0].error}; correct [event] or the file"
        )
        if not settings.source.follow:
            raise ConfigError(wrong)
        yield f"WARNING   {wrong}"
    watch = FieldWatch(schema)
    watch.look(batch.records, last=True)
    yield from (f"WARNING   {warning}" for warning in watch.warnings)


def _memory(settings: Settings) -> Iterator[str]:
    source = settings.source
    in_flight = settings.kafka.fetch_bytes if source.kind == "kafka" else 0
    most = memory_budget.budget(source.batch_bytes, source.max_record_bytes, in_flight)
    if settings.training.refit != "never":
        rows = settings.training.window + settings.training.quarantine
        keyed = settings.calibration.by_key
        most += rows * memory_budget.row_bytes(len(settings.event.columns), keyed=keyed)
    each = 0
    if derive.keeps_keys(settings):
        row_bytes = derive.key_row_bytes(settings)
        # A commit to Kafka has the changed rows as records, and those as messages.
        copies = 3 if derive.keys_topic(settings) is not None else 1
        most += memory_budget.key_copies(source.batch_records, row_bytes, copies)
        each = memory_budget.keys(settings.keys.max, row_bytes)
    whole = most + each
    if source.kind == "kafka" and each:
        more = f"; and {each >> 20:,} MiB for the keys of each partition that it reads"
    else:
        most, more = whole, ""
    yield f"memory    at most {most >> 20:,} MiB in addition to libraries and model{more}"
    if whole > _physical_memory():
        fix = (
            "a smaller keys.max, or fewer or smaller features"
            if 2 * each > whole
            else "a smaller source.batch_records, source.batch_bytes or training.window"
        )
        yield (
            f"WARNING   memory: {whole >> 20:,} MiB are more than the {_physical_memory() >> 20:,} "
            f"MiB of this host; set {fix}"
        )


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _sink(settings: Settings) -> Iterator[str]:
    directory = settings.sink.directory
    if settings.sink.kind == "file" and directory is not None:
        _require_writable("sink.directory", directory, check_owners=settings.paths.check_owners)
    yield f"sink      {settings.sink.kind} {directory or ''}".rstrip()
    yield f"delivery  {derive.delivery(settings)}"


def _server(settings: Settings) -> Iterator[str]:
    listen_address.parse(settings.server.listen, wiring.server_token(settings))
    yield f"server    {settings.server.listen or 'none'}"


def _model(settings: Settings) -> Iterator[str]:
    check_owners = settings.paths.check_owners
    _require_writable("models.directory", settings.models.directory, check_owners=check_owners)
    yield from what_answers(settings)


def _learning(settings: Settings) -> Iterator[str]:
    try:
        fewest = derive.refit_rows(settings)
    except DetectdError:
        return  # `_model` reports it
    for sentence in what_is_learnt(settings.training, fewest):
        yield f"learning  {sentence}"


def _require_writable(key: str, directory: Path, *, check_owners: bool) -> None:
    """Raise ConfigError unless the directory, or its nearest existing parent, is writable."""
    try:
        require_private(key, directory, check_owners=check_owners)
    except OSError as refused:
        raise explained(refused, f"{key}: {directory} cannot be used") from None
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ConfigError(f"{key}: {nearest} is not a directory; name one")
    try:
        # Only the kernel's answer is right for root and for read-only mounts.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as refused:
        raise explained(
            refused, f"{key}: {nearest} cannot be written", "chown it or name another"
        ) from None
