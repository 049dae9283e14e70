"""How the actions `publish` and `sink` stand in a rule file, and what is said when they are wrong."""

import json

import pytest

from mtrigger.actions.sink_settings import SinkConfig
from support.rules_folder import RulesFolder

ON = "on: {collection: a.b}\n"
TOPIC = "on: {topic: ORDERS}\n"


def test_what_is_published_and_what_is_written_is_known(folder: RulesFolder) -> None:
    """A sink writes to its collection; a message goes nowhere that rules could watch."""
    rule = folder.rule(TOPIC + "do:\n  - sink: {into: shop.orders}\n  - publish: {topic: SEEN}\n")
    assert [action.writes for action in rule.actions] == [{"shop.orders"}, frozenset()]


def test_a_sink_is_for_rules_of_topics(folder: RulesFolder) -> None:
    """Elsewhere there is `write`."""
    assert folder.mistakes_in(ON + "do:\n  - sink: {into: shop.orders}\n") == [
        "3:5: `sink` goes with `on: {topic: …}` alone; use `write`, which makes a document of a change"
    ]


def test_a_schema_is_read_from_a_file_beside_the_rule(folder: RulesFolder) -> None:
    """From the folder of the file that names it, or another one from there."""
    schema = {"type": "object", "properties": {"amount": {"minimum": 0.5}}, "required": ["amount"]}
    folder.write("schemas/order.json", json.dumps(schema))
    folder.write("shop/rule.yaml", TOPIC + "do: [sink: {into: a.b, schema: ../schemas/order.json}]\n")
    (rule,) = folder.load().rules
    config = rule.actions[0].config
    assert isinstance(config, SinkConfig)
    assert config.json_schema == schema


def test_a_schema_of_the_defaults_is_beside_them(folder: RulesFolder) -> None:
    """Wherever the rule is."""
    folder.write("order.json", '{"required": ["amount"]}')
    folder.write("_defaults.yaml", "actions: {sink: {schema: order.json}}\n")
    folder.write("shop/rule.yaml", TOPIC + "do: [sink: {into: a.b}]\n")
    (rule,) = folder.load().rules
    config = rule.actions[0].config
    assert isinstance(config, SinkConfig)
    assert config.json_schema == {"required": ["amount"]}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("nothing.json", "cannot be read: No such file"),
        ("wrong.json", "holds no JSON"),
        ("list.json", "holds no mapping"),
        ("schema.yaml", "`schema` is a mapping, or the name of a .json file"),
        ("bad.json", "this is no JSON Schema: 'objekt' is not valid"),
        ("binary.json", "holds no JSON"),
        ("{type: objekt}", "this is no JSON Schema: 'objekt' is not valid"),
        ("{properties: {a: {pattern: '(?=a)'}}}", "linear time"),
    ],
)
def test_a_schema_that_cannot_be_used_is_one_mistake(folder: RulesFolder, schema: str, said: str) -> None:
    """Where the rule names it."""
    folder.write("wrong.json", "{")
    folder.write("list.json", "[]")
    folder.write("bad.json", '{"type": "objekt"}')
    folder.write("binary.json", b"\xff\xfe")
    (mistake,) = folder.mistakes_in(TOPIC + f"do:\n  - sink:\n      into: a.b\n      schema: {schema}\n")
    assert mistake.startswith("5:")
    assert said in mistake


@pytest.mark.parametrize(
    ("action", "mistake"),
    [
        ("publish: {topic: a b}", "2:23: 'a b' is no name of a topic: "),
        ("publish: {message: 1}", "2:6: `do[0].publish.topic` is missing"),
        ("publish: {topic: A, massage: 1}", "2:26: unknown key `massage`; did you mean `message`?"),
        ("sink: {into: 'a.*'}", "2:19: `a.*`: write the name of one collection"),
        ("sink: {into: a.b, mode: replace}", "2:30: `replace` is not known here"),
        ("sink: {into: a.b, key: 'x..y'}", "2:29: a path is names with dots"),
        ("sink: {into: a.b, fields: {x: y}}", "2:36: a JSONPath begins with `$`"),
    ],
)
def test_mistakes_have_their_places(folder: RulesFolder, action: str, mistake: str) -> None:
    """Line and column."""
    (found,) = folder.mistakes_in(f"on: {{topic: ORDERS}}\ndo: [{action}]\n")
    assert mistake in found
