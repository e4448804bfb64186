"""What the Debian package is made of. packaging/test-deb installs it (make test-deb)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from detectd import __version__

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "debian"


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


@pytest.mark.parametrize(
    "script", ["detectd.postinst", "detectd.prerm", "detectd.postrm"], ids=lambda name: name
)
def test_maintainer_scripts_are_posix_and_stop_at_the_first_failure(script):
    path = DEBIAN / script
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert text.count("#DEBHELPER#") == 1
    assert subprocess.run(["sh", "-n", path]).returncode == 0


@pytest.mark.parametrize("script", ["deb", "environment", "test-deb", "test-deb-inside"])
def test_scripts_are_sound_and_stop_at_the_first_failure(script):
    path = ROOT / "packaging" / script
    assert re.search(r"^set -e\w*uo pipefail$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert subprocess.run(["bash", "-n", path]).returncode == 0
