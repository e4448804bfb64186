"""The rows of a program's columns, for tests that do without a table of keys."""

from __future__ import annotations

from detectd.features.dispatch import calculated


def run(program, *events, **options):
    """Return the rows (k, d) of k events, in order; the arguments are those of `calculated`."""
    return program.rows(calculated(program, *events, **options))
