"""Features in the configuration: what may be declared, what is said of mistakes, what is kept."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.detectors import Coding
from detectd.errors import ConfigError
from detectd.features import (
    as_data,
    codings,
    columns,
    detector_weights,
    from_data,
    in_words,
    labels,
    weights,
)
from detectd.features.catalogue import CATALOGUE, EVENT
from detectd.features.declaring import ELSEWHERE, MOST_BYTES, declare, functions, is_surprise
from detectd.features.description import describe
from detectd.features.program import compiled_program
from detectd.settings.loader import settle


def settled(*features, **event):
    written = {
        "source": {"kind": "file", "path": "events.jsonl"},
        "sink": {"kind": "stdout"},
        "event": {"features": ["a", *features], "timestamp": "at", "key": "host", **event},
    }
    return settle(written, "x").event


def of_a(fn, **given):
    return {"of": "a", "fn": fn, **given}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (of_a("meen", window=5), "unknown function 'meen'; did you mean 'mean'?"),
        (of_a("avg", window=5), "unknown function 'avg'; did you mean 'mean'?"),
        (of_a("STDDEV", window=5), "unknown function 'STDDEV'; did you mean 'std'?"),
        (of_a("light"), 'write {of = "…", fn = "series", set = "light"}'),
        (of_a("p95"), 'write {of = "…", fn = "quantile", q = 0.95, window = 60}'),
        (of_a("sum"), "unknown function 'sum'; the functions are hour, weekday, lag, "),
        (of_a(["mean"]), "unknown function ['mean']; the functions are"),
        (of_a("mean", windw=5), "function 'mean' takes no 'windw'; did you mean 'window'?"),
        (of_a("mean", zone="UTC"), "takes no 'zone'; it takes of, window, surprise, weight, name"),
        (of_a("count", window="5m"), "function 'count' takes no 'of'; it takes window, surprise"),
        (of_a("mean"), "function 'mean' needs window: a number of the key's last values (5), or"),
        ({"fn": "mean", "window": 5}, "function 'mean' needs of: the field that it reads"),
        (of_a("quantile", window=5), "needs q: the share of values below it"),
        (
            of_a("mean", window=0),
            "function 'mean': window must be a whole number of values, from 1 to 10,000,000, or a "
            'span of event time such as "5m", from "1s" to "366d" (it is 0)',
        ),
        *(
            (of_a("mean", window=window), f"(it is {json.dumps(window)})")
            for window in (-3, 5.5, True, "5", "5min", "500ms", "367d", [5], 10_000_001)
        ),
        (
            of_a("median", window="5m"),
            "window must be a whole number of values, from 1 to 10,000,000 (it",
        ),
        ({"fn": "count", "window": 5}, 'window must be a span of event time such as "5m"'),
        (of_a("quantile", q=95, window=5), "q must be a number above 0, 1 at most (it is 95)"),
        (of_a("quantile", q=0, window=5), "q must be a number above 0, 1 at most (it is 0)"),
        (of_a("ewma", half_life=0), "half_life must be a number above 0, 10,000,000 at most, or"),
        (of_a("ewma", half_life=float("nan")), "half_life must be a number above 0"),
        (
            of_a("lag", steps="1"),
            'steps must be a whole number of values, from 1 to 10,000,000 (it is "1")',
        ),
        (of_a("series", set="lite"), 'set must be "full" or "light" (it is "lite")'),
        (of_a("series", zone="Europe/Berln"), "unknown zone 'Europe/Berln'; did you mean 'Europe"),
        (of_a("season", zone=1), "function 'season': zone must be text, in quotes (it is 1)"),
        (of_a("lag", surprise="yes"), 'surprise must be true or false, or "exact" (it is "yes")'),
        (of_a("lag", weight=-1), 'weight must be a number above 0, 1,000,000 at most, or "max"'),
        (of_a("lag", name=""), "name must be text, in quotes"),
        ({"of": ["a"], "fn": "lag"}, "function 'lag': of must be text, in quotes"),
        (
            of_a("median", window=100_000),
            "function 'median' with window = 100000 takes 1,600,008 bytes per key, more than "
            "1,048,576; use smaller parameters",
        ),
        (of_a("onehot", top=0), "top must be a whole number of values, from 1 to 256 (it is 0)"),
        (of_a("onehot", top=257), "top must be a whole number of values, from 1 to 256"),
        (of_a("onehot", surprise=True), "'onehot' takes no 'surprise'; it takes of, top, weight"),
        (of_a("one_hot"), "unknown function 'one_hot'; did you mean 'onehot'?"),
        (of_a("rarity", by="host"), 'by must be "key" or "training" (it is "host")'),
        *(
            (
                of_a("rarity", by="training", **{name: value}),
                f"takes no '{name}' with by = \"training\", which counts all of the training rows",
            )
            for name, value in (("top", 5), ("window", 50), ("surprise", True))
        ),
        (of_a("season", slots=1_000_000), "with slots = 1000000 takes 10,000,016 bytes per key"),
    ],
    ids=lambda case: str(case["fn"]) if isinstance(case, dict) else "",
)
def test_mistakes_are_said_in_one_line(table, said):
    with pytest.raises(ConfigError) as refused:
        settled(table)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("x: event.features[1]: ")
    assert said in line


def test_two_features_differ_in_name():
    mean = of_a("mean", window=5)
    settled(mean, {**mean, "surprise": True}, {**mean, "name": "b"}, {**mean, "window": "5m"})
    with pytest.raises(ConfigError, match="'a_mean_5' is listed twice; list each feature once, or"):
        settled(mean, mean)
    with pytest.raises(ConfigError, match="'b_20' is listed twice; a function has a column of"):
        settled(of_a("code", name="b"), "b_20")


@pytest.mark.parametrize(("name", "instead"), ELSEWHERE.items())
def test_what_is_advised_can_be_declared(name, instead):
    assert name not in functions()
    if instead not in functions():
        table, _, _ = instead.partition(", or ")
        declare(tomllib.loads(f"it = {table}")["it"])


@pytest.mark.parametrize("table", [of_a("lag"), of_a("mean", window=5), {"fn": "gap"}])
def test_a_time_is_needed_by_what_counts_it(table):
    needed = table["fn"] == "gap"
    if needed:
        with pytest.raises(ConfigError, match=r"'gap' needs the event's time; set event.timestamp"):
            settled(table, timestamp=None)
    else:
        settled(table, timestamp=None)


spans = st.sampled_from(["1s", "90s", "5m", "1.5h", "7d", "52w"])
some = {
    "window": st.integers(2, 20),
    "steps": st.integers(1, 60),
    "half_life": st.floats(0.1, 1e6) | spans,
    "q": st.floats(0.01, 1),
    "period": spans,
    "slots": st.integers(2, 200),
    "alpha": st.floats(0.01, 1),
    "memory": st.integers(20, 6_000),
    "robust": st.booleans(),
    "top": st.integers(1, 40),
    "set": st.sampled_from(["full", "light"]),
    "by": st.just("key"),
    "zone": st.sampled_from(["Europe/Berlin", "America/New_York"]),
}
BY_TIME = {"mean", "std", "min", "max"}


@st.composite
def tables(draw):
    """Tables that declare a feature; parameters with a default are there, or not."""
    fn = draw(st.sampled_from(sorted(CATALOGUE)))
    entry = CATALOGUE[fn]
    table = {"fn": fn} | ({} if entry.of == EVENT else {"of": draw(st.sampled_from("ab"))})
    for each in entry.parameters:
        if each.required or draw(st.booleans()):
            kind = spans if fn == "count" else some[each.name]
            kind = kind | spans if fn in BY_TIME and each.name == "window" else kind
            table[each.name] = draw(kind)
    more = {
        "surprise": st.sampled_from([True, False, "exact"]),
        "weight": st.floats(0.01, 1e6) | st.integers(1, 9) | st.just("max"),
        "name": st.text(min_size=1, max_size=9),
    }
    return table | draw(st.fixed_dictionaries({}, optional=more))


@pytest.mark.slow
@given(st.lists(tables(), max_size=4))
def test_a_declaration_is_kept_as_it_is(drawn):
    declared = ("c", *map(declare, drawn))
    kept = from_data(json.loads(json.dumps(as_data(declared))))
    assert kept == declared
    assert (columns(kept), labels(kept), weights(kept)) == (
        columns(declared),
        labels(declared),
        weights(declared),
    )
    assert compiled_program(kept).ops == compiled_program(declared).ops


@given(tables())
def test_what_is_shown_of_a_feature_declares_it(table):
    feature = declare(table)
    if all(sign.isprintable() for sign in feature.label):
        assert declare(tomllib.loads(f"it = {in_words(feature)}")["it"]) == feature


@given(tables())
def test_a_feature_is_described_in_a_line(table):
    feature = declare(table)
    (line,) = describe([feature], "time")
    size = compiled_program([feature]).key_bytes
    assert line.startswith(f"{feature.label}: ")
    assert line.endswith(f" of a key; {size:,} bytes per key")
    assert "{" not in line.replace(feature.label, "")
    assert size <= MOST_BYTES
    assert len(weights([feature])) == len(feature.columns) >= 1


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (
            of_a("mean", window="5m"),
            "a_mean_5m: mean of a over the last 5m; complete after 5m of a key; 1,440 bytes per "
            "key",
        ),
        (
            of_a("lag", surprise=True),
            "a_lag_surprise: surprise at the earlier value of a, 1 value ago; complete after 2 "
            "events "
            "of a key; 840 bytes per key",
        ),
        (
            of_a("season", zone="Europe/Berlin"),
            "a_season: distance of a from the key's usual value at this time of each 1d, in 96 "
            "slots, by the clocks of Europe/Berlin; complete after 1d of a key; 976 bytes per key",
        ),
        (
            of_a("series", set="light", name="cpu"),
            "cpu: surprises of a as a metric over time, the light set, in columns cpu_level, "
            "cpu_trend, cpu_day; complete after 1d of a key; 3,520 bytes per key",
        ),
    ],
)
def test_descriptions(table, line):
    assert [*describe([declare(table)], "time")] == [line]


def test_a_season_of_other_clocks_has_a_state_of_its_own():
    """And one that names no zone keeps the signature, and so the state, of earlier versions."""
    plain, berlin, tokyo = (
        compiled_program([declare(of_a("series", set="light", **zone))])
        for zone in ({}, {"zone": "Europe/Berlin"}, {"zone": "Asia/Tokyo"})
    )
    both = compiled_program(
        [
            declare(of_a("season")),
            declare(of_a("season", zone="Europe/Berlin", name="b", surprise=True)),
            declare(of_a("season", zone="Europe/Berlin", name="c")),
        ]
    )
    assert [op.zone for op in both.steps] == [None, "Europe/Berlin", None]
    assert plain.ops[4][0] == "season('a', 86400000.0, 96.0, 0.03, 0.0)"
    assert berlin.ops[:4] == tokyo.ops[:4] == plain.ops[:4]
    assert len({plain.ops[5], berlin.ops[5], tokyo.ops[5]}) == 3


def test_the_sum_of_bytes_counts_shared_steps_once():
    mean = declare(of_a("mean", window=5))
    judged = declare(of_a("mean", window=5, surprise=True))
    *_, both = describe([mean, judged], "time")
    *_, alone = describe([judged], "time")
    assert alone.endswith("; 896 bytes per key")
    assert both == "896 bytes of state per key in all; steps that features share count once"


def test_a_category_is_one_column_that_the_model_encodes():
    declared = (
        declare(of_a("onehot", top=3, weight=2)),
        declare(of_a("mean", window=5)),
        declare(of_a("rarity", by="training")),
        declare(of_a("rarity")),
    )
    assert columns(declared) == ("a_onehot_3", "a_mean_5", "a_rarity_training", "a_rarity")
    assert codings(declared) == (Coding(0, "onehot", 3), Coding(2, "share"))
    assert weights(declared) == (2.0, 1.0, 1.0, 1.0)
    assert detector_weights(declared) == (2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0)
    assert from_data(json.loads(json.dumps(as_data(declared)))) == declared
    assert in_words(declared[2]) == (
        '{of = "a", fn = "rarity", name = "a_rarity_training", by = "training"}'
    )
    onehot, _, rarity, *_ = describe(declared, "time")
    assert onehot == (
        "a_onehot_3: columns for each of the 3 values of a that are most frequent in the training "
        "rows, and one for all others; part of the model"
    )
    assert rarity.endswith(
        "−log10 of the share of this value of a in the training rows; part of the model"
    )
    assert is_surprise(declared[2])
    assert not is_surprise(declared[0])


def test_which_features_are_surprises():
    given = [of_a("series"), of_a("frozen"), of_a("rarity"), of_a("lag", surprise="exact")]
    assert all(is_surprise(declare(table)) for table in given)
    assert not any(is_surprise(declare(table)) for table in (of_a("lag"), of_a("code")))
