"""Dead letters for a person at a terminal, and as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from detectd.pipeline.encode import VERDICTS
from detectd.pipeline.records import Topic
from detectd.report.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.commands.replaying import Replayed
    from detectd.pipeline.dead_letters import Group

OUTPUTS = (*VERDICTS, Topic.DEAD_LETTER)


def list_figures(groups: Sequence[Group]) -> dict[str, Any]:
    """What `dead-letters list` tells."""
    return {
        "dead_letters": sum(group.count for group in groups),
        "replayable": sum(group.replayable for group in groups),
        "groups": [asdict(group) for group in groups],
    }


def list_text(found: dict[str, Any]) -> str:
    """The groups as a table."""
    groups = found["groups"]
    if not groups:
        return "no dead letters"
    groups = [{name: _cell(value) for name, value in group.items()} for group in groups]
    wide = {name: max(len(name), *(len(g[name]) for g in groups)) for name in ("first", "last")}
    lines = [
        f"{'count':>9}  {'stage':9}{'first':{wide['first']}}  {'last':{wide['last']}}  error",
        *(
            f"{g['count']:>9,}  {g['stage']:9}{g['first']:{wide['first']}}  "
            f"{g['last']:{wide['last']}}  {g['error']}"
            for g in groups
        ),
    ]
    lost = found["dead_letters"] - found["replayable"]
    if lost:
        lines.append(f"{lost:>9,}  of these cannot be replayed: their bytes were not kept whole")
    return "\n".join(lines)


def _cell(value: Any) -> Any:
    """A text of a record's, which stays in its line."""
    return one_line(value) if isinstance(value, str) else value


def replay_figures(done: Replayed, *, rehearsed: bool) -> dict[str, Any]:
    """What `dead-letters replay` tells."""
    return {
        "model": done.model,
        "rehearsed": rehearsed,
        "replayed": done.topics.total(),
        **{topic.value: done.topics[topic.value] for topic in OUTPUTS},
        "left": dict(done.left),
    }


def replay_text(told: dict[str, Any]) -> str:
    """What became of them, a line each."""
    what = "would be replayed" if told["rehearsed"] else "replayed"
    lines = [f"{told['replayed']:,} dead letters {what} with model {told['model']}"]
    if told["replayed"]:
        lines += [f"{topic.value:12}{told[topic.value]:>12,}" for topic in OUTPUTS]
    lines += [f"{'left':12}{count:>12,}  {why}" for why, count in told["left"].items()]
    return "\n".join(lines)
