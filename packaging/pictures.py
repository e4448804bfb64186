"""Draw the documentation's pictures into docs/images, each for light and for dark pages.

Curves are computed: `python packaging/pictures.py` after a change to this file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from detectd.rejection.stability import quick_stability
from detectd.rejection.zone import zone

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Theme = dict[str, str]
    Floats = npt.NDArray[np.float64]

IMAGES = Path(__file__).parents[1] / "docs" / "images"
THEMES: dict[str, Theme] = {
    "light": {
        "ink": "#1f2430",
        "soft": "#566073",
        "line": "#c5cad6",
        "box": "#f3f5fa",
        "normal": "#24704f",
        "abstain": "#96600e",
        "anomaly": "#b8352a",
        "fill": "0.13",
    },
    "dark": {
        "ink": "#e6e9f0",
        "soft": "#a9b2c5",
        "line": "#4f586c",
        "box": "#262b38",
        "normal": "#5fbf95",
        "abstain": "#e0ab4f",
        "anomaly": "#f08377",
        "fill": "0.2",
    },
}


START, END, BOLD = "text-anchor='start'", "text-anchor='end'", "font-weight='600'"


def text(x: float, y: float, said: str, colour: str, *, size: int = 14, more: str = "") -> str:
    """Return a line of text, centred at x unless `more` says otherwise."""
    anchor = "" if "text-anchor" in more else "text-anchor='middle' "
    place = f"x='{x:g}' y='{y:g}' fill='{colour}' font-size='{size}'"
    return f"<text {place} {anchor}{more}>{said}</text>"


def line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    """Return a straight line."""
    ends = f"x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}'"
    return f"<line {ends} stroke='{colour}' stroke-width='1.5' {more}/>"


def curve(xs: Floats, ys: Floats, colour: str) -> str:
    """Return a line through points."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>"


def area(xs: Floats, ys: Floats, floor: float, colour: str, opacity: str) -> str:
    """Return the area between points and a floor."""
    inner = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    points = f"{xs[0]:.1f},{floor:g} {inner} {xs[-1]:.1f},{floor:g}"
    return f"<polygon points='{points}' fill='{colour}' fill-opacity='{opacity}'/>"


def box(x: float, y: float, width: float, height: float, theme: Theme, *lines: str) -> str:
    """Return a labelled box: a name, and below it what it does."""
    size = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='6'"
    drawn = f"<rect {size} fill='{theme['box']}' stroke='{theme['line']}'/>"
    top = y + height / 2 - 9 * (len(lines) - 1) + 5
    for i, said in enumerate(lines):
        weight = "font-weight='600'" if i == 0 else ""
        colour = theme["soft"] if i else theme["ink"]
        drawn += text(x + width / 2, top + 18 * i, said, colour, size=12 if i else 14, more=weight)
    return drawn


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """Return a line with a head at its end."""
    return line(x1, y1, x2, y2, colour, "marker-end='url(#head)'")


def score_axis(theme: Theme) -> str:
    """Draw the scores of normal events, the zone on their axis, and the three outputs below."""
    left, low, high, right, floor = 30, 300, 408, 610, 150
    xs = np.linspace(left, right, 581)
    t = (xs - left) / (right - left)
    bump = 6 * np.exp(-(((t - 0.88) / 0.06) ** 2))
    ys = floor - 108 * (t / 0.26) ** 2 * np.exp(2 - 2 * t / 0.26) - bump
    drawn = ""
    outputs = (
        ("normal", left, low, 165, "the same under"),
        ("abstain", low, high, 354, "would flip under"),
        ("anomaly", high, right, 530, "the same under"),
    )
    for name, start, end, middle, stable in outputs:
        inside = (xs >= start) & (xs <= end)
        drawn += area(xs[inside], ys[inside], floor, theme[name], "0.35")
        drawn += arrow(middle, floor + 36, middle, 210, theme[name])
        drawn += text(middle, 234, name, theme[name], size=21, more="font-weight='600'")
        for i, said in enumerate((stable, "another sample")):
            drawn += text(middle, 258 + 19 * i, said, theme["soft"], size=16)
    drawn += f"<rect x='{low}' y='22' width='{high - low}' height='{floor - 22}' "
    drawn += f"fill='{theme['abstain']}' fill-opacity='{theme['fill']}'/>"
    drawn += curve(xs, ys, theme["ink"])
    drawn += arrow(left - 10, floor, right + 20, floor, theme["soft"])
    drawn += text(left, 174, "anomaly score", theme["soft"], size=16, more=START)
    drawn += text(right, 174, "higher", theme["soft"], size=16, more=END)
    drawn += text(160, 24, "calibration scores", theme["soft"], size=16)
    drawn += text((low + high) / 2, 46, "the zone", theme["abstain"], size=18, more=BOLD)
    return svg(
        640, 290, "The score axis, the zone in which detectd abstains, and three outputs", drawn
    )


def stability_by_rank(theme: Theme) -> str:
    """Draw P(normal) and P(anomaly) by rank for n = 1,000, m = 50, and the zone of T = 8."""
    found = quick_stability(1000, 50)
    rejected = zone(found, 8.0)
    first, last, left, right, top, floor = 900, 1000, 48, 612, 34, 234

    def across(rank: float) -> float:
        return left + (rank - first) * (right - left) / (last - first)

    ranks = np.arange(first, last + 1)
    xs = np.array([across(int(rank)) for rank in ranks])
    x1, x2 = across(rejected.rank_low - 0.5), across(rejected.rank_high + 0.5)
    drawn = f"<rect x='{x1:.1f}' y='{top}' width='{x2 - x1:.1f}' height='{floor - top}' "
    drawn += f"fill='{theme['abstain']}' fill-opacity='{theme['fill']}'/>"
    for share in (0, 0.5, 1):
        y = floor - share * (floor - top)
        drawn += line(left, y, right, y, theme["line"])
        drawn += text(left - 8, y + 5, f"{share:g}", theme["soft"], more=END)
    for name, logs in (("normal", found.log_p_normal), ("anomaly", found.log_p_anomaly)):
        drawn += curve(xs, floor - np.exp(logs[ranks]) * (floor - top), theme[name])
    for rank in range(first, last + 1, 20):
        drawn += text(across(rank), floor + 22, f"{rank:,}", theme["soft"])
    middle = (left + right) / 2
    drawn += text(middle, floor + 46, "rank among 1,000 calibration scores", theme["soft"], size=16)
    drawn += text(left + 52, top + 26, "P(normal)", theme["normal"], size=17)
    drawn += text(right - 56, top + 26, "P(anomaly)", theme["anomaly"], size=17)
    said = f"the zone: ranks {rejected.rank_low} to {rejected.rank_high}"
    drawn += text((x1 + x2) / 2, 22, said, theme["abstain"], size=17)
    return svg(
        640, 294, "Probability of each verdict by rank; in the zone neither is certain", drawn
    )


def promised_rate(theme: Theme) -> str:
    """Draw the law of the long-run abstention rate for n = 1,000 and a zone of 47 ranks."""
    n, width, delta = 1000, 47, 0.1
    low, high, left, right, top, floor = 0.02, 0.08, 24, 616, 58, 224
    law = beta(width, n + 1 - width)
    rates = np.linspace(low, high, 601)
    density = law.pdf(rates)
    mean, upper = float(law.mean()), float(law.ppf(1 - delta))

    def across(rate: float) -> float:
        return left + (rate - low) * (right - left) / (high - low)

    xs = np.array([across(rate) for rate in rates])
    ys = floor - density / density.max() * (floor - top)
    kept = rates <= upper
    drawn = area(xs[kept], ys[kept], floor, theme["normal"], "0.3")
    drawn += area(xs[~kept], ys[~kept], floor, theme["anomaly"], "0.35")
    drawn += curve(xs, ys, theme["ink"]) + line(left, floor, right, floor, theme["soft"])
    for percent in range(2, 9):
        drawn += text(across(percent / 100), floor + 22, f"{percent} %", theme["soft"])
    for rate, said, anchor, step in (
        (mean, f"on average {mean:.2%}", END, -8),
        (upper, f"at most {upper:.2%}, with probability 0.9", START, 8),
    ):
        x = across(rate)
        drawn += line(x, 20, x, floor, theme["ink"], "stroke-dasharray='4 3'")
        drawn += text(x + step, 34, said, theme["ink"], size=16, more=anchor)
    said = "share of the stream that falls into the zone"
    drawn += text((left + right) / 2, floor + 46, said, theme["soft"], size=16)
    return svg(640, 284, "The law of the abstention rate: its mean and its upper bound", drawn)


def architecture(theme: Theme) -> str:
    """Draw the way of an event through the service, and what stands beside it."""
    soft = theme["soft"]
    stages = (
        ("source", "file, stdin, Kafka"),
        ("decode", "bytes to rows"),
        ("score", "a detector's kernel"),
        ("judge", "rank, zone, verdict"),
        ("encode", "verdicts to bytes"),
        ("sink", "one commit"),
    )
    drawn = ""
    for i, (name, does) in enumerate(stages):
        x = 8 + 138 * i
        drawn += box(x, 84, 120, 62, theme, name, does)
        if i:
            drawn += arrow(x - 18, 115, x - 2, 115, soft)
    drawn += "<rect x='137' y='64' width='552' height='100' rx='10' fill='none' "
    drawn += f"stroke='{theme['normal']}' stroke-dasharray='5 4'/>"
    said = "pure: no clock, no network, no logger, no settings"
    drawn += text(413, 56, said, theme["normal"])
    drawn += box(8, 206, 250, 62, theme, "model store", "verified, immutable versions")
    said = "warm-up, drift alarms, refits beside the loop"
    drawn += box(286, 206, 276, 62, theme, "learning from the stream", said)
    drawn += box(590, 206, 228, 62, theme, "telemetry", "logs, metrics, health, systemd")
    drawn += arrow(344, 206, 344, 150, soft) + arrow(482, 146, 482, 202, soft)
    drawn += arrow(286, 237, 262, 237, soft)
    drawn += f"<path d='M758 84 V 22 H 68 V 80' fill='none' stroke='{soft}' stroke-width='1.5' "
    drawn += "stroke-dasharray='2 3' marker-end='url(#head)'/>"
    drawn += text(413, 16, "at start, the position of the last commit", soft, size=13)
    return svg(826, 276, "An event's way: source, decode, score, judge, encode, sink", drawn)


def svg(width: int, height: int, title: str, drawn: str) -> str:
    """Return the whole picture. `@SOFT@` is replaced by the colour of arrow heads."""
    font = "system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
    head = (
        "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
        "markerHeight='7' orient='auto'><path d='M0 0 8 4 0 8z' fill='@SOFT@'/></marker></defs>"
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' "
        f'font-family="{font}"><title>{title}</title>{head}{drawn}</svg>\n'
    )


PICTURES: dict[str, Callable[[Theme], str]] = {
    "zone": score_axis,
    "stability": stability_by_rank,
    "promise": promised_rate,
    "architecture": architecture,
}


def pictures() -> dict[str, str]:
    """Return {file name: SVG} of every picture in both themes."""
    return {
        f"{name}-{shade}.svg": draw(theme).replace("@SOFT@", theme["soft"])
        for name, draw in PICTURES.items()
        for shade, theme in THEMES.items()
    }


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, drawn in pictures().items():
        (IMAGES / name).write_text(drawn, encoding="utf-8")
        sys.stdout.write(f"docs/images/{name}\n")


if __name__ == "__main__":
    main()
