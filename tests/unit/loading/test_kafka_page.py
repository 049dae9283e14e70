"""The examples of docs/from-kafka.md: sources and rules load, and every connector's settings are JSON."""

import json
import re
from pathlib import Path

import pytest

from mtrigger.loading.source_files import load_sources
from support.rules_folder import RulesFolder

PAGE = (Path(__file__).parents[3] / "docs" / "from-kafka.md").read_text(encoding="utf-8")
YAML = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCES = [example for example in YAML if example.startswith("# sources/")]
RULES = [example for example in YAML if example.startswith("# triggers/")]


def test_each_connector_has_its_settings_beside_it() -> None:
    """Three of Kafka Connect, in JSON; three files here."""
    connectors = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [isinstance(json.loads(connector), dict) for connector in connectors] == [True] * 3
    assert (len(SOURCES), len(RULES)) == (1, len(YAML) - 1) == (1, 2)


@pytest.mark.parametrize("example", SOURCES)
def test_a_source_of_the_page_loads(example: str, tmp_path: Path) -> None:
    """As it stands there."""
    secret = tmp_path / "password"
    secret.write_text("tiger\n")
    file = tmp_path / "source.yaml"
    file.write_text(example.replace("/run/secrets/soe-password", str(secret)))
    (source,) = load_sources(file, {}).sources
    assert (source.query.mode, source.query.delay) == ("timestamp+incrementing", 5.0)
    assert source.destination.topic == "SOE-ORDERS"


@pytest.mark.parametrize("example", RULES)
def test_a_rule_of_the_page_loads(folder: RulesFolder, example: str) -> None:
    """As it stands there."""
    assert folder.rule(example).actions
