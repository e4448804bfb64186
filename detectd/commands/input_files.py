"""Read the inputs of `--input`, from the first record to the last."""

from __future__ import annotations

import glob
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from detectd import derive
from detectd.errors import ConfigError, UsageError
from detectd.features import remembers
from detectd.nearest import exists
from detectd.sources.file import FileSource
from detectd.sources.stdin import StdinSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectd.pipeline.records import Record
    from detectd.settings import Settings
    from detectd.sources import Batch


CHUNK = 10_000

# The name of standard input, and the seconds that one read waits for it.
STDIN = "-"
PATIENCE_SECONDS = 0.5


class InputFile:
    """A file of JSON lines or CSV, as its name or the configuration says. Close it.

    Raises UsageError if it cannot be read.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._source = FileSource(
            path,
            row_format=settings.source.row_format(path),
            follow=False,
            max_record_bytes=settings.source.max_record_bytes,
            csv=derive.csv_format(settings),
            follow_symlinks=settings.source.follow_symlinks,
        )
        with _told_of_the_argument():
            self._source.start(None)

    def read(self, limit: int = CHUNK) -> Batch:
        """Return the next records, at most `limit`."""
        with _told_of_the_argument():
            return self._source.read(limit, 0)

    def progress(self) -> float:
        """Return the share that has been read, in [0, 1]."""
        return self._source.progress() or 0.0

    def close(self) -> None:
        """Release the file."""
        self._source.close()


class InputPipe:
    """Standard input, until its writer closes it. Its format is that of the configuration."""

    def __init__(self, settings: Settings) -> None:
        source = settings.source
        try:
            self._source = StdinSource(
                row_format=source.row_format(None),
                max_record_bytes=source.max_record_bytes,
                csv=derive.csv_format(settings),
            )
        except ConfigError:
            raise UsageError("--input -: stdin is closed; pipe records into the command") from None
        self._source.start(None)

    def read(self, limit: int = CHUNK) -> Batch:
        """Return the next records, at most `limit`; none if none arrived in time."""
        with _told_of_the_argument():
            return self._source.read(limit, PATIENCE_SECONDS)

    def progress(self) -> float:
        """Return None: the length of a pipe is unknown."""
        return 0.0

    def close(self) -> None:
        """Leave the pipe to the process that opened it."""
        self._source.close()


class Inputs:
    """Files and standard input, one after the other, as one stream.

    `names` are paths, patterns like `logs/*.jsonl.gz`, or `-`. A file that is named twice is read
    once. Raise UsageError if a name does not exist or cannot be read: all are checked before the
    first is read.
    """

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        self._settings = settings
        self.places = [*dict.fromkeys(place for name in names for place in _expanded(name))]
        for place in self.places:
            if isinstance(place, Path):
                InputFile(place, settings).close()

    def __str__(self) -> str:
        """Return the names for a message."""
        first = f"--input {self.places[0]}"
        return first if len(self.places) == 1 else f"{first} and {len(self.places) - 1} more"

    def chunks(self) -> Iterator[tuple[str, list[Record], float]]:
        """Yield the name of an input, its next records, and the share of all inputs that is
        read."""
        for done, place in enumerate(self.places):
            with closing(self._open(place)) as opened:
                ended = False
                while not ended:
                    batch = opened.read()
                    share = (done + opened.progress()) / len(self.places)
                    yield str(place), batch.records, share
                    ended = batch.ended

    def _open(self, place: Path | str) -> InputFile | InputPipe:
        settings = self._settings
        return InputFile(place, settings) if isinstance(place, Path) else InputPipe(settings)


def keys_lost(settings: Settings) -> str | None:
    """Return a warning if a file cannot give the keys that events have on Kafka, and they count."""
    counts = remembers(settings.event.declared) or settings.training.max_per_key is not None
    if not counts or settings.event.key is not None or settings.source.kind != "kafka":
        return None
    return (
        "event.key is not set: on Kafka the key of an event is that of its record, but a file "
        "holds none, so all events of --input are one key; set event.key to the field that holds it"
    )


def _expanded(name: str) -> list[Path | str]:
    """Return the files that a name matches, those of a pattern sorted by name."""
    if name == STDIN:
        return [STDIN]
    path = Path(name).absolute()
    if exists(path) or not glob.has_magic(name):
        return [path]
    # Path.glob does not accept absolute patterns.
    found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
    if not found:
        raise UsageError(f"--input {path}: no file matches this pattern")
    return [Path(each) for each in found if not Path(each).is_dir()]


@contextmanager
def _told_of_the_argument() -> Iterator[None]:
    try:
        yield
    except ConfigError as refused:
        raise UsageError(str(refused).replace("source.path:", "--input", 1)) from None
