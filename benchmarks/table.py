"""The rows as a table: for the terminal, and for the README."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Row

HEAD = ("what", "against", "measured", "target", "", "µs an event")


def text(rows: Sequence[Row]) -> str:
    """Columns as wide as they need be, and the reasons of rows that could not be measured."""
    cells = [HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([*lines, *(f"{row['what']}: {row['note']}" for row in rows if "note" in row)])


def markdown(rows: Sequence[Row]) -> str:
    """The same for a page."""
    ruled = [HEAD, ("---",) * len(HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def met(row: Row) -> bool | None:
    """Whether the target is; None where there is none, or no measurement."""
    ratio, target = row["ratio"], row["target"]
    if ratio is None or target is None:
        return None
    return ratio <= target if row.get("at_most") else ratio >= target


def _cells(row: Row) -> tuple[str, ...]:
    ratio, target, cost = row["ratio"], row["target"], row["ours_us_an_event"]
    unit = row.get("unit", "x")
    held = {True: "met", False: "missed", None: ""}[met(row)]
    side = "≤" if row.get("at_most") else "≥"
    return (
        row["what"],
        row["against"],
        "not measured" if ratio is None else _with_unit(_figure(ratio), unit),
        "" if target is None else f"{side} {_with_unit(f'{target:,g}', unit)}",
        held,
        "" if cost is None else _figure(cost),
    )


def _with_unit(figure: str, unit: str) -> str:
    return {"x": f"{figure} ×", "exponent": f"x^{figure}"}.get(unit, f"{figure} {unit}")


def _figure(value: float) -> str:
    """Three digits, as many as a measurement has."""
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1 else f"{value:.2g}"
