"""The project's list of words, and the pages that keep to it."""

from __future__ import annotations

import re

import pytest

from tests.documentation.pages import DOCS, ROOT, name, read, words

PAGES = [*ROOT.glob("*.md"), *words.files(DOCS), *words.files(ROOT / "dashboards")]
PACKAGES = sorted(each for each in (ROOT / "detectd").iterdir() if each.is_dir())


@pytest.mark.parametrize("page", sorted(PAGES), ids=name)
def test_pages_keep_to_the_words_of_the_project(page):
    assert [*words.findings(read(page))] == []


@pytest.mark.parametrize("package", [ROOT / "detectd" / "cli.py", *PACKAGES], ids=name)
def test_docstrings_and_messages_keep_to_the_words_of_the_project(package, capsys):
    assert words.main([str(package)]) == 0, capsys.readouterr().out


def test_a_word_is_found_with_its_line_and_what_to_write():
    found = [*words.findings("A title\n\nTo mend it,\nfit anew.\n")]
    assert [(each.line, each.word, each.instead) for each in found] == [
        (3, "mend", "fix"),
        (4, "anew", "again"),
    ]


def test_words_are_found_in_docstrings_and_messages_of_python_but_not_in_quoted_titles():
    docstring = '    """Return it.\n\n    J. Doe, "Mend it": mend.\n    """'
    source = f'def f():\n{docstring}\n    say(f"{{x}} anew")\n'
    found = [*words.findings_in_python(source)]
    assert [(each.line, each.word) for each in found] == [(4, "mend"), (6, "anew")]


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
    assert line == "*.md docs dashboards detectd"
