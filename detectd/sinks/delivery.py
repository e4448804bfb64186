"""The delivery guarantee of each pair of source and sink."""

from __future__ import annotations

EXACTLY_ONCE = {
    ("file", "file"): "the input position is in the outputs' checkpoint",
    ("kafka", "kafka"): "outputs and offsets are one transaction",
    ("file", "kafka"): "the input position rides in the transaction",
    ("kafka", "file"): "the offsets are in the outputs' checkpoint; one process a group",
}


def guarantee(source: str, sink: str, *, transactional: bool = True) -> str:
    """Return the delivery guarantee of a pair of kinds, in one line."""
    if not transactional:
        return f"{source} to {sink}: at least once (the offsets follow the outputs)"
    how = EXACTLY_ONCE.get((source, sink))
    if how:
        return f"{source} to {sink}: exactly once ({how})"
    if source == "stdin":
        return f"stdin to {sink}: best effort (after a crash a pipe cannot be reread)"
    if source == "kafka":
        return "kafka to stdout: at least once (the group's offsets follow the outputs)"
    return f"{source} to stdout: at least once (a pipe cannot take back what it has passed on)"
