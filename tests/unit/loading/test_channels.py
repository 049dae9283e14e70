"""`channels:` of `_defaults.yaml`: ten rules share one setting, and each says the rest itself."""

import pytest

from mtrigger.actions.email_settings import EmailConfig
from mtrigger.rules import Rule
from support.rules_folder import RulesFolder

CHANNELS = """\
channels:
  sales:
    email: {to: sales@example.com, subject: A change, text: See the shop}
  ops:
    webhook: {url: "${OPS_URL}", method: PUT}
"""
RULE = "on: {collection: shop.orders}\ndo:\n"
ENVIRON = {"OPS_URL": "http://ops.example.com/token-1234"}


@pytest.fixture
def channels(folder: RulesFolder) -> RulesFolder:
    """A folder with the two channels."""
    folder.write("_defaults.yaml", CHANNELS)
    return folder


def mails_of(rule: Rule) -> list[EmailConfig]:
    """The settings of the mails a rule sends."""
    return [action.config for action in rule.actions if isinstance(action.config, EmailConfig)]


def test_a_channel_stands_for_its_kind_with_its_settings(channels: RulesFolder) -> None:
    """By its name alone, with nothing behind it, or with settings over its own."""
    channels.write("one.yaml", RULE + "  - sales\n")
    channels.write("two.yaml", RULE + "  - sales:\n")
    channels.write(
        "three.yaml", RULE + "  - sales: {subject: Another one}\n  - sales: {to: boss@example.com}\n"
    )
    configs = {rule.name: mails_of(rule) for rule in channels.load(ENVIRON).rules}

    assert [str(config.subject) for config in configs["one"]] == ["A change"]
    assert configs["one"] == configs["two"]
    assert [config.subject for config in configs["three"]] == ["Another one", "A change"]
    assert [config.to for config in configs["three"]] == [("sales@example.com",), ("boss@example.com",)]


def test_deliveries_are_called_after_the_channel(channels: RulesFolder) -> None:
    """So a mail to sales and one to the boss are told apart in every list."""
    channels.write("rule.yaml", RULE + "  - sales\n  - ops\n  - sales: {to: boss@example.com}\n")
    (rule,) = channels.load(ENVIRON).rules
    assert [(action.name, action.kind) for action in rule.actions] == [
        ("sales", "email"),
        ("ops", "webhook"),
        ("sales-2", "email"),
    ]


def test_settings_of_the_kind_lie_under_the_channel(channels: RulesFolder) -> None:
    """actions < channel < rule."""
    actions = "actions:\n  email: {from: shop@example.com, subject: From the folder}\n"
    channels.write("_defaults.yaml", actions + CHANNELS)
    channels.write("rule.yaml", RULE + "  - sales\n")
    (rule,) = channels.load(ENVIRON).rules
    config = rule.actions[0].config
    assert isinstance(config, EmailConfig)
    assert (config.sender, config.subject) == ("shop@example.com", "A change")


def test_a_folder_below_may_change_a_channel(channels: RulesFolder) -> None:
    channels.write("north/_defaults.yaml", "channels:\n  sales: {email: {to: north@example.com}}\n")
    channels.write("north/rule.yaml", RULE + "  - sales\n")
    (rule,) = channels.load(ENVIRON).rules
    config = rule.actions[0].config
    assert isinstance(config, EmailConfig)
    assert (config.to, config.subject) == (("north@example.com",), "A change")


def test_a_folder_below_may_make_a_channel_of_another_kind(channels: RulesFolder) -> None:
    """Nothing of the one above is left: its settings mean nothing there."""
    channels.write("north/_defaults.yaml", "channels:\n  sales: {log: {message: in the north}}\n")
    channels.write("north/rule.yaml", RULE + "  - sales\n")
    (rule,) = channels.load(ENVIRON).rules
    assert [(action.name, action.kind) for action in rule.actions] == [("sales", "log")]


def test_a_misspelt_channel_is_told_with_its_neighbour(channels: RulesFolder) -> None:
    (mistake,) = channels.mistakes_in(RULE + "  - sale: {}\n", ENVIRON)
    assert mistake.endswith("3:5: there is no action `sale`; did you mean `sales`?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("  email: {log: x}\n", "_defaults.yaml:2:3: `email` is a kind of action", id="kind"),
        pytest.param("  '1 a': {log: {message: x}}\n", "_defaults.yaml:2:3: a channel's name is", id="name"),
        pytest.param("  ops: {}\n", "_defaults.yaml:2:3: a channel is one kind of action", id="none"),
        pytest.param(
            "  ops: {wehbook: {url: x}}\n",
            "_defaults.yaml:2:9: there is no action `wehbook`; did you mean `webhook`?",
            id="no such kind",
        ),
        pytest.param(
            "  ops: {webhook: {ulr: x}}\n",
            "_defaults.yaml:2:19: unknown key `ulr`; did you mean `url`?",
            id="no such key",
        ),
    ],
)
def test_a_mistake_in_a_channel_is_told_where_it_stands(
    folder: RulesFolder, text: str, expected: str
) -> None:
    folder.write("_defaults.yaml", f"channels:\n{text}")
    folder.write("rule.yaml", RULE + "  - log: x\n")
    mistakes = folder.mistakes(ENVIRON)
    assert any(expected in mistake for mistake in mistakes), mistakes


def test_what_a_channel_lacks_is_told_at_the_rule_that_uses_it(folder: RulesFolder) -> None:
    """A channel need not be whole; with what the rule says it must be."""
    folder.write("_defaults.yaml", "channels:\n  ops: {webhook: {method: PUT}}\n")
    folder.write("rule.yaml", RULE + "  - ops\n")
    (mistake,) = folder.mistakes(ENVIRON)
    assert mistake == "rule.yaml:3:5: `do[0].ops.url` is missing"


def test_a_broken_channel_is_no_mistake_of_the_rules_that_use_it_or_another_one(folder: RulesFolder) -> None:
    """One mistake is told once: nobody is sent to look for channels that stand there."""
    text = "channels:\n  ops: {webhook: {ulr: x}}\n  sales: {email: {to: sales@example.com}}\n"
    folder.write("_defaults.yaml", text)
    folder.write("rule.yaml", RULE + "  - ops\n  - ops: {url: http://example.com}\n  - sales: {text: x}\n")
    (mistake,) = folder.mistakes(ENVIRON)
    assert mistake.startswith("_defaults.yaml:2:19: unknown key `ulr`")


@pytest.mark.parametrize(
    ("actions", "place", "name"),
    [
        pytest.param("do: [sales, sales, sales-2]", "2:20", "sales-2", id="numbered"),
        pytest.param("do: [sales-2, sales, sales]", "2:22", "sales-2", id="numbered later"),
        pytest.param("do: [resolved-log]\nresolved: [log: over]", "3:12", "resolved-log", id="resolved"),
    ],
)
def test_no_two_actions_of_a_rule_have_one_name(
    folder: RulesFolder, actions: str, place: str, name: str
) -> None:
    """Deliveries go by it: of two with the same name only one would ever be made."""
    lines = [f"  {channel}: {{log: {{message: x}}}}\n" for channel in ("sales", "sales-2", "resolved-log")]
    folder.write("_defaults.yaml", "channels:\n" + "".join(lines))
    (mistake,) = folder.mistakes_in(f"on: {{collection: shop.orders}}\n{actions}\nwhen: a > 1\n")
    assert mistake.startswith(f"{place}: another action of this rule is called `{name}`, too")
