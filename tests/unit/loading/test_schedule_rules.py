"""`on: {schedule: …}` in a rule file: what it means, and every way to write it wrong."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from bson.decimal128 import Decimal128

from mtrigger.trying.rule_tests import check_examples
from support.rules_folder import RulesFolder

DO = "do: [{log: a line}]\n"
NINE = 'on: {schedule: "0 9 * * *"}\n' + DO
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def looking_up(query: str) -> str:
    """A scheduled rule with this `query`, which begins on line 3."""
    return f'on:\n  schedule: "0 9 * * *"\n  query: {query}\n' + DO


def test_a_rule_of_times_has_no_collection(folder: RulesFolder) -> None:
    """Once a day, by default the last missed time is made up for."""
    rule = folder.rule(NINE)
    assert rule.schedule is not None
    assert (rule.schedule.cron, rule.schedule.zone.key) == ("0 9 * * *", "UTC")
    assert (rule.schedule.catch_up, rule.schedule.query) == ("last", None)
    assert (rule.collections.patterns, rule.operations) == ((), frozenset({"schedule"}))


def test_everything_a_schedule_can_say(folder: RulesFolder) -> None:
    """With a query in the `when:` language."""
    rule = folder.rule("""
on:
  schedule: "*/10 0 9 * * mon-fri"
  timezone: Asia/Seoul
  catch_up: all
  query:
    collection: shop.orders
    where: amount > 10000 and created_at >= now() - duration("1d")
    sort: [-amount, customer.name]
    limit: 50
max_age: 1h
active: {hours: "08:00-18:00"}
do: [{log: "{{ count }} of {{ documents | length }}"}]
""")
    assert rule.schedule is not None
    query = rule.schedule.query
    assert (rule.schedule.zone, rule.schedule.catch_up) == (ZoneInfo("Asia/Seoul"), "all")
    assert query is not None
    assert query.where is not None
    assert (query.collection, query.limit, query.pipeline) == ("shop.orders", 50, ())
    assert query.sort == (("amount", -1), ("customer.name", 1))
    assert query.where.filter(NOON) == {
        "$and": [{"amount": {"$gt": 10000}}, {"created_at": {"$gte": datetime(2026, 1, 4, 12, tzinfo=UTC)}}]
    }


def test_a_filter_and_a_pipeline_keep_their_types(folder: RulesFolder) -> None:
    """Extended JSON stands for what YAML does not have."""
    rule = folder.rule(looking_up('{collection: a.b, where: {amount: {$gt: {$numberDecimal: "1.5"}}}}'))
    assert rule.schedule is not None
    assert rule.schedule.query is not None
    assert rule.schedule.query.where is not None
    assert rule.schedule.query.where.filter(NOON) == {"amount": {"$gt": Decimal128(Decimal("1.5"))}}
    stage = '{$match: {at: {$date: "2026-01-05T12:00:00Z"}}}'
    rule = folder.rule(looking_up(f"{{collection: a.b, pipeline: [{stage}, {{$sort: {{a: -1}}}}]}}"))
    assert rule.schedule is not None
    assert rule.schedule.query is not None
    assert rule.schedule.query.pipeline == (
        {"$match": {"at": NOON.replace(tzinfo=None)}},
        {"$sort": {"a": -1}},
    )


def test_defaults_about_changes_are_for_rules_of_changes(folder: RulesFolder) -> None:
    """A folder's collection and operations say nothing about its scheduled rules; its throttle does."""
    folder.write(
        "_defaults.yaml", "on: {collection: shop.orders, operations: insert}\nthrottle: {every: 1h}\n"
    )
    rule = folder.rule(NINE)
    assert (rule.collections.patterns, rule.operations) == ((), frozenset({"schedule"}))
    assert rule.throttle is not None


def test_an_example_gives_what_the_query_finds(folder: RulesFolder) -> None:
    """One document, many, or none: the rule fires at its time."""
    rule = folder.rule(
        looking_up("{collection: a.b}").replace("a line", '"{{ count }} documents: {{ documents }}"')
        + """
tests:
  - {given: [{a: 1}, {a: 2}], renders: 2 documents, expect: fires}
  - {given: {a: 1}, renders: 1 documents, expect: fires}
  - {given: [], renders: 0 documents, expect: fires}
  - {given: [{a: 1}], renders: 7 documents, expect: fires}
  - {given: [], expect: ignored}
"""
    )
    assert [result.passed for result in check_examples(rule)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            'on: {schedule: "0 9 * * *", collection: a.b}\n' + DO,
            (
                "1:29: `collection` is about changes, and `schedule` about times: keep one of them; "
                "what it looks up is `query: {collection: …}`"
            ),
        ),
        (
            'on: {schedule: "0 9 * * *", operations: insert}\n' + DO,
            "1:29: `operations` is about changes, and `schedule` about times: keep one of them",
        ),
        (
            'on: {schedule: "0 9 * * *", dead_letters: true}\n' + DO,
            "1:29: `dead_letters` is about deaths, and `schedule` about times: keep one of them",
        ),
        (
            NINE + "when: amount > 1\n",
            (
                "3:1: `when` is about single events, and a schedule has none; "
                "write what the documents must be as `on.query.where`"
            ),
        ),
        (
            NINE + "fire: once\n",
            "3:1: `fire` is about single events, and a schedule has none; it fires at its times",
        ),
        (
            NINE + "count: {at_least: 2, within: 1h}\n",
            "3:1: `count` is about single events, and a schedule has none; it fires at its times",
        ),
        (
            NINE + "digest: {every: 1h}\n",
            (
                "3:1: `digest` is about single events, and a schedule has none; "
                "what its `query` finds is sent together"
            ),
        ),
        (
            NINE + "tests: [{given: [], before: {a: 1}, expect: fires}]\n",
            "3:21: a schedule is no change and has no `before`; leave it out",
        ),
        (
            "on: {collection: a.b, timezone: Asia/Seoul}\n" + DO,
            "1:23: `timezone` says more about `schedule`, which is not there",
        ),
        (
            "on: {collection: a.b, query: {collection: a.c}}\n" + DO,
            "1:23: `query` says more about `schedule`, which is not there",
        ),
        (
            'on: {schedule: "0 25 * * *"}\n' + DO,
            (
                "1:16: `0 25 * * *`: this is no cron expression (Bad hour): minute, hour, day of month, "
                "month, day of week (six fields begin with the second)"
            ),
        ),
        (
            'on: {schedule: "0 0 30 2 *"}\n' + DO,
            (
                "1:16: `0 0 30 2 *`: this is no cron expression (Bad day-of-month): minute, hour, day of "
                "month, month, day of week (six fields begin with the second)"
            ),
        ),
        (
            'on: {schedule: "0 9 * * *", timezone: Asia/Soul}\n' + DO,
            "1:39: `Asia/Soul`: this is no time zone of the IANA database; did you mean `Asia/Seoul`?",
        ),
        (
            'on: {schedule: "0 9 * * *", catch_up: lats}\n' + DO,
            "1:39: `lats` is not known here; did you mean `last`? (one of: none, last, all)",
        ),
        (looking_up("{where: a > 1}"), "3:3: `on.query.collection` is missing"),
        (
            looking_up("{collection: shop.*}"),
            "3:23: `shop.*`: a query reads one collection: write its name without `*`",
        ),
        (
            looking_up("{collection: a.b, where: amount >}"),
            "3:43: `where`: the condition ends too early (expected a value)",
        ),
        (
            looking_up("{collection: a.b, where: changed(status)}"),
            (
                "3:35: `where` is asked of the server, which cannot decide this "
                "(`changed(status)` asks about the change, not about a document); use `pipeline`"
            ),
        ),
        (
            looking_up('{collection: a.b, where: "before.a > 1"}'),
            (
                "3:35: `where` is asked of the server, which cannot decide this "
                "(`before` is not part of the document); use `pipeline`"
            ),
        ),
        (
            looking_up("{collection: a.b, sort: [-$amount]}"),
            "3:35: `-$amount`: a field is a dotted path, such as customer.address.city",
        ),
        (
            looking_up("{collection: a.b, where: a > 1, pipeline: [{$limit: 1}]}"),
            "3:28: `where` and `pipeline` cannot be combined: write it as a `$match` stage there",
        ),
        (
            looking_up("{collection: a.b, pipeline: [{$merge: {into: c}}]}"),
            "3:40: a query only reads: `$merge` is not possible here",
        ),
        (
            looking_up("{collection: a.b, pipeline: [{$facet: {x: [{$out: c}]}}]}"),
            "3:54: a query only reads: `$out` is not possible here",
        ),
        (looking_up("{collection: a.b, limit: 0}"), "3:35: `on.query.limit` must be 1 or more, not `0`"),
        (
            looking_up("{colection: a.b, collection: a.b}"),
            "3:11: unknown key `colection`; did you mean `collection`?",
        ),
    ],
)
def test_mistakes(folder: RulesFolder, text: str, mistake: str) -> None:
    """Each is told once, at its place, with what to do."""
    assert folder.mistakes_in(text) == [mistake]
