"""`mtrigger.testing`: what people write tests of their rules with."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtrigger.errors import RulesError
from mtrigger.testing import Rules, check_examples, event, fires, judge, rules

NIGHT = datetime(2026, 1, 31, 23, tzinfo=UTC)

BIG_ORDER = """
on: {collection: shop.orders, fields: amount, operations: [insert, update]}
when: amount > 10000
do:
  - email: {to: a@example.com, from: b@example.com, subject: "{{ document.amount }}", text: "{{ now.year }}"}
  - log: "{{ before.amount }}"
tests:
  - {given: {amount: 12000}, expect: fires}
  - {given: {amount: 12000}, expect: ignored}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Rules:
    """One rule, as a user's test would load it."""
    folder = tmp_path / "triggers"
    folder.mkdir()
    (folder / "big-order.yaml").write_text(BIG_ORDER)
    return rules(folder)


def test_rules_are_found_by_name(shop: Rules) -> None:
    """A mapping; a folder with mistakes is an error that names them."""
    assert list(shop) == ["big-order"]
    assert len(shop) == 1
    assert "small-order" not in shop


def test_a_folder_with_mistakes_raises_them(tmp_path: Path) -> None:
    """As `mtrigger check` would report them."""
    (tmp_path / "a.yaml").write_text("on: {collection: a}\ndo: {log: x}\n")
    with pytest.raises(RulesError, match=r"database\.collection"):
        rules(tmp_path)


def test_a_rule_fires_for_the_event_of_one_change(shop: Rules) -> None:
    """Collection, operation, fields and condition decide, as they do live."""
    rule = shop["big-order"]
    assert fires(rule, event({"amount": 12000}, collection="shop.orders"))
    assert not fires(rule, event({"amount": 9000}, collection="shop.orders"))
    assert not fires(rule, event({"amount": 12000}, collection="shop.carts"))
    assert not fires(rule, event({"amount": 12000}, collection="shop.orders", operation="delete"))
    before = {"amount": 12000, "note": "a"}
    for after, expected in (({"amount": 12001, "note": "a"}, True), ({"amount": 12000, "note": "b"}, False)):
        change = event(after, operation="update", before=before, collection="shop.orders")
        assert fires(rule, change) is expected


def test_a_judgement_tells_why(shop: Rules) -> None:
    """The demands that were not met, or the condition's trace."""
    judgement = judge(shop["big-order"], event({"amount": 9000}, collection="shop.orders"))
    assert judgement.wanted
    assert judgement.trace is not None
    assert not judgement.trace.held
    assert "9000" in judgement.trace.observed
    judgement = judge(shop["big-order"], event({"amount": 12000}, collection="shop.carts"))
    assert [demand.name for demand in judgement.demands if not demand.met] == ["collection"]
    assert judgement.trace is None


def test_actions_are_previewed_at_the_time_of_the_event(shop: Rules) -> None:
    """What would be sent, or why it would fail."""
    change = event({"amount": 12000}, collection="shop.orders", time=NIGHT)
    mail, line = shop.preview("big-order", change)
    assert mail.preview is not None
    assert (mail.preview.parts["Subject"], mail.preview.parts["Text"].strip()) == ("12000", "2026")
    assert line.preview is None
    assert "amount" in line.failure


def test_examples_say_in_a_sentence_what_came_of_them(shop: Rules) -> None:
    """Fit for an assertion's message."""
    good, bad = check_examples(shop["big-order"])
    assert (good.passed, bad.passed) == (True, False)
    assert str(bad).endswith("rule big-order fires, but `ignored` was expected")


def test_an_event_needs_a_time_with_a_zone() -> None:
    """A naive one would mean something else on every machine."""
    with pytest.raises(ValueError, match="zone"):
        event({}, time=datetime(2026, 1, 31))  # noqa: DTZ001 - the mistake that is meant
