"""Every link leads somewhere, in the source and on the site; every page is in the navigation."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.documentation.pages import DOCS, PAGES, ROOT, built, name, prose

LINK = re.compile(r"\]\(([^()\s]+)\)|<(?:img|source)[^>]*? (?:src|srcset)=\"([^\"]+)\"")


def anchor(heading):
    """What a heading's link is: as MkDocs and the forges make it, but for doubled hyphens."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())


def anchors(text):
    headings = re.findall(r"^#+ (.*?)(?: \{ #([\w-]+) \})?$", text, re.MULTILINE)
    return {given or anchor(heading) for heading, given in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_section_of_it(page):
    for found in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        target, _, section = (found[0] or found[1]).partition("#")
        if ":" in target:
            assert target.startswith(("https://", "http://localhost"))
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name(page)}: {target}"
        if section and path.suffix == ".md":
            text = built(path) if path.is_relative_to(DOCS) else path.read_text(encoding="utf-8")
            assert section in anchors(text), f"{name(page)}: {target}#{section}"


def test_every_page_of_the_site_is_in_its_navigation():
    def pages(listed):
        for each in listed:
            entry = next(iter(each.values())) if isinstance(each, dict) else each
            yield from pages(entry) if isinstance(entry, list) else [entry]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(pages(site["nav"])) == there


def test_pages_on_the_site_link_to_pages_of_the_site():
    for page in DOCS.rglob("*.md"):
        text = built(page)
        assert "<!-- include" not in text
        assert "<!-- generated" not in text
        for target in re.findall(r"\]\(([^()\s:#]+)", prose(text)):
            path = (page.parent / target).resolve()
            assert path.is_relative_to(DOCS), f"{name(page)}: {target}"


def test_every_picture_is_on_the_site_for_light_and_dark_and_can_be_heard():
    shown = set()
    for page in DOCS.rglob("*.md"):
        text = built(page)
        assert "<picture" not in prose(text)
        found = re.findall(r"!\[(.+)\]\(\S*/?images/([\w-]+)\.svg#only-(light|dark)\)", text)
        assert all(picture.endswith(f"-{theme}") for _, picture, theme in found)
        shown |= {picture for _, picture, _ in found}
    assert shown == {path.stem for path in (DOCS / "images").iterdir()}


def test_pictures_are_those_that_their_program_draws():
    import pictures

    for file, drawn in pictures.pictures().items():
        assert (DOCS / "images" / file).read_text(encoding="utf-8") == drawn, (
            "run `python packaging/pictures.py`"
        )
    assert {path.name for path in (DOCS / "images").iterdir()} == set(pictures.pictures())


def test_nothing_on_a_page_is_loaded_from_another_host(tmp_path):
    """What is refused: scripts, styles, fonts and pictures of others. Links are not loaded."""
    import site_pages

    page = tmp_path / "page.html"
    page.write_text('<a href="https://example.com/">x</a><link rel="stylesheet" href="a.css">')
    assert site_pages.loads_from_elsewhere(tmp_path) == []
    for tag in (
        '<script defer src="https://cdn.example.com/a.js"></script>',
        "<img alt=a src=//example.com/a.png>",
        '<link href="https://fonts.example.com/css" rel="stylesheet">',
    ):
        page.write_text(tag)
        assert len(site_pages.loads_from_elsewhere(tmp_path)) == 1, tag


def test_the_pages_are_written_for_any_builder(tmp_path):
    import site_pages

    site_pages.write(tmp_path / "pages")
    commands = (tmp_path / "pages/reference/cli.md").read_text(encoding="utf-8")
    assert "## detectd models activate" in commands
    assert (tmp_path / "pages/assets/extra.css").exists()


def test_a_warning_of_the_builder_fails_the_build():
    """What `--quiet` hides is not counted by `--strict`."""
    (line,) = re.findall(r"mkdocs build.*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert line.split()[2:] == ["--strict"]


def test_no_page_is_left_out_of_git():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "docs"], capture_output=True, text=True, check=True
    )
    known = set(listed.stdout.splitlines())
    assert {name(path) for path in DOCS.rglob("*.*")} <= known
