"""What `detectd fit` did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.commands.fitting import FitResult


def fitted_text(fitted: FitResult, directory: Path, *, active: bool) -> str:
    """The rows, where the model is, and which one answers now."""
    model = fitted.serving.model
    places = f"{fitted.places} inputs" if fitted.places > 1 else "one input"
    lines = [f"fitted on {len(model.rows):,} rows of {places}: {model.version} in {directory}"]
    if active:
        replaced = fitted.before not in (None, model.version)
        instead = f", in place of {fitted.before}" if replaced else ""
        lines.append(f"active: {model.version}{instead}")
    else:
        lines.append(
            f"active: {fitted.before or 'none'}, as before; "
            f"`detectd models activate {model.version}` lets the new one answer"
        )
    return "\n".join(lines)
