"""docs/faults.md and docs/guarantees.md name only tests that exist, and all faults; links lead somewhere."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FAULTS = (PROJECT / "docs" / "faults.md").read_text(encoding="utf-8")
GUARANTEES = (PROJECT / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", FAULTS, re.MULTILINE)
NAMED = sorted(set(re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", FAULTS + GUARANTEES)))
PAGES = [
    *sorted((PROJECT / "docs").glob("*.md")),
    *(PROJECT / f"{name}.md" for name in ("README", "CONTRIBUTING")),
]


@cache
def places_in(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as GitHub writes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests in a file below `tests/`."""
    tree = ast.parse((PROJECT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_fault_has_a_row() -> None:
    """92 of them, in order."""
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 93))


def test_every_promise_names_its_test() -> None:
    """Each row of the table of promises."""
    promises = [line for line in GUARANTEES.splitlines() if line.startswith("| **")]
    assert len(promises) > 5
    for line in promises:
        assert "::test_" in line, line


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda text: text)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    """A renamed test must be renamed here, too."""
    assert name in names_in(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading that is there."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, place = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not place or place in places_in(target), link
