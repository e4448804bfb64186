"""What the folders of the tests promise: who imports whom, and what the unit tests do without."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
# What starts a broker or a registry, with Java and what Maven fetches.
SERVERS = {"tests.support.broker", "tests.support.kafka_service", "tests.support.kafka_topics"}
FIXTURES = {"kafka_broker", "apicurio"}


def imported(tree: ast.AST) -> set[str]:
    """Return the modules, and what is taken from them, which may be modules too."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_module_is_imported_and_no_unit_test_needs_a_server(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = imported(tree)
    assert not [name for name in modules if name.startswith("tests.") and ".test_" in name]
    if TESTS / "unit" in path.parents:
        assert not modules & SERVERS
        assert not {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} & FIXTURES
