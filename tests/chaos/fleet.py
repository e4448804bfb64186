"""The processes of `detectd run`, all with one config file, and a supervisor as systemd is one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.command import start

if TYPE_CHECKING:
    from pathlib import Path

RESTART_SECONDS = 1.0
LEAVE_SECONDS = 90.0
TICK = 0.1

# What systemd would not restart: the configuration is good here, and the input has no end.
WRONG_EXITS = {0, 77, 78}

# SIGABRT then tells where each thread is.
DIAGNOSIS = {"PYTHONFAULTHANDLER": "1"}


@dataclass
class Member:
    """A process and its successors after restarts. Times are of the monotonic clock."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    thaw_at: float | None = None
    back_at: float | None = None
    leave_by: float | None = None
    killed: bool = False


class Fleet:
    """Processes over one config.

    `problems` lists what no process should ever do, `last_words` the ends that nobody asked for.
    """

    def __init__(self, config: Path, logs: Path) -> None:
        self.members: list[Member] = []
        self.problems: list[str] = []
        self.exits: Counter[int] = Counter()
        self.restarts = 0
        self.last_words: Counter[str] = Counter()
        self._config = config
        self._logs = logs
        self._started = 0
        logs.mkdir(parents=True, exist_ok=True)

    def free(self) -> list[Member]:
        """The processes that run undisturbed."""
        return [
            m
            for m in self.members
            if m.thaw_at is None and m.leave_by is None and m.process.poll() is None
        ]

    def add(self) -> Member:
        self._started += 1
        name = f"process-{self._started}"
        log = self._logs / f"{name}.log"
        member = Member(name, log, self._spawn(log))
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        member.killed = True
        member.process.kill()

    def freeze(self, member: Member, seconds: float) -> None:
        member.process.send_signal(signal.SIGSTOP)
        member.thaw_at = time.monotonic() + seconds

    def remove(self, member: Member) -> None:
        member.process.send_signal(signal.SIGTERM)
        member.leave_by = time.monotonic() + LEAVE_SECONDS

    def tend(self) -> None:
        """Thaw those whose time has come, restart the dead, and see the leaving off."""
        now = time.monotonic()
        for member in list(self.members):
            if member.back_at is not None:
                self._bring_back(member, now)
            elif (code := member.process.poll()) is not None:
                self._bury(member, code, now)
            elif member.thaw_at is not None and now >= member.thaw_at:
                member.process.send_signal(signal.SIGCONT)
                member.thaw_at = None
            elif member.leave_by is not None and now > member.leave_by:
                self.problems.append(f"{member.name} did not end within {LEAVE_SECONDS:g} s")
                self.abort(member)

    def calm(self) -> None:
        """No process is frozen or dead any more."""
        self.tend()
        while any(m.thaw_at is not None or m.back_at is not None for m in self.members):
            time.sleep(TICK)
            self.tend()

    def stop(self) -> None:
        """SIGTERM to all; each must end with exit code 0."""
        before = self.exits.copy()
        for member in self.free():
            self.remove(member)
        while self.members:
            self.tend()
            time.sleep(TICK)
        wrong = self.exits - before
        wrong.pop(0, None)
        self.problems += [f"{n} processes ended with exit code {c}" for c, n in wrong.items()]

    def abort(self, member: Member) -> None:
        """End a process that hangs; its log then says where."""
        member.process.send_signal(signal.SIGCONT)
        member.process.send_signal(signal.SIGABRT)
        member.process.wait(10)

    def close(self) -> None:
        for member in self.members:
            member.process.kill()
            member.process.wait(10)

    def _bury(self, member: Member, code: int, now: float) -> None:
        if member.leave_by is not None:
            self.members.remove(member)
            self.exits[code] += 1
            if code:
                self.last_words[f"removed, exit {code}: {_last_line(member.log)}"] += 1
            return
        if not member.killed:
            self.restarts += 1
            self.last_words[f"exit {code}: {_last_line(member.log)}"] += 1
            if code in WRONG_EXITS:
                self.problems.append(f"{member.name} ended with exit code {code}")
        member.killed = False
        member.thaw_at = None
        member.back_at = now + RESTART_SECONDS

    def _bring_back(self, member: Member, now: float) -> None:
        assert member.back_at is not None
        if now >= member.back_at:
            member.process = self._spawn(member.log)
            member.back_at = None

    def _spawn(self, log: Path) -> subprocess.Popen[bytes]:
        level = {k: v for k, v in os.environ.items() if k.startswith("DETECTD_LOG__")}
        with log.open("ab") as out:
            return start(
                *("run", "--config", self._config),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=DIAGNOSIS | level,
            )


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""
