"""The real command in a subprocess, and small worlds for it to run in."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.forkserver import COMMAND, Popen

TOPICS = ("normal", "anomaly", "abstain", "dead_letter")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("DETECTD_")}


def detectd(*arguments, **options):
    """Run the command to its end and give the finished process, its output as text."""
    given = options.pop("input", None)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(given, timeout=120)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(*arguments, **options):
    """Start the command and leave it running."""
    return Popen(
        [*COMMAND, *map(str, arguments)],
        env=ENVIRONMENT | options.pop("env", {}),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options,
    )


def events(count, seed=0, poison=0.0, anomalies=0.03):
    """JSON lines of two features, some of them far out, some of them unreadable."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 2)) + 6 * (rng.random((count, 1)) < anomalies)
    lines = [json.dumps({"n": i, "a": a, "b": b}) for i, (a, b) in enumerate(values.tolist())]
    for i in np.flatnonzero(rng.random(count) < poison):
        lines[i] = "poison"
    return lines


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


@dataclass
class World:
    """A directory with a configuration, events and whatever the command makes of them."""

    home: Path
    config: dict = field(default_factory=dict)

    def __post_init__(self):
        self.config = {
            "source": {"kind": "file", "path": str(self.home / "events.jsonl")},
            "sink": {"kind": "file", "directory": str(self.home / "out")},
            "event": {"features": ["a", "b"]},
            "detector": {"name": "KNN", "contamination": 0.05},
            "models": {"directory": str(self.home / "models")},
        } | self.config
        self.write()

    @property
    def path(self):
        return self.home / "detectd.toml"

    @property
    def events(self):
        return self.home / "events.jsonl"

    @property
    def out(self):
        return Path(self.config["sink"]["directory"])

    def write(self, **changes):
        """Write the configuration, with these keys of these sections changed (None: removed)."""
        for section, keys in changes.items():
            table = self.config.setdefault(section, {})
            table |= keys
            self.config[section] = {k: v for k, v in table.items() if v is not None}
        text = ""
        for section, keys in self.config.items():
            text += f"[{section}]\n"
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
        self.path.write_text(text, encoding="utf-8")

    def lines(self, path, content):
        path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
        return path

    def run(self, *command, **options):
        return detectd(*command, "--config", self.path, **options)

    def fit(self, count=1000, seed=1):
        training = self.lines(self.home / "training.jsonl", events(count, seed))
        return self.run("fit", "--input", training)

    def outputs(self):
        """The parsed records of each topic."""
        return {
            topic: list(map(json.loads, (self.out / f"{topic}.jsonl").read_text().splitlines()))
            if (self.out / f"{topic}.jsonl").exists()
            else []
            for topic in TOPICS
        }

    def answered(self):
        """How many outputs there are, also while the service is writing one."""
        files = (self.out / f"{topic}.jsonl" for topic in TOPICS)
        return sum(path.read_bytes().count(b"\n") for path in files if path.exists())

    def raw_outputs(self):
        return {topic: (self.out / f"{topic}.jsonl").read_bytes() for topic in TOPICS}
