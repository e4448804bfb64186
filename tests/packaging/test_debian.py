"""What the Debian package is made of. packaging/test-deb installs it (make test-deb)."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from detectd import __version__
from tests.support.paths import ROOT

DEBIAN = ROOT / "debian"
DOCS = "/usr/share/doc/detectd"


def test_the_package_has_the_version_of_the_project():
    first = (DEBIAN / "changelog").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"detectd ({__version__}) ")


def test_every_file_that_is_packaged_is_there_or_generated():
    made = (ROOT / "packaging" / "deb").read_text(encoding="utf-8")
    for listing in ("install", "docs", "examples", "manpages"):
        for line in (DEBIAN / f"detectd.{listing}").read_text(encoding="utf-8").splitlines():
            source = line.split()[0]
            generated = source.replace("build/share/", "$share/")
            assert any(ROOT.glob(source)) or f'>"{generated}"' in made, source


def test_what_the_documents_link_to_is_packaged_where_the_link_leads():
    """README.md and its like lie in /usr/share/doc/detectd, and name others beside them."""
    there = {}
    for listing, home in (("install", None), ("docs", DOCS), ("examples", f"{DOCS}/examples")):
        for line in (DEBIAN / f"detectd.{listing}").read_text(encoding="utf-8").splitlines():
            pattern, _, directory = line.partition(" ")
            for source in ROOT.glob(pattern):
                for path in (source, *source.rglob("*")):
                    inside = path.relative_to(source.parent)
                    there[f"/{directory}/{inside}" if home is None else f"{home}/{inside}"] = path
    links = [line.split() for line in (DEBIAN / "detectd.links").read_text().splitlines()]
    for target, link in links:
        if target.startswith("usr/share/common-licenses/"):  # every Debian has them
            there[f"/{link}"] = ROOT / "LICENSE"
        under = {p.replace(f"/{target}", f"/{link}", 1): at for p, at in there.items()}
        there |= {p: at for p, at in under.items() if p == f"/{link}" or p.startswith(f"/{link}/")}

    documents = {p: at for p, at in there.items() if p.startswith(DOCS) and p.endswith(".md")}
    linked = {
        (page, link)
        for page, source in documents.items()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", source.read_text(encoding="utf-8"))
    }
    assert (f"{DOCS}/README.md", "dashboards/runbook.md") in linked
    for page, link in linked:
        target = os.path.normpath(f"{page.rpartition('/')[0]}/{link}")
        assert target in there, f"{page}: {link}"
    for name in (
        "reference.toml",
        "schema.json",
        "dashboards/alerts.yml",
        "dashboards/detectd.json",
    ):
        assert f"/usr/share/detectd/{name}" in there
    # What an example begins with is for the editor, and beside it.
    assert f"{DOCS}/examples/schema.json" in there


@pytest.mark.parametrize(
    "script", ["detectd.postinst", "detectd.prerm", "detectd.postrm"], ids=lambda name: name
)
def test_maintainer_scripts_are_posix_and_stop_at_the_first_failure(script):
    path = DEBIAN / script
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert text.count("#DEBHELPER#") == 1
    assert subprocess.run(["sh", "-n", path]).returncode == 0


@pytest.mark.parametrize(
    "script",
    [
        "deb",
        "detectd-sandboxed",
        "environment",
        "lock",
        "test-deb",
        "test-deb-apart",
        "test-deb-inside",
    ],
)
def test_scripts_are_sound_and_stop_at_the_first_failure(script):
    path = ROOT / "packaging" / script
    assert re.search(r"^set -e\w*uo pipefail$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert subprocess.run(["bash", "-n", path]).returncode == 0
