"""The page as a browser lays it out."""

import html
import itertools
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

WIDTHS = (360, 1440)

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


@pytest.fixture(scope="module")
def laid_out(chromium, tmp_path_factory):
    """What one start of the browser measures: by width and world."""
    home = tmp_path_factory.mktemp("browser")
    frames = "".join(
        f'<iframe width="{width}" height="9000" style="border:0" '
        f'srcdoc="{html.escape(world.page)}"></iframe>'
        for width in WIDTHS
        for world in WORLDS.values()
    )
    harness = home / "harness.html"
    harness.write_text(f'<!doctype html>{MEASURE}{frames}<p id="found"></p>', encoding="utf-8")
    done = subprocess.run(
        [chromium, *QUIET, f"--user-data-dir={home}/profile", "--dump-dom", harness.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = json.loads(html.unescape(re.search('<p id="found">(.*?)</p>', done.stdout)[1]))
    return dict(zip(itertools.product(WIDTHS, WORLDS), found, strict=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_reaches_beyond_the_window_and_no_labels_collide(laid_out, width):
    wrong = {
        name: each
        for (frame, name), each in laid_out.items()
        if frame == width and (each["beyond"] > 0 or each["overlaps"])
    }
    assert not wrong
