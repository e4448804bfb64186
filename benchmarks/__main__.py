"""`make bench`: every row is a ratio to something that ran in turns with it.

`--only GROUP` runs one group and leaves the others in build/bench.json as they were; `--markdown`
runs nothing and prints that file as the README's table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from benchmarks import growth, table

if TYPE_CHECKING:
    from benchmarks.measuring import Row

# Each is a module with a function `rows`. Those on request take minutes.
GROUPS = ("ranking", "forest", "scorers", "paths", "peers", "latency", "growth")
ON_REQUEST = ("memory", "keys")

BUILD = Path("build")
FOUND = BUILD / "bench.json"


def main() -> None:
    """Measure, print the table, and leave the same as JSON and the curves as plots in build/."""
    arguments = _arguments()
    found: dict[str, list[Row]] = json.loads(FOUND.read_text())["groups"] if FOUND.exists() else {}
    if arguments.markdown:
        print(table.markdown(_in_order(found)))
        return
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    BUILD.mkdir(exist_ok=True)
    for group in [arguments.only] if arguments.only else GROUPS:
        if find_spec(f"benchmarks.{group}") is None:
            continue
        found[group] = _rows(group)
        print(table.text(found[group]), end="\n\n", flush=True)
        written = {"machine": _machine(), "groups": found}
        FOUND.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print("between Kafka topics: make bench-kafka; memory after ten million events:", end=" ")
    print(f"make bench-memory; all of the above: {FOUND}")


def _rows(group: str) -> list[Row]:
    rows: list[Row] = importlib.import_module(f"benchmarks.{group}").rows()
    if group == "growth":
        for picture in growth.plot(rows, BUILD):
            print(picture)
    return rows


def _in_order(found: dict[str, list[Row]]) -> list[Row]:
    return [row for group in (*GROUPS, *ON_REQUEST) for row in found.get(group, [])]


def _machine() -> dict[str, Any]:
    return {"processors": os.cpu_count(), "python": platform.python_version()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="GROUP", choices=(*GROUPS, *ON_REQUEST))
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
