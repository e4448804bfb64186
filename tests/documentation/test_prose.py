"""The project's list of words, and the pages that keep to it."""

from __future__ import annotations

import re

import pytest

from tests.documentation.pages import DOCS, PAGES, ROOT, name, read, words

# Moved as they were; their English follows with the rest of the project's.
LATER = {"dashboards/runbook.md", "SECURITY.md"}
HELD = [page for page in PAGES if name(page) not in LATER]


@pytest.mark.parametrize("page", HELD, ids=name)
def test_pages_keep_to_the_words_of_the_project(page):
    assert [*words.findings(read(page))] == []


def test_a_word_is_found_with_its_line_and_what_to_write():
    found = [*words.findings("A title\n\nTo mend it,\nfit anew.\n")]
    assert [(each.line, each.word, each.instead) for each in found] == [
        (3, "mend", "fix"),
        (4, "anew", "again"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "```\nmend\n```",
        "`mend`",
        "<!-- mend -->",
        "[a](mend.md)",
        "> quoted: mend",
        "recommend, amend",
    ],
)
def test_code_and_quotations_are_not_prose(text):
    assert [*words.findings(text)] == []


def test_what_make_lint_looks_at_is_what_is_tested_here():
    makefile = read(ROOT / "Makefile")
    line = re.search(r"packaging/prose\.py (.*)$", makefile, re.MULTILINE)[1]
    assert line == "README.md CONTRIBUTING.md $$(find docs -name '*.md')"
    looked_at = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")}
    assert looked_at == set(HELD)
