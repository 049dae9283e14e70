"""Every example in docs/sources.md loads, and every key has its section there."""

import re
from pathlib import Path

import pytest

from mtrigger.loading.source_files import load_sources
from mtrigger.loading.source_models import From, Into, SourceFile
from mtrigger.loading.validation import keys_of

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_documentation_loads(tmp_path: Path, number: int) -> None:
    """As it stands on the page."""
    (tmp_path / "example.yaml").write_text(EXAMPLES[number])
    (source,) = load_sources(tmp_path, {"SOE_URL": "postgresql://soe:password@db.example/soe"}).sources
    assert source.query.url.startswith("postgresql+psycopg://")


def test_every_key_has_its_section() -> None:
    """Of the file, of `from` and of `into`."""
    sections = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^###? .*$", PAGE, re.MULTILINE))))
    assert sections == {*keys_of(SourceFile), *keys_of(From), *keys_of(Into)}
