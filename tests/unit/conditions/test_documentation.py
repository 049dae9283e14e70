"""docs/conditions.md shows only what works."""

import re
from pathlib import Path

import pytest
import yaml

from mtrigger.conditions import parse, parse_mapping
from mtrigger.conditions.functions import FUNCTIONS

TEXT = (Path(__file__).parents[3] / "docs" / "conditions.md").read_text(encoding="utf-8")
EXAMPLES = [
    line for block in re.findall(r"```when\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_can_be_read(text: str) -> None:
    """People copy them."""
    assert parse(text).describe()


def test_the_filter_shown_can_be_read() -> None:
    """The mapping form, as YAML."""
    shown = re.findall(r"```yaml\n(when: .*?)```", TEXT, re.DOTALL)
    assert shown
    assert parse_mapping(yaml.safe_load(shown[0])["when"]).describe()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_in_the_table(name: str) -> None:
    """A function nobody can find is no function."""
    assert re.search(rf"`{name}\(|`{name}`", TEXT)
