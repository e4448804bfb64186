"""A log that is written and rotated, and a reader that is stopped and started, step by step."""

import gzip
import json
import os
import shutil
import time

from detectd.sources.file import FileSource

WAIT = 100.0


class Log:
    """A writer and whoever rotates its file. `files` are the lines of each, in order."""

    keep_open = True  # the writer goes on in the renamed file until it is told

    def __init__(self, directory, lots):
        self.directory, self.lots = directory, lots
        self.path = directory / "events.jsonl"
        self.globs: tuple[str, ...] = ()
        self.count = self.rotations = 0
        self.half = b""
        self.late = False
        self.files = [[]]
        self.begin()

    def begin(self):
        self.path.touch()
        self.writer = self.path.open("ab", buffering=0)

    def close(self):
        self.writer.close()

    def write(self):
        """Some lines, the last of them perhaps in part."""
        for _ in range(self.lots.randrange(1, 6)):
            pad = self.lots.randbytes(self.lots.choice((0, 20, 1500))).hex()
            line = json.dumps({"n": self.count, "pad": pad})
            self.count += 1
            self.files[-1].append(line.encode())
            rest = self.half + line.encode() + b"\n"
            self.half = b""
            at = len(rest) if self.lots.random() < 0.7 else self.lots.randrange(1, len(rest))
            self.writer.write(rest[:at])
            if at < len(rest):
                self.half = rest[at:]
                return

    def finish_line(self):
        if self.half:
            self.writer.write(self.half)
            self.half = b""

    def reopen(self):
        """The writer learns of the rotation."""
        if self.late:
            self.finish_line()
            self.writer.close()
            self.late = False
            self.files.append([])
            self.open_new()

    def open_new(self):
        self.writer = self.path.open("ab", buffering=0)

    def rotate(self):
        """Only a writer that has reopened its log has it rotated again."""
        self.reopen()
        self.rotations += 1
        self.move()  # type: ignore[attr-defined]  # of the classes below
        self.late = True
        if not self.keep_open or self.lots.random() < 0.5:
            self.reopen()

    def tidy(self):
        """Compress some of what was rotated and is no longer written."""
        self.reopen()
        for place in self.rotated():
            if place.suffix != ".gz" and self.lots.random() < 0.5:
                compress(place)

    def rotated(self):
        return [
            place for place in self.directory.rglob("*") if place.is_file() and place != self.path
        ]


def compress(place):
    """Compress a file as logrotate does, keeping its times."""
    packed = place.with_name(place.name + ".gz")
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(place.read_bytes())
    status = place.stat()
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    place.unlink()


class Numbered(Log):
    """Rename to .1 and count the older files up."""

    def shift(self):
        for n in range(self.rotations, 0, -1):
            for suffix in ("", ".gz"):
                place = self.name(n, suffix)
                if place.exists():
                    place.rename(self.name(n + 1, suffix))

    def name(self, n, suffix=""):
        return self.path.with_name(f"{self.path.name}.{n}{suffix}")

    def move(self):
        self.shift()
        self.path.rename(self.name(1))
        self.path.touch()


class OldDirectory(Numbered):
    """Rename into another directory."""

    def __init__(self, directory, lots):
        (directory / "old").mkdir()
        super().__init__(directory, lots)
        self.globs = (str(directory / "old" / "*"),)

    def name(self, n, suffix=""):
        return self.directory / "old" / f"{self.path.name}.{n}{suffix}"


class Dated(Log):
    """Rename to a name with the date behind it."""

    def move(self):
        self.path.rename(self.path.with_name(f"{self.path.name}-{20261100 + self.rotations}"))
        self.path.touch()


class DatedBeforeTheExtension(Log):
    """Rename to a name with the date before its extension."""

    def move(self):
        self.path.rename(self.path.with_name(f"events-{20261100 + self.rotations}.jsonl"))
        self.path.touch()


class Copied(Numbered):
    """copytruncate: the writer goes on in the same inode."""

    keep_open = False

    def move(self):
        self.finish_line()
        self.shift()
        shutil.copyfile(self.path, self.name(1))
        os.truncate(self.path, 0)


class Linked(Log):
    """The path is a link to the newest of several files."""

    def begin(self):
        self.point()
        self.open_new()

    def point(self):
        target = self.directory / f"day-{self.rotations}.jsonl"
        target.touch()
        link = self.directory / "link"
        link.symlink_to(target.name)
        link.rename(self.path)

    def move(self):
        self.point()

    def rotated(self):
        now = self.path.resolve()
        return [place for place in super().rotated() if place != now]


SCHEMES = [Numbered, OldDirectory, Dated, DatedBeforeTheExtension, Copied, Linked]


class Reading:
    """A reader that commits, stops, crashes, and is started again; `now` is its clock."""

    def __init__(self, log, lots):
        self.log, self.lots = log, lots
        self.now = 0.0
        self.position = None
        self.committed, self.held = [], []
        self.losses = 0
        self.source = self.open()

    def open(self):
        source = FileSource(
            self.log.path,
            row_format="json",
            follow=True,
            max_record_bytes=100_000,
            rotated=self.log.globs,
            rotate_wait_seconds=WAIT,
            clock=lambda: self.now,
            wall=lambda: time.time() + self.now,
        )
        source.start(self.position and json.loads(json.dumps(self.position)))
        if self.position is None:
            self.position = source.origin()
        return source

    def read(self):
        batch = self.source.read(self.lots.choice((1, 3, 1000)), 0)
        self.held += [record.value for record in batch.records]
        if self.lots.random() < 0.7:
            self.committed += self.held
            self.held = []
            self.position = batch.position
            self.source.acknowledge(batch.position)
        elif not self.committed:
            self.position = self.source.origin()
        return batch.records

    def rewind(self):
        self.held = []
        self.source.rewind()

    def close(self):
        self.losses += self.source.take_losses().times
        self.source.close()
        self.held = []

    def drain(self):
        """Let time pass, and read what there is."""
        quiet = 0
        while quiet < 20:
            self.now += WAIT
            quiet = 0 if self.read() else quiet + 1
