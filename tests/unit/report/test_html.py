"""The page: whole, safe to open, and true to the figures, whatever the model and the stream."""

import html
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from detectd.rejection import zone
from detectd.rejection.confidence_sequence import rate_interval
from detectd.report.alarms import SHOWN, believed
from detectd.report.figures import figures
from detectd.report.html import page
from detectd.report.svg.number_format import percent
from detectd.report.threshold_curves import what_if
from tests.support.worlds import ALARMS, HOSTILE, NOON, WORLDS, World

ALL = pytest.mark.parametrize("name", WORLDS)
PLACES = {"d", "x", "y", "x1", "x2", "y1", "y2", "width", "cx", "cy"}
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Reader(HTMLParser):
    """Tags in balance, and what is in them."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


def read(document):
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert not reader.open
    return reader


def text_of(document):
    return " ".join("".join(read(document).text).split())


@pytest.mark.slow
@ALL
def test_a_page_is_whole_self_contained_and_small(name):
    document = WORLDS[name].page
    assert len(document.encode("ascii")) < 150_000
    reader = read(document)
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & set(reader.tags)
    assert not [key for key, _ in reader.attributes if key.startswith("on") or key == "src"]
    links = [value for key, value in reader.attributes if key in {"href", "xlink:href"}]
    assert all(link.startswith("#") for link in links)
    outside = re.findall(r"""https?://[^"'\s)<]*|url\([^#][^)]*\)|@import""", document)
    assert set(outside) == {"http://www.w3.org/2000/svg"}  # the name of SVG, which nobody fetches
    names = [value for key, value in reader.attributes if key == "id"]
    assert len(names) == len(set(names))


@ALL
def test_every_plot_is_sound_xml_with_finite_places_and_a_description(name):
    plots = re.findall(r'<svg class="plot".*?</svg>(?=</div>)', WORLDS[name].page, re.DOTALL)
    assert len(plots) == (6 if name == "nothing seen" else 8)
    for plot in plots:
        root = ElementTree.fromstring(plot)
        told = {element.get("id"): element.text for element in root.iter() if element.get("id")}
        assert root.get("role") == "img"
        assert all(told[identity] for identity in root.get("aria-labelledby").split())
        for element in root.iter():
            for key in PLACES & set(element.keys()):
                assert not re.search("nan|inf", element.get(key))
                assert re.fullmatch(r"[-MLZhv\d.,% e]*", element.get(key))


@ALL
def test_the_page_has_the_figures_of_the_report(name):
    world = WORLDS[name]
    text, report = text_of(world.page), figures(world.serving, world.observed)
    exact, paper, observed = report["exact"], report["paper"], report["observed"]
    flags = {"delta", "valid", "cost_valid"}
    written = [f"{exact[key]:.6f}" for key in exact.keys() - flags]
    written += [f"{paper[key]:.6f}" for key in paper if key != "valid"]
    written += [f"{observed[key]:,}" for key in ("events", "normal", "anomaly", "abstain")]
    written += [
        report["model"]["version"],
        report["model"]["detector"],
        f"{report['model']['n']:,}",
    ]
    written += [percent(exact["expected_rejection_rate"]), percent(exact["rejection_rate_upper"])]
    written += report["warnings"]
    for figure in written:
        assert " ".join(figure.split()) in text
    assert ("not a bound here" in text) is not paper["valid"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain", "Kept so far. "),
        ("not kept", "Not kept. "),
        ("hostile", "Kept, with alarms. "),
        ("nothing seen", "Nothing observed yet. "),
        ("never an anomaly", "this model can never say anomaly"),
        ("ties", "the calibration scores are tied at an edge"),
        ("long tail", "logarithmic beyond"),
        ("empty zone", "The zone is empty"),
    ],
)
def test_what_there_is_to_say_is_said(name, words):
    assert words in text_of(WORLDS[name].page)


def test_names_are_shown_as_they_are_and_do_nothing():
    document = WORLDS["hostile"].page
    assert "<script" not in document
    assert document.count("</style>") == 1
    text = text_of(document)
    for name in HOSTILE[:3]:
        assert name in text
    assert f"and {len(HOSTILE) * 20 - 60} more" in text
    assert "\x00" not in text
    assert "\N{REPLACEMENT CHARACTER}" in text


def test_alarms_are_told_and_drawn_and_what_is_none_is_left_out():
    world = WORLDS["plain"]
    told = ["x", {}, {"event": 1}, *ALARMS * SHOWN]
    document = page(world.serving, world.observed | {"alarms": told}, NOON)
    text = text_of(document)
    assert text.count(", at event ") == SHOWN
    assert "Alarm 1, at event 16,220, 2026-03-06 04:30 UTC: more abstaining." in text
    assert "abstain 20.0% (expected 4.00%)" in text
    assert f"{SHOWN} earlier ones are not shown" in text
    assert document.count('class="line alarm"') == 2 * SHOWN + 1  # two plots, the legend


def test_alarms_may_have_their_shares_by_name():
    by_name = ALARMS[0] | {"recent": {"normal": 0.5, "abstain": 0.3, "anomaly": 0.2}}
    (alarm,) = believed([by_name])
    assert (alarm.recent.normal, alarm.expected.normal) == (0.5, 0.93)


@pytest.mark.parametrize("observed", [{"normal": 90, "abstain": 10}, {"alarms": 3, "normal": "x"}])
def test_counts_alone_or_nothing_of_use_are_observations_too(observed):
    text = text_of(page(WORLDS["plain"].serving, observed, NOON))
    assert "No scores of the stream have been recorded yet" in text
    assert ("10 of 100 events were abstained from, 10.0%" in text) == ("abstain" in observed)


def test_the_curves_pass_through_the_models_own_promise():
    for world in (World(T=8.0), World(n=300, contamination=0.2)):
        promise = world.serving.promise
        curves, own = what_if(promise), promise.rejector.zone.T
        assert curves.T[0] < 0.7 < own < curves.T[-1]
        for drawn, figure in (
            (curves.expected, promise.exact.expected_rejection_rate),
            (curves.upper, promise.exact.rejection_rate_upper),
            (curves.paper_expected, promise.paper.expected_rejection_rate),
        ):
            assert np.interp(own, curves.T, drawn) == pytest.approx(figure, rel=0.02)
        costs = np.interp(own, curves.cost_thresholds, curves.cost_upper)
        assert costs == pytest.approx(promise.exact.cost_upper, rel=0.02)


def test_beyond_the_marked_threshold_a_verdict_is_never_given():
    promise = WORLDS["never an anomaly"].serving.promise
    edge, tables = what_if(promise).reachable, promise.rejector.stability
    below, above = zone(tables, edge * 0.999), zone(tables, edge * 1.001)
    assert (below.anomaly_reachable, above.anomaly_reachable) == (True, False)


def test_the_band_is_the_confidence_sequence():
    """Read back from the curve: its last point is the interval of all events."""
    world = WORLDS["plain"]
    counts = world.observed
    events = sum(counts[name] for name in ("normal", "anomaly", "abstain"))
    low, high = rate_interval(events, counts["abstain"], 0.1)
    description = re.search('id="history-description">(.*?)<', world.page)[1]
    assert f"between {percent(low)} and {percent(high)}" in html.unescape(description)
