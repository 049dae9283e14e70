"""docs/faults.md and docs/guarantees.md name only tests that exist, and leave out no fault."""

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


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests in a file below `tests/`."""
    tree = ast.parse((PROJECT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_fault_has_a_row() -> None:
    """70 of them, in order."""
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 71))


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
