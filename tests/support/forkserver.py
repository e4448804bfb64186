"""Starts `python -m detectd` in a process that has imported everything already.

Imports take nine tenths of the time of a start, and the tests start the command hundreds of times.
So one process of each test worker imports the libraries and every module of detectd, runs none of
it, and forks for each start. Machine code that some process has compiled and left on disk is loaded
before the next fork, which saves a quarter of what is left. What comes of it is a process like any
other, with its own arguments, environment, directory, descriptors, signals and exit code, and a
child of whoever asked for it.

With another `subprocess` than is known here, without Linux, or with variables that are read during
imports, each start is an ordinary one. Tests of what a start imports start Python themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
from pathlib import Path

LIBRARIES = (
    "pyod.models.knn",
    "pyod.models.iforest",
    "pyod.models.hbos",
    "scipy.stats",
    "numba",
    "kafka",
    "msgspec",
    "pydantic_settings",
    "prometheus_client",
    "structlog",
    "tomllib",
    "tqdm",
    "xml.etree.ElementTree",
)
COMMAND = [sys.executable, "-m", "detectd"]
SERVER = [sys.executable, __file__]
# Where `_execute_child` takes the ends of the pipes, after `self` and seven arguments by name.
PIPES = ["p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"]
PIPES_AT = slice(3, 9)
PR_SET_CHILD_SUBREAPER = 36
READY = b"\x01"
# What is read while Python starts or modules are imported, and so too late for a forked process.
READ_ON_IMPORT = ("PYTHON", "NUMBA_", "LD_", "DETECTD_PATHS__CHECK_OWNERS")
READ_LATER = {"PYTHONFAULTHANDLER", "PYTHONUNBUFFERED"}


class Popen(subprocess.Popen):
    """Forks where `COMMAND` is asked for; all that is public is inherited."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        own = dict(os.environ if env is None else env)
        forkable = args[: len(COMMAND)] == COMMAND and not (executable or preexec_fn or pass_fds)
        forkable = forkable and _on_import(own) == _on_import(os.environ)
        server = _server() if forkable else None
        if server is None:
            super()._execute_child(
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        pipes = rest[PIPES_AT]
        inner = (pipes[0], pipes[3], pipes[5])
        given = [end if end != -1 else number for number, end in enumerate(inner)]
        words = {
            "arguments": args[len(COMMAND) :],
            "directory": str(Path(cwd or ".").resolve()),
            "environment": own,
        }
        self.pid = server.fork(words, given)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class Kernels:
    """The machine code of all compiled functions of detectd, loaded as it comes to be on disk."""

    def __init__(self):
        dispatcher = importlib.import_module("numba.core.dispatcher").Dispatcher
        modules = [module for name, module in sys.modules.items() if name.startswith("detectd.")]
        values = (value for module in modules for value in vars(module).values())
        found = {id(value): value for value in values if isinstance(value, dispatcher)}
        stores = ((each, getattr(each._cache, "_cache_file", None)) for each in found.values())
        self._stores = [(each, store) for each, store in stores if store is not None]
        self._seen = {}

    def load(self):
        """Load what is there and has not been loaded; to compile it again is to find it."""
        for kernel, store in self._stores:
            with contextlib.suppress(OSError):
                changed = Path(store._index_path).stat().st_mtime_ns
                if self._seen.get(id(kernel)) != changed:
                    self._seen[id(kernel)] = changed
                    for signature, *_ in store._load_index():
                        kernel.compile(signature)


class Server:
    """The end of the one who asks. Raises EOFError if the other end does not come up."""

    def __init__(self):
        self._channel, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [*SERVER, str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)
        _exactly(self._channel, len(READY))

    def fork(self, words, descriptors):
        """The number of a new process, which is ours to wait for."""
        # An orphan becomes the child of the nearest ancestor that says so.
        _adopt_orphans(True)
        try:
            message = json.dumps(words).encode()
            socket.send_fds(self._channel, [len(message).to_bytes(8, "big")], descriptors)
            self._channel.sendall(message)
            return int.from_bytes(_exactly(self._channel, 8), "big")
        finally:
            _adopt_orphans(False)

    def close(self):
        self._channel.close()
        self._process.wait()


@functools.cache
def _server():
    """The server of this process; None if there can be none."""
    if sys.platform != "linux" or not _knows(subprocess.Popen):
        return None
    try:
        return Server()
    except (EOFError, OSError):
        return None


def _knows(popen):
    """Whether `popen` starts processes in the way that `Popen` takes over."""
    made = getattr(popen, "_execute_child", None)
    if made is None or not hasattr(popen, "_close_pipe_fds"):
        return False
    return list(inspect.signature(made).parameters)[8:][PIPES_AT] == PIPES


def _on_import(environment):
    """The variables that a process reads before it could be told of them."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_ON_IMPORT) and name not in READ_LATER
    }


def _adopt_orphans(yes):
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError("this process cannot adopt orphans")


def _exactly(channel, size):
    got = bytearray()
    while len(got) < size:
        part = channel.recv(size - len(got))
        if not part:
            raise EOFError("the other end has gone")
        got += part
    return bytes(got)


def serve(channel):
    """Fork for each who asks. Returns in the forked process alone."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(importlib.import_module("detectd").__path__, "detectd."):
        if module.name != "detectd.__main__":
            importlib.import_module(module.name)
    importlib.import_module("numba.core.registry").cpu_target.target_context.refresh()
    kernels = Kernels()
    channel.sendall(READY)
    while True:
        head, descriptors, *_ = socket.recv_fds(channel, 8, 3)
        if not head:
            sys.exit()
        kernels.load()
        gc.freeze()  # else each fork would copy what its collector looks at
        words = json.loads(_exactly(channel, int.from_bytes(head, "big")))
        pid = _orphan()
        if not pid:
            return words, descriptors
        channel.sendall(pid.to_bytes(8, "big"))
        for descriptor in descriptors:
            os.close(descriptor)


def _orphan():
    """`os.fork`, but the new process's parent has gone when this returns its number."""
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        os.close(reading)
        pid = os.fork()
        if pid:
            os.write(writing, pid.to_bytes(8, "big"))
            os._exit(0)
        os.close(writing)
        return 0
    os.close(writing)
    os.waitpid(between, 0)
    with os.fdopen(reading, "rb") as told:
        return int.from_bytes(told.read(8), "big")


def become(words, descriptors):
    """What a fresh interpreter would find."""
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    # The old one remembers whether the server's own output could be sought in.
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(words["directory"])
    os.environ.clear()
    os.environ.update(words["environment"])
    sys.argv = ["detectd", *words["arguments"]]
    sys.path[0] = ""
    if "PYTHONFAULTHANDLER" in os.environ:
        faulthandler.enable()


def run():
    """Run `python -m detectd` to its end, but for the end of the interpreter.

    That would take thousands of modules apart, each page of them copied from the server's first,
    and last longer than most commands. All that others see comes before it: threads are waited
    for, hooks run and streams flushed.
    """
    codes = []
    atexit.register(_leave, codes)  # the first, and so the last to be called
    try:
        runpy.run_module("detectd", run_name="__main__", alter_sys=True)
    except SystemExit as asked:
        codes.append(asked.code)
        raise


def _leave(codes):
    """End the process, unless the interpreter would have something to say first."""
    if codes and isinstance(codes[0], int):
        with contextlib.suppress(OSError, ValueError):
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(codes[0] & 0xFF)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        as_asked = serve(asked)
    become(*as_asked)
    run()
