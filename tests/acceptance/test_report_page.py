"""`report --format html` and the demo's page, from the real command."""

import re

from tests.support.command import detectd, events


def test_the_page_goes_to_stdout_or_into_a_file_and_knows_what_was_observed(fitted):
    fitted.lines(fitted.events, events(300))
    assert fitted.run("run").returncode == 0
    done = fitted.run("report", "--format", "html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!doctype html>")
    assert re.search(r"of 300 events since .{10,30} were abstained from", done.stdout)
    target = fitted.home / "report.html"
    assert fitted.run("report", "--format", "html", "-o", target).stdout == ""
    assert target.read_text(encoding="ascii").endswith("</html>\n")
    assert fitted.run("plan", "--format", "html").returncode == 2


def test_the_demo_says_where_its_page_is(tmp_path):
    done = detectd("demo", "--directory", tmp_path / "demo", "--events", 2000)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "demo" / "report.html"
    assert str(page) in done.stdout
    written = page.read_text(encoding="ascii")
    assert re.search(r"of 2,000 events since .{10,30} were abstained from", written)
