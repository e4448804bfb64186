"""The page as a browser lays it out."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from tests.support.worlds import WORLDS

# Without a sandbox: CI is root, whom Chromium refuses otherwise.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

# How far each frame's page reaches beyond its width, and which texts of plots overlap.
MEASURE = """
<script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const beyond = page.documentElement.scrollWidth - frame.clientWidth;
    const overlaps = [];
    for (const plot of page.querySelectorAll("svg.plot")) {
      const boxes = [...plot.querySelectorAll("text")]
        .map(text => [text.textContent, text.getBoundingClientRect()])
        .filter(([, box]) => box.width > 0);
      boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 4) overlaps.push(one + " | " + other);
      }));
    }
    return {beyond, overlaps};
  });
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>
"""


@pytest.fixture(scope="module")
def chromium():
    """The browser. Without it these tests are skipped, under CI=true they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no Chromium to look with: apt install chromium")
    return found


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_reaches_beyond_the_window_and_no_labels_collide(tmp_path, chromium, width):
    frames = "".join(
        f'<iframe width="{width}" height="9000" style="border:0" '
        f'srcdoc="{html.escape(world.page)}"></iframe>'
        for world in WORLDS.values()
    )
    harness = tmp_path / "harness.html"
    harness.write_text(f'<!doctype html>{MEASURE}{frames}<p id="found"></p>', encoding="utf-8")
    done = subprocess.run(
        [chromium, *QUIET, f"--user-data-dir={tmp_path}/profile", "--dump-dom", harness.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = json.loads(html.unescape(re.search('<p id="found">(.*?)</p>', done.stdout)[1]))
    assert len(found) == len(WORLDS)
    wrong = {
        name: each
        for name, each in zip(WORLDS, found, strict=True)
        if each["beyond"] > 0 or each["overlaps"]
    }
    assert not wrong
