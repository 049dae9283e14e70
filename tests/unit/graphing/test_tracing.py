"""Rules and sources become boxes and arrows: what is read, what is done, where it ends."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from mtrigger.actions.notify import NotifyConfig
from mtrigger.graphing.flow import Flow, Node
from mtrigger.graphing.tracing import flow_of
from mtrigger.rules import Collections, Rule, RuleAction
from mtrigger.sources.definition import Destination, Query, Source
from support.rules_folder import RulesFolder

POSTGRESQL = "postgresql+psycopg://reader:s3cret@db.example.com/soe"


@pytest.fixture
def folder(tmp_path: Path) -> RulesFolder:
    """A folder of rules."""
    return RulesFolder(tmp_path)


def arrows(flow: Flow) -> set[str]:
    """`start -label-> end` of every edge."""
    return {f"{edge.start} -{edge.label}-> {edge.end}" for edge in flow.edges}


def box(flow: Flow, name: str) -> Node:
    """The box with this id."""
    (found,) = (node for node in flow.nodes if node.id == name)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "on: {collection: shop.orders}\ndo: [{log: x}]\n",
            {"collection:shop.orders --> rule:rule", "rule:rule --> log:log:a line in the log"},
        ),
        (
            "on: {collection: [a.b, c.*], operations: [insert, delete]}\ndo: [{log: x}]\n",
            {
                "collection:a.b -insert, delete-> rule:rule",
                "collection:c.* -insert, delete-> rule:rule",
                "rule:rule --> log:log:a line in the log",
            },
        ),
        (
            (
                "on: {collection: a.b, operations: [update], fields: [price]}\n"
                "do: [{write: {into: a.prices, insert: '{{ document }}'}}]\n"
            ),
            {"collection:a.b -update of price-> rule:rule", "rule:rule -insert-> collection:a.prices"},
        ),
        (
            (
                "on: {collection: a.b}\n"
                "do: [{write: {into: a.b, replace: '{{ document }}', key: [_id], upsert: true}}]\n"
            ),
            {"collection:a.b --> rule:rule", "rule:rule -upsert-> collection:a.b"},
        ),
        (
            (
                "on: {collection: a.b, fields: [cost]}\n"
                "do: [{function: {function: 'support.user_functions:reprices', into: a.b}}]\n"
            ),
            {
                "collection:a.b -changes of cost-> rule:rule",
                "rule:rule --> function:Python function:support.user_functions:reprices",
                "rule:rule -what it returns-> collection:a.b",
            },
        ),
        (
            (
                "on: {schedule: '0 9 * * *', query: {collection: a.b}}\n"
                "do: [{email: {to: a@example.com, cc: [b@example.com], subject: s, text: t}}]\n"
            ),
            {
                "schedule:At 09:00 every day (UTC) --> rule:rule",
                "collection:a.b -query-> rule:rule",
                "rule:rule --> email:mail:a@example.com, b@example.com",
            },
        ),
        (
            (
                "on: {collection: a.b}\nwhen: x > 1\nfire: entering\n"
                "do: [{command: [/usr/bin/wall, x]}]\nresolved: [{log: over}]\n"
            ),
            {
                "collection:a.b --> rule:rule",
                "rule:rule --> command:program:wall",
                "rule:rule -when over-> log:log:a line in the log",
            },
        ),
        (
            "on: {topic: ORDERS}\ndo: [{sink: {into: shop.orders}}]\n",
            {"topic:ORDERS --> rule:rule", "rule:rule -upsert-> collection:shop.orders"},
        ),
        (
            "on: {topic: BIG, group: pricing}\ndo: [{publish: {topic: 'P-{{ message.body.region }}'}}]\n",
            {"topic:BIG -group pricing-> rule:rule", "rule:rule -publish-> topic:P-*"},
        ),
        (
            (
                "on: {collection: a.b}\ndo:\n"
                "  - nats: {url: 'nats://u:s3cret@n', subject: orders.big}\n"
                "  - rabbitmq: {url: 'amqp://u:s3cret@r', exchange: orders, routing_key: big}\n"
            ),
            {
                "collection:a.b --> rule:rule",
                "rule:rule --> broker:NATS JetStream:orders.big",
                "rule:rule --> broker:RabbitMQ:orders big",
            },
        ),
        (
            "on: {dead_letters: true}\ndo: [{log: x}]\n",
            {"dead letters: --> rule:rule", "rule:rule --> log:log:a line in the log"},
        ),
    ],
)
def test_what_a_rule_reads_and_where_its_actions_end(
    folder: RulesFolder, text: str, expected: set[str]
) -> None:
    """An arrow for each."""
    folder.write("rule.yaml", text)
    flow = flow_of(folder.load().rules)
    assert arrows(flow) == expected
    assert "s3cret" not in repr(flow)


def test_a_path_into_a_message_is_shown_as_it_was_written(folder: RulesFolder) -> None:
    """Although the rule knows it as one into the message's document."""
    rule = folder.rule("on: {topic: T}\nthrottle: {every: 1h, per: region}\ndo: [{log: x}]\n")
    assert box(flow_of([rule]), "rule:rule").marks == ("one in 1h per region",)


def test_dead_letters_of_named_rules_come_from_these(folder: RulesFolder) -> None:
    """By an arrow of another kind."""
    folder.write("a.yaml", "on: {collection: a.b}\ndo: [{log: x}]\n")
    folder.write("b.yaml", "on: {dead_letters: true, rules: [a]}\ndo: [{log: x}]\n")
    flow = flow_of(folder.load().rules)
    assert [(edge.start, edge.end) for edge in flow.edges if edge.kind == "dead"] == [("rule:a", "rule:b")]


def test_what_a_rule_asks_for_and_what_keeps_it_quiet_stands_in_its_box(folder: RulesFolder) -> None:
    """The condition as it was written, and a word or two for each setting."""
    rule = folder.rule(
        "on: {collection: a.b}\nenabled: false\nwhen: amount > ${LIMIT}\nfire: once\n"
        "count: {at_least: 5, within: 10m, per: user}\ndo: [{log: x}]\n"
        "active: {days: mon-fri, hours: '09:00-18:00', timezone: UTC}\n",
        {"LIMIT": "77"},
    )
    shown = box(flow_of([rule]), "rule:rule")
    assert shown.code == "amount > ${LIMIT}"
    assert shown.marks == ("not enabled", "once", "5 within 10m per user", "09:00 to 18:00")
    assert not shown.enabled


@pytest.mark.parametrize(
    ("settings", "mark"),
    [
        ("throttle: {every: 1h}", "one in 1h"),
        ("throttle: {every: 1d, per: [a, b]}", "one in 1d per a, b"),
        ("digest: {every: 15m, per: region}", "digest every 15m per region"),
        ("digest: {cron: '0 9 * * *'}", "digest 0 9 * * *"),
        ("absent: {for: 10m, per: device}", "nothing for 10m per device"),
    ],
)
def test_what_makes_a_rule_speak_is_a_mark(folder: RulesFolder, settings: str, mark: str) -> None:
    """Each kind of setting."""
    rule = folder.rule(f"on: {{collection: a.b, operations: [insert]}}\n{settings}\ndo: [{{log: x}}]\n")
    assert box(flow_of([rule]), "rule:rule").marks == (mark,)


@pytest.mark.parametrize(
    ("action", "title"),
    [
        ("webhook: {url: 'https://u:pw@example.com/T0P/s3cret?key=s3cret'}", "example.com"),
        ("webhook: {url: '{{ document.url }}'}", "an address from the document"),
        ("slack: {url: 'https://hooks.slack.com/services/T0/B0/s3cret'}", "hooks.slack.com"),
        ("teams: {url: 'https://teams.example.com/s3cret'}", "teams.example.com"),
    ],
)
def test_of_an_address_only_the_host_is_told(folder: RulesFolder, action: str, title: str) -> None:
    """A picture goes to places where secrets must not."""
    flow = flow_of([folder.rule(f"on: {{collection: a.b}}\ndo: [{{{action}}}]\n")])
    assert [node.title for node in flow.nodes if node.kind in ("webhook", "chat")] == [title]
    assert "s3cret" not in repr(flow)


def test_a_collection_among_those_of_a_pattern_leads_to_it(folder: RulesFolder) -> None:
    """What one rule writes is what another one reads."""
    folder.write("a.yaml", "on: {collection: a.b}\ndo: [{write: {into: audit.a, insert: {x: 1}}}]\n")
    folder.write("b.yaml", "on: {collection: 'audit.*'}\ndo: [{log: x}]\n")
    flow = flow_of(folder.load().rules)
    assert [(edge.start, edge.end) for edge in flow.edges if edge.kind == "part"] == [
        ("collection:audit.a", "collection:audit.*")
    ]


def test_a_pattern_that_is_written_and_read_leads_both_ways(folder: RulesFolder) -> None:
    """A rule of the pattern hears of the one collection, too, although a source writes to the pattern."""
    folder.write("a.yaml", "on: {collection: a.b}\ndo: [{write: {into: erp.a, insert: {x: 1}}}]\n")
    folder.write("b.yaml", "on: {collection: 'erp.*'}\ndo: [{log: x}]\n")
    source = Source("s", Query(POSTGRESQL, ("soe.*",)), Destination("erp.{table}"))
    flow = flow_of(folder.load().rules, [source])
    assert {(edge.start, edge.end) for edge in flow.edges if edge.kind == "part"} == {
        ("collection:erp.*", "collection:erp.a"),
        ("collection:erp.a", "collection:erp.*"),
    }


def test_of_a_service_only_the_name_is_told() -> None:
    """Its address is a secret as a whole."""
    config = NotifyConfig.model_validate({"urls": ["tgram://s3cret/1"], "body": "x"})
    flow = flow_of([Rule("r", Collections(("x.y",)), (RuleAction("notify", "notify", config),))])
    assert arrows(flow) == {"collection:x.y --> rule:r", "rule:r --> chat:message:tgram"}


def test_a_pattern_that_is_written_leads_to_what_is_read_of_it() -> None:
    """Tables by a pattern go to topics that rules name."""
    source = Source("s", Query(POSTGRESQL, ("soe.*",)), Destination("erp.{table}"))
    rule = Rule("r", Collections(("erp.orders",)), (RuleAction("pager", "pager", Settings()),))
    flow = flow_of([rule], [source])
    assert [(edge.start, edge.end) for edge in flow.edges if edge.kind == "part"] == [
        ("collection:erp.*", "collection:erp.orders")
    ]


class Settings(BaseModel):
    """Of an action that another package brings."""


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        (frozenset[str](), "rule:r --> action:pager:pager"),
        (frozenset({"a.b"}), "rule:r --> collection:a.b"),
        (frozenset({"mtrigger.topics.NEWS"}), "rule:r --> topic:NEWS"),
    ],
)
def test_an_action_that_nobody_here_knows_ends_where_it_says(writes: frozenset[str], expected: str) -> None:
    """At what it writes, or at a box with its name."""
    rule = Rule("r", Collections(("x.y",)), (RuleAction("pager", "pager", Settings(), writes=writes),))
    assert arrows(flow_of([rule])) == {"collection:x.y --> rule:r", expected}


@pytest.mark.parametrize(
    ("tables", "into", "expected"),
    [
        (
            ("soe.orders",),
            Destination(topic="SOE-ORDERS"),
            {"table:0:soe.orders --> source:s", "source:s --> topic:SOE-ORDERS"},
        ),
        (
            ("soe.orders", "soe.lines"),
            Destination(collection="shop.{table}"),
            {
                "table:0:soe.orders --> source:s",
                "table:0:soe.lines --> source:s",
                "source:s -upsert-> collection:shop.orders",
                "source:s -upsert-> collection:shop.lines",
            },
        ),
        (
            ("soe.*",),
            Destination(topic="ERP-{table}"),
            {"table:0:soe.* --> source:s", "source:s --> topic:ERP-*"},
        ),
        (
            (),
            Destination(collection="a.b", key=("id",)),
            {"query:s --> source:s", "source:s -upsert-> collection:a.b"},
        ),
    ],
)
def test_a_source_leads_from_its_tables_to_where_rows_go(
    tables: tuple[str, ...], into: Destination, expected: set[str]
) -> None:
    """Without a word of the database's address but its kind."""
    query = Query(POSTGRESQL, tables, "" if tables else "SELECT s3cret FROM x")
    flow = flow_of([], [Source("s", query, into)])
    assert arrows(flow) == expected
    assert "s3cret" not in repr(flow)
    assert "db.example.com" not in repr(flow)


def test_tables_of_one_name_in_two_databases_are_two() -> None:
    """And of one database one."""
    sources = [
        Source(f"s{number}", Query(url, ("orders",)), Destination("a.b"))
        for number, url in enumerate((POSTGRESQL, "mysql+pymysql://h/d", POSTGRESQL))
    ]
    flow = flow_of([], sources)
    assert [node.caption for node in flow.nodes if node.kind == "table"] == [
        "PostgreSQL table",
        "MySQL table",
    ]
