"""The rules of the house that a tool can hold: what loads what, sizes, docstrings, reasons for exceptions."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mtrigger

PACKAGE = Path(mtrigger.__file__).parent
PROJECT = PACKAGE.parent.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = sorted(
    path
    for folder in ("src", "tests", "benchmarks")
    for path in (PROJECT / folder).rglob("*.py")
    if path.is_file()
)

MODULE_LINES = 300
FUNCTION_LINES = 50

WITHOUT_REASON = re.compile(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z-, ]+\])$")

LOADED = "import sys; print(*sorted({'pymongo', 'aiohttp', 'uvicorn', 'starlette'} & set(sys.modules)))"


def name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def heavy_modules_after(statement: str, *arguments: str) -> list[str]:
    """Which of the slow libraries a fresh interpreter has loaded after `statement`."""
    program = f"try:\n    {statement}\nexcept SystemExit as end:\n    assert not end.code, end.code\n{LOADED}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "statement",
    ["import mtrigger", "import mtrigger.loading", "import mtrigger.conditions", "import mtrigger.embedded"],
)
def test_parts_that_check_needs_load_no_slow_library(statement: str) -> None:
    """A command line that answers at once."""
    assert heavy_modules_after(statement) == []


def test_help_loads_no_slow_library() -> None:
    """`mtrigger --help` needs neither the driver nor a web framework."""
    assert heavy_modules_after("from mtrigger.cli import main; main()", "--help") == []


def test_check_loads_no_slow_library(tmp_path: Path) -> None:
    """Nor does `mtrigger check`, with a condition, a template and a webhook."""
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers" / "rule.yaml").write_text(
        "on: {collection: shop.orders}\n"
        "when: amount > 10000\n"
        "do:\n"
        "  - webhook: {url: 'https://example.com/{{ document.region }}'}\n"
        "  - log: 'big order'\n"
    )
    command = "from mtrigger.cli import main; main()"
    assert heavy_modules_after(command, "check", "--rules", str(tmp_path / "triggers")) == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_says_what_it_is_for_and_stays_small(path: Path) -> None:
    """A docstring, and at most 300 lines."""
    source = path.read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "no docstring"
    assert len(source.splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_stays_small(path: Path) -> None:
    """At most 50 lines, decorators and docstring included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{node.name} in line {node.lineno}"


@pytest.mark.parametrize("path", OURS, ids=name)
def test_an_exception_from_the_checks_carries_its_reason(path: Path) -> None:
    """`noqa: CODE - reason` and `type: ignore[code]  # reason`."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        assert not WITHOUT_REASON.search(line), f"line {number}: say why"
