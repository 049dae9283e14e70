"""Every example in docs/rules.md is a rule that loads."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.rules_folder import SMALLEST, RulesFolder

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
KEYS = re.findall(r"^### `(\w+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    yield
    for name in ("alerts", "shop", "shop.alerts"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_documentation_loads(
    folder: RulesFolder, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands on the page, with the least around it that makes it a rule."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("alerts.py", "shop/alerts.py"):
        module = folder.directory / name
        module.parent.mkdir(exist_ok=True)
        module.write_text("def notify(document, event): ...\n")
    (folder.directory / "templates").mkdir()
    (folder.directory / "templates" / "big-order.html.j2").write_text("<p>{{ document.amount }}</p>")
    secret = folder.directory / "secret"
    secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    example = example.replace("/run/secrets/webhook", str(secret))
    if "_defaults.yaml" in example:
        folder.write("_defaults.yaml", example)
        example = ""
    if example.startswith("- "):
        example = "do:\n" + example
    for line in SMALLEST.splitlines():
        if not re.search(f"^{line[:3]}", example, re.MULTILINE):
            example += f"\n{line}"
    folder.write("example.yaml", example)
    assert len(folder.load({"API_TOKEN": "token"}).rules) == 1


def test_every_key_has_its_section() -> None:
    """And every action."""
    from mtrigger import actions
    from mtrigger.loading.models import RuleFile
    from mtrigger.loading.validation import keys_of

    assert set(KEYS) == {*keys_of(RuleFile), *actions.KINDS}
