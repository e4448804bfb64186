"""What is there instead of a file that is not."""

import pytest

from detectd.nearest import missing, nearest


@pytest.fixture
def files(tmp_path):
    for name in ("log/metrics.csv", "log/events.jsonl", "data/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("log/metric.csv", "log/metrics.csv"),
        ("log/Metrics.csv", "log/metrics.csv"),
        ("lgo/metrics.csv", "log/metrics.csv"),
        ("log/events.json", "log/events.jsonl"),
        ("lgo/events", None),
        ("data/b.csv", None),  # nothing but the ending is alike
        ("other/deep/er.csv", None),
    ],
)
def test_the_nearest_file_is_named_if_one_is_near(files, named, meant):
    said = missing(files / named, "name another")
    assert said.startswith(f"{files / named} does not exist")
    assert said.endswith(f"did you mean {files / meant}?" if meant else "; name another")


def test_the_directory_that_is_missing_is_named(files):
    assert f", nor does {files / 'other'};" in missing(files / "other/deep/er.csv", "x")


def test_case_is_no_difference():
    assert nearest("CPU", ["mem", "cpu"]) == "cpu"
    assert nearest("zzz", ["mem", "cpu"]) is None
