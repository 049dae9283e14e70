"""Every example in docs/rules.md and docs/testing-rules.md loads, and does what its own `tests:` say."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtrigger.testing import check_examples
from support.rules_folder import SMALLEST, RulesFolder

DOCS = Path(__file__).parents[3] / "docs"
PAGE, TESTING = ((DOCS / name).read_text(encoding="utf-8") for name in ("rules.md", "testing-rules.md"))
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE + TESTING, re.MULTILINE | re.DOTALL)
KEYS = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)

(CHANNELS,) = (example for example in EXAMPLES if re.search(r"^channels:$", example, re.MULTILINE))
"""Rules of the page use them."""

ENVIRON = {
    "API_TOKEN": "token",
    "NATS_URL": "nats://shop:password@nats.shop.example:4222",
    "RABBITMQ_URL": "amqp://shop:password@rabbit.shop.example/shop",
    "SHOP_SMTP_URL": "smtp://shop:password@mail.shop.example:587",
    "SLACK_URL": "https://hooks.slack.example/services/T000/B000/token",
    "TEAMS_URL": "https://teams.example/workflows/token",
    "NEW_SECRET": "the new one",
    "OLD_SECRET": "the old one",
}


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    yield
    for name in ("alerts", "shop", "shop.alerts"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own
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
    folder.write("_defaults.yaml", CHANNELS)
    if "_defaults.yaml" in example:
        folder.write("_defaults.yaml", example)
        example = ""
    if example.startswith("- "):
        example = "do:\n" + example
    for line in SMALLEST.splitlines():
        if not re.search(f"^{line[:3]}", example, re.MULTILINE):
            example += f"\n{line}"
    folder.write("example.yaml", example)
    rules = folder.load(ENVIRON).rules
    assert len(rules) == len(re.findall(r"^---$", example, re.MULTILINE)) + 1
    assert [str(result) for rule in rules for result in check_examples(rule) if not result.passed] == []


def test_there_are_examples_with_tests() -> None:
    """Else half of the test above holds for nothing."""
    assert sum("\ntests:\n" in example for example in EXAMPLES) > 3


def test_every_key_has_its_section() -> None:
    """And every action."""
    from mtrigger import actions
    from mtrigger.loading.models import RuleFile
    from mtrigger.loading.validation import keys_of

    assert set(KEYS) == {*keys_of(RuleFile), *actions.KINDS}
