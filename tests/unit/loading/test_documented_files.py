"""The files that README.md and docs/topics.md show: sources and rules load as they stand there."""

import re
from pathlib import Path

import pytest

from mtrigger.loading.source_files import load_sources
from support.rules_folder import RulesFolder

PROJECT = Path(__file__).parents[3]
PAGE = "".join((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/topics.md"))
EXAMPLES = re.findall(r"^```yaml\n(# \w+/[\w-]+\.yaml.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = [example for example in EXAMPLES if example.startswith("# sources/")]
RULES = [example for example in EXAMPLES if example.startswith("# triggers/")]


def test_every_example_is_of_a_known_kind() -> None:
    """Else the tests below hold for nothing."""
    assert len(re.findall(r"^```yaml$", PAGE, re.MULTILINE)) == len(EXAMPLES) == len(SOURCES) + len(RULES)
    assert SOURCES
    assert RULES


@pytest.mark.parametrize("example", SOURCES)
def test_a_source_loads(example: str, tmp_path: Path) -> None:
    """As it stands there."""
    file = tmp_path / "soe-orders.yaml"
    file.write_text(example)
    (source,) = load_sources(file, {"SOE_URL": "postgresql:///"}).sources
    assert source.destination.topic


@pytest.mark.parametrize("example", RULES)
def test_a_rule_loads(folder: RulesFolder, example: str) -> None:
    """As it stands there, with the template and the schema that it names."""
    (folder.directory / "templates").mkdir()
    (folder.directory / "templates" / "big-order.html.j2").write_text("<p>{{ document.amount }}</p>")
    folder.write("order.json", '{"type": "object"}')
    assert folder.rule(example).actions
