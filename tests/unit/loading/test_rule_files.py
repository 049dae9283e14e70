"""What is written in a rule file is what the rule is."""

import os
from pathlib import Path

import pytest
from bson.decimal128 import Decimal128

from mtrigger.actions.log import LogConfig
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import default_templates, load
from mtrigger.retry import RetryPolicy
from support.rules_folder import SMALLEST, RulesFolder

FULL = """\
name: big-order
description: Tell somebody
enabled: false
on:
  collection: [shop.orders, archive.*]
  operations: [insert, update, delete]
  fields: [amount, customer.id]
when: amount > 10000
ordering: rule
do:
  - log: "{{ document.amount }}"
  - webhook: {url: "https://example.com/hook", timeout: 5s, concurrency: 4}
  - log: {message: again, level: warning}
concurrency: 8
retry: {attempts: 3, first_delay: 500ms, max_delay: 2h, max_age: 7d}
tests:
  - given: {amount: {$numberDecimal: "15000.50"}}
    expect: fires
  - given: {amount: 1}
    before: {amount: 20000}
    operation: update
    expect: ignored
"""


def test_every_key_of_a_rule_is_read(folder: RulesFolder) -> None:
    """Nothing is parsed and ignored."""
    rule = folder.rule(FULL)
    assert rule.name == "big-order"
    assert rule.description == "Tell somebody"
    assert rule.enabled is False
    assert rule.collections.patterns == ("shop.orders", "archive.*")
    assert rule.operations == {"insert", "update", "replace", "delete"}
    assert rule.fields == ("amount", "customer.id")
    assert rule.condition is not None
    assert rule.condition.text == "amount > 10000"
    assert rule.ordering == "rule"
    assert [(action.name, action.kind, action.concurrency) for action in rule.actions] == [
        ("log", "log", 32),
        ("webhook", "webhook", 4),
        ("log-2", "log", 32),
    ]
    assert rule.concurrency == 8
    assert rule.actions[2].config == LogConfig(message="again", level="warning")
    assert rule.retry == RetryPolicy(attempts=3, first_delay=0.5, max_delay=7200, max_age=604800)
    assert rule.file == str(folder.path / "rule.yaml")
    fires, ignored = rule.tests
    assert fires.given == ({"amount": Decimal128("15000.50")},)
    assert (fires.before, fires.operation, fires.expect, fires.line) == (None, "insert", "fires", 17)
    assert (ignored.before, ignored.operation, ignored.expect) == ({"amount": 20000}, "update", "ignored")


def test_a_rule_needs_only_a_collection_and_an_action(folder: RulesFolder) -> None:
    """Everything else has a default; the name is the file's."""
    rule = folder.rule(SMALLEST)
    assert (rule.name, rule.enabled, rule.condition, rule.fields) == ("rule", True, None, ())
    assert rule.operations == {"insert", "update", "replace"}
    assert (rule.ordering, rule.retry, rule.concurrency) == ("document", RetryPolicy(), None)


def test_update_includes_replace_and_replace_stands_alone(folder: RulesFolder) -> None:
    """As the contract has it."""
    text = "on: {{collection: a.b, operations: {}}}\ndo: {{log: x}}\n"
    assert folder.rule(text.format("[update]")).operations == {"update", "replace"}
    assert folder.rule(text.format("[replace]")).operations == {"replace"}
    assert folder.rule(text.format("delete")).operations == {"delete"}


def test_a_filter_may_stand_for_the_condition(folder: RulesFolder) -> None:
    """`when` takes a MongoDB filter as a mapping."""
    rule = folder.rule(SMALLEST + "when: {amount: {$gt: 10000}}\n")
    assert rule.condition is not None


def test_files_are_read_in_order_and_sub_folders_too(folder: RulesFolder) -> None:
    """Hidden files and folders, other suffixes and `_defaults.yaml` are no rules."""
    for name in ("b.yaml", "a.yml", "sub/c.yaml", ".hidden.yaml", ".git/d.yaml", "e.yaml.bak", "README.md"):
        folder.write(name, SMALLEST)
    folder.write("_defaults.yaml", "enabled: true")
    found = folder.load()
    assert [rule.name for rule in found.rules] == ["a", "b", "c"]
    assert len(found.files) == 4


def test_a_kubernetes_volume_is_read_once(folder: RulesFolder) -> None:
    """Its files are links into `..data`, which is a link to a folder with a time in its name."""
    folder.write("..2026_01_31/a.yaml", SMALLEST)
    (folder.path / "..data").symlink_to("..2026_01_31")
    (folder.path / "a.yaml").symlink_to("..data/a.yaml")
    assert [rule.name for rule in folder.load().rules] == ["a"]


def test_links_that_lead_in_circles_end(folder: RulesFolder) -> None:
    """A link to a folder above is not followed again."""
    folder.write("sub/a.yaml", SMALLEST)
    (folder.path / "sub" / "up").symlink_to("..")
    assert [rule.name for rule in folder.load().rules] == ["a"]


def test_a_file_may_hold_several_rules_with_names(folder: RulesFolder) -> None:
    """One document each."""
    folder.write("rules.yaml", f"name: one\n{SMALLEST}---\nname: two\n{SMALLEST}---\n")
    assert [rule.name for rule in folder.load().rules] == ["one", "two"]
    assert folder.mistakes_in(f"name: three\n{SMALLEST}---\n{SMALLEST}") == [
        "5:1: the file holds several rules: each needs a `name`"
    ]


def test_a_single_file_can_be_loaded(folder: RulesFolder) -> None:
    """With the defaults beside it, and the same default templates as its folder."""
    folder.write("_defaults.yaml", "ordering: none")
    file = folder.write("a.yaml", SMALLEST)
    folder.write("b.yaml", "not a rule")
    (rule,) = load(file, None, {}).rules
    assert rule.ordering == "none"
    assert default_templates(file) == default_templates(folder.path) == folder.directory / "templates"


def test_a_folder_without_rules_is_an_error_with_a_way_out(folder: RulesFolder, tmp_path: Path) -> None:
    """Missing, empty, or only with other files."""
    with pytest.raises(SettingsError, match=r"no rules at .*mtrigger init"):
        load(tmp_path / "nothing", None, {})
    with pytest.raises(SettingsError, match=r"no file there ends in \.yaml"):
        folder.load()
    folder.write("a.yaml", SMALLEST)
    with pytest.raises(SettingsError, match=r"no templates folder .*--templates"):
        load(folder.path, tmp_path / "nothing", {})


def test_templates_are_found_beside_the_rules_or_where_they_are_said_to_be(folder: RulesFolder) -> None:
    """`templates/` beside the folder is the default."""
    folder.write("a.yaml", SMALLEST)
    assert folder.load().templates.folder is None
    templates = folder.directory / "templates"
    templates.mkdir()
    assert folder.load().templates.folder == templates
    assert load(folder.path, folder.path, {}).templates.folder == folder.path


def test_defaults_lie_under_every_rule_of_the_folder_and_below(folder: RulesFolder) -> None:
    """Mappings are merged; the rule wins over its folder, the folder over the one above."""
    folder.write(
        "_defaults.yaml", "on: {collection: a.b, operations: [delete]}\nretry: {attempts: 2, max_age: 1h}\n"
    )
    folder.write("sub/_defaults.yml", "retry: {max_age: 2h}\nordering: none\n")
    folder.write("a.yaml", "do: {log: x}\n")
    folder.write("sub/b.yaml", "do: {log: x}\nretry: {first_delay: 5s}\non: {collection: c.d}\n")
    a, b = folder.load().rules
    assert (a.collections.patterns, a.operations, a.ordering) == (("a.b",), frozenset({"delete"}), "document")
    assert a.retry == RetryPolicy(attempts=2, max_age=3600)
    assert (b.collections.patterns, b.operations, b.ordering) == (("c.d",), frozenset({"delete"}), "none")
    assert b.retry == RetryPolicy(attempts=2, max_age=7200, first_delay=5)


def test_actions_take_defaults_by_kind(folder: RulesFolder) -> None:
    """Under `actions:`; a short form takes them too."""
    folder.write("_defaults.yaml", "concurrency: 9\nactions: {log: {level: warning, concurrency: 2}}\n")
    folder.write("a.yaml", "on: {collection: a.b}\ndo: [{log: x}, {log: {message: y, level: error}}]\n")
    (rule,) = folder.load().rules
    assert [action.config for action in rule.actions] == [
        LogConfig(message="x", level="warning", concurrency=2),
        LogConfig(message="y", level="error", concurrency=2),
    ]
    assert (rule.concurrency, [action.concurrency for action in rule.actions]) == (9, [2, 2])


def test_a_mistake_in_the_defaults_is_reported_once_in_their_file(folder: RulesFolder) -> None:
    """However many rules they apply to, and even if no rule uses them."""
    folder.write(
        "_defaults.yaml",
        "name: x\nretry: {attempts: 0}\nordring: none\n"
        "actions:\n  logg: {}\n  webhook: {metod: PUT}\n  log: x\n",
    )
    folder.write("a.yaml", SMALLEST)
    folder.write("b.yaml", SMALLEST)
    assert folder.mistakes() == [
        "_defaults.yaml:1:1: `name` belongs to one rule and has no default",
        "_defaults.yaml:2:19: `retry.attempts` must be 1 or more, not `0`",
        "_defaults.yaml:3:1: unknown key `ordring`; did you mean `ordering`?",
        "_defaults.yaml:5:3: there is no action `logg`; did you mean `log`?",
        "_defaults.yaml:6:13: unknown key `metod`; did you mean `method`?",
        "_defaults.yaml:7:8: `actions.log` must be a mapping (`key: value` lines) (it is `x`)",
    ]


def test_a_value_from_the_defaults_that_does_not_fit_is_reported_where_it_is_written(
    folder: RulesFolder,
) -> None:
    """In the defaults, though only the rule makes it wrong."""
    folder.write("_defaults.yaml", "actions: {log: {message: '{{ a.b'}}\n")
    folder.write("a.yaml", "on: {collection: a.b}\ndo: [{log: {level: info}}]\n")
    (mistake,) = folder.mistakes()
    assert mistake.startswith("_defaults.yaml:1:27: ")


def test_two_rules_of_one_name_are_a_mistake_that_names_both(folder: RulesFolder) -> None:
    """Deliveries are told apart by the rule's name."""
    folder.write("a.yaml", SMALLEST)
    folder.write("b.yaml", f"\nname: a\n{SMALLEST}")
    folder.write("sub/a.yml", SMALLEST)
    assert [mistake.replace(str(folder.path) + os.sep, "") for mistake in folder.mistakes()] == [
        "b.yaml:2:7: there is another rule `a`, in a.yaml:1; names must differ",
        "sub/a.yml:1:1: there is another rule `a`, in a.yaml:1; names must differ",
    ]


def test_every_mistake_of_every_file_is_reported_at_once(folder: RulesFolder) -> None:
    """Sorted by file and line."""
    folder.write("b.yaml", "on: 1\ndo: [{log: x}]\n")
    folder.write("a.yaml", "on: {collection: a}\ndo: [{lgo: x}]\nx: 1\n")
    folder.write("c.yaml", SMALLEST)
    with pytest.raises(RulesError) as raised:
        folder.load()
    assert [(Path(found.file).name, found.line, found.column) for found in raised.value.mistakes] == [
        ("a.yaml", 1, 18),
        ("a.yaml", 2, 7),
        ("a.yaml", 3, 1),
        ("b.yaml", 1, 5),
    ]
