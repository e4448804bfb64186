"""What a release leaves on disk is read by the next one."""

import json
import tarfile

from tests.support.command import detectd
from tests.support.paths import ROOT

# A configuration, 260 events of three hosts, and what `detectd run` of 0.1.0 made of them: 60 while
# warming up, 200 judged. @HERE@ stands for the directory.
LEFT = ROOT / "tests" / "acceptance" / "version-0.1.0.tar.gz"
BEFORE, MORE = 260, 60


def test_a_run_goes_on_where_the_release_before_stopped(tmp_path):
    with tarfile.open(LEFT) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "previous"
    # What was observed is in the checkpoint, too: the file in the store is named for another path.
    checkpoint = home / "verdicts" / "checkpoint.json"
    checkpoint.write_text(checkpoint.read_text().replace("@HERE@", str(home)))
    with (home / "events.jsonl").open("a") as events:
        for number in range(MORE):
            time = 1_700_000_000 + 60 * (BEFORE + number)
            events.write(json.dumps({"time": time, "host": "h1", "a": 10.0, "b": 0.1}) + "\n")
    done = detectd("run", "--config", home / "detectd.toml")
    assert done.returncode == 0, done.stderr
    ids = [
        json.loads(line)["id"]
        for path in (home / "verdicts").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sorted(ids) == sorted(f"events.jsonl:{n + 1}" for n in range(BEFORE + MORE))
    report = detectd("report", "--format", "json", "--config", home / "detectd.toml")
    assert json.loads(report.stdout)["observed"]["events"] == 200 + MORE, report.stderr
