"""The outcome of `mtrigger test` as JUnit XML, which continuous integration systems read.

The shape is the one of Apache Ant's JUnit task that everybody follows: suites (rule files) of cases
(examples), a failed one with a `failure`.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from mtrigger.cli.judgements import example_summary, reasons
from mtrigger.cli.output import printable
from mtrigger.trying.rule_tests import ExampleResult


def write_junit(file: Path, results: Sequence[ExampleResult]) -> None:
    """Write `results` to `file`. Raises OSError."""
    by_file: dict[str, list[ExampleResult]] = {}
    for result in results:
        by_file.setdefault(result.rule.file, []).append(result)
    root = ET.Element("testsuites", _counts(results) | {"name": "mtrigger test"})
    for name, found in by_file.items():
        suite = ET.SubElement(root, "testsuite", _counts(found) | {"name": name})
        for result in found:
            _add_case(suite, result)
    ET.indent(root)
    ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _counts(results: Sequence[ExampleResult]) -> dict[str, str]:
    failed = sum(not result.passed for result in results)
    return {"tests": str(len(results)), "failures": str(failed), "errors": "0"}


def _add_case(suite: ET.Element, result: ExampleResult) -> None:
    name = f"{example_summary(result.example)}: {result.example.expect} (line {result.example.line})"
    attributes = {
        "classname": result.rule.name,
        "name": printable(name),
        "file": result.rule.file,
        "line": str(result.example.line),
    }
    case = ET.SubElement(suite, "testcase", attributes)
    if not result.passed:
        failure = ET.SubElement(case, "failure", {"message": printable(str(result))})
        failure.text = printable("\n".join(reasons(result.judgement)))
