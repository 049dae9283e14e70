"""`mtrigger test`: the examples of rules, and what rules make of one event. No database, nothing sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.command import Finished, MtriggerCommand
from support.smtp_sink import SmtpSink

BIG_ORDER = """
name: big-order
on: {collection: shop.orders, operations: [insert, update]}
when: amount > 10000 and status == "paid"
do:
  - email:
      to: sales@example.com
      subject: "Big order {{ document.order_id }}"
      html: "<p>{{ document.customer }} pays {{ document.amount }}</p>"
"""


class Rules:
    """A rules folder and the command that tests it."""

    def __init__(self, command: MtriggerCommand, folder: Path) -> None:
        self.command = command
        self.folder = folder
        folder.mkdir()

    def write(self, text: str, name: str = "rule") -> None:
        """One more rule file."""
        (self.folder / f"{name}.yaml").write_text(text)

    def test(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Finished:
        """`mtrigger test`."""
        return self.command.run("test", "--rules", str(self.folder), *arguments, stdin=stdin, env=env)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The one document that `--json` prints."""
        return json.loads(self.test(*arguments, "--json", stdin=stdin).stdout)


@pytest.fixture
def rules(mtrigger_command: MtriggerCommand, tmp_path: Path) -> Rules:
    """A folder without rules yet."""
    return Rules(mtrigger_command, tmp_path / "triggers")


def test_examples_that_hold_pass_and_each_has_its_line(rules: Rules) -> None:
    """Every entry of `tests:` is told with its place; nothing failed, so exit 0."""
    rules.write(f"""{BIG_ORDER}
tests:
  - given: {{amount: 12000, status: paid}}
    expect: fires
  - given: {{amount: 12000, status: open}}
    expect: ignored
""")
    done = rules.test()
    assert done.code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["pass", "big-order"], ["pass", "big-order"]]
    assert "rule.yaml:12 " in lines[0]
    assert "2 examples: 2 passed, 0 failed" in done.stderr


def test_a_failed_example_tells_which_part_of_the_condition_held(rules: Rules) -> None:
    """The trace: each part with its verdict and what was seen; exit 1."""
    rules.write(f"{BIG_ORDER}tests: [{{given: {{amount: 9000, status: paid}}, expect: fires}}]\n")
    done = rules.test()
    assert done.code == 1
    assert "FAIL  big-order" in done.stdout
    assert "`fires` was expected" in done.stdout
    trace = [line.split() for line in done.stdout.splitlines()]
    assert any(line[:4] == ["no", "amount", ">", "10000"] and "9000" in " ".join(line) for line in trace)
    assert any(line[:4] == ["yes", "status", "==", '"paid"'] for line in trace)


def test_an_example_sees_changes_as_a_live_update_would(rules: Rules) -> None:
    """`changed`, `became` and `fields` are judged on what differs from `before`."""
    rules.write("""
on: {collection: "sho*.*", operations: update, fields: status}
when: became(status == "paid") and changed(status)
do: {log: x}
tests:
  - {operation: update, before: {status: open, n: 1}, given: {status: paid, n: 1}, expect: fires}
  - {operation: update, before: {status: paid, n: 1}, given: {status: paid, n: 2}, expect: ignored}
  - {operation: insert, given: {status: paid}, expect: ignored}
""")
    done = rules.test()
    assert done.code == 0, done.output
    assert len(done.stdout.splitlines()) == 3


def test_examples_may_hold_extended_json(rules: Rules) -> None:
    """A decimal in an example is a decimal for the condition."""
    rules.write("""
on: {collection: shop.orders}
when: amount > 10000
do: {log: x}
tests:
  - {given: {amount: {$numberDecimal: "10000.01"}}, expect: fires}
  - {given: {amount: "20000"}, expect: ignored}
""")
    assert rules.test().code == 0


def test_an_example_of_what_cannot_happen_is_a_mistake_with_its_place(rules: Rules) -> None:
    """An insert has nothing before it; the message says what to write. Bad rules exit with 64."""
    rules.write("on: {collection: a.b}\ndo: {log: x}\ntests: [{given: {}, before: {a: 1}, expect: fires}]\n")
    done = rules.test()
    assert done.code == 64
    assert "rule.yaml:3:" in done.stderr
    assert "operation: update" in done.stderr


def test_rules_without_examples_are_said_to_have_none(rules: Rules) -> None:
    """Nothing to fail: exit 0, and a sentence."""
    rules.write(BIG_ORDER)
    done = rules.test()
    assert (done.code, done.stdout) == (0, "")
    assert "nothing to test" in done.stderr


def test_only_the_named_rules_are_tested(rules: Rules) -> None:
    """A name that is none is a usage error with the one that was meant."""
    rules.write(f"{BIG_ORDER}tests: [{{given: {{}}, expect: fires}}]\n")
    rules.write("on: {collection: a.b}\ndo: {log: x}\ntests: [{given: {}, expect: fires}]\n", "every")
    assert rules.test().code == 1
    assert rules.test("every").code == 0
    done = rules.test("big-ordr")
    assert done.code == 2
    assert "did you mean big-order?" in done.stderr


def test_json_tells_the_examples_in_one_document(rules: Rules) -> None:
    """Verdict, demands and trace of each example."""
    rules.write(f"{BIG_ORDER}tests: [{{given: {{amount: 1}}, expect: fires}}]\n")
    found = rules.json()
    assert (found["passed"], found["failed"]) == (0, 1)
    (example,) = found["examples"]
    assert (example["passed"], example["fires"], example["wanted"]) == (False, False, True)
    assert {demand["name"] for demand in example["demands"]} == {"collection", "operations"}
    assert example["trace"]["held"] is False
    assert [part["held"] for part in example["trace"]["parts"]] == [False, False]


def test_a_document_shows_the_mail_that_would_be_sent_and_sends_none(
    rules: Rules, smtp_sink: SmtpSink
) -> None:
    """To, Subject, HTML and text, rendered as live; the mail server hears nothing."""
    rules.write(BIG_ORDER)
    document = (
        '{"order_id": "SO-1", "customer": "<Acme>", "amount": {"$numberLong": "12000"}, "status": "paid"}'
    )
    settings = {"MTRIGGER_SMTP_URL": smtp_sink.url, "MTRIGGER_MAIL_FROM": "shop@example.com"}
    done = rules.test("--document", document, env=settings)
    assert done.code == 0, done.output
    assert "big-order: fires" in done.stdout
    assert "To: sales@example.com" in done.stdout
    assert "From: shop@example.com" in done.stdout
    assert "Subject: Big order SO-1" in done.stdout
    assert "&lt;Acme&gt; pays 12000" in done.stdout
    assert "<Acme> pays 12000" in done.stdout
    assert smtp_sink.connections == 0


def test_a_document_that_is_not_wanted_is_told_why(rules: Rules) -> None:
    """The operation, the collection or the fields: each in the rule's words and the event's."""
    rules.write(BIG_ORDER)
    done = rules.test("--document", '{"amount": 12000}', "--operation", "delete")
    assert done.code == 0
    assert "big-order: not wanted" in done.stdout
    assert "operations: insert, update, replace (this event has delete)" in done.stdout
    done = rules.test("--document", "{}", "--collection", "shop.invoices")
    assert "collection: shop.orders (this event has shop.invoices)" in done.stdout


def test_a_mail_that_cannot_be_rendered_fails_the_test(rules: Rules) -> None:
    """The reason instead of the preview; exit 1."""
    rules.write(BIG_ORDER)
    done = rules.test("--document", '{"amount": 12000, "status": "paid", "customer": "Acme"}')
    assert done.code == 1
    assert "email would fail" in done.stdout
    assert "order_id" in done.stdout


def test_events_from_a_change_stream_are_judged_as_they_are(rules: Rules) -> None:
    """A list of events from a file or standard input, each with each rule."""
    rules.write(BIG_ORDER)
    rules.write(
        "on: {collection: shop.*, operations: delete}\ndo: {log: 'gone {{ document._id }}'}\n", "gone"
    )
    order = {"_id": 7, "order_id": "SO-7", "customer": "A", "amount": 12000, "status": "paid"}
    events = [
        {
            "_id": {"_data": "8265A0000000000001"},
            "operationType": "insert",
            "clusterTime": {"$timestamp": {"t": 1705000000, "i": 1}},
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": 7},
            "fullDocument": order,
        },
        {
            "operationType": "delete",
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": 7},
        },
    ]
    found = rules.json("--event", "-", stdin=json.dumps(events))
    fired = [[rule["rule"] for rule in event["rules"] if rule["fires"]] for event in found["events"]]
    assert fired == [["big-order"], ["gone"]]
    (line,) = next(rule for rule in found["events"][1]["rules"] if rule["fires"])["actions"]
    assert line["summary"] == "log: gone 7"
    file = rules.folder.parent / "event.json"
    file.write_text(json.dumps(events[0]))
    assert "big-order: fires" in rules.test("--event", str(file)).stdout


def test_an_update_without_a_document_is_judged_on_what_it_set(rules: Rules) -> None:
    """Only the key and the fields set are known, and it says so."""
    rules.write(BIG_ORDER)
    event = {
        "operationType": "update",
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": 7},
        "updateDescription": {"updatedFields": {"amount": 20000}, "removedFields": []},
    }
    done = rules.test("--event", "-", stdin=json.dumps(event))
    assert done.code == 0, done.output
    assert "carries no document" in done.stderr
    assert "big-order: ignored" in done.stdout
    assert "20000" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--document", "{amount: 1}"], 2, "not Extended JSON"),
        (["--document", "[1]"], 2, "a document is expected"),
        (["--document", "{}", "--before", "{}", "--operation", "insert"], 2, "no document before it"),
        (["--before", "{}"], 2, "--document"),
        (["--document", "{}", "--event", "-"], 2, "pass one of --event, --document"),
        (["--document", "{}", "--collection", "orders"], 2, "database.collection"),
        (["--event", "nowhere.json"], 2, "does not exist"),
        (["--event", "-"], 64, "not Extended JSON"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(
    rules: Rules, arguments: list[str], code: int, said: str
) -> None:
    """No traceback, and the option that is meant."""
    rules.write(BIG_ORDER)
    done = rules.test(*arguments)
    assert done.code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("[]", "empty"),
        ('{"ns": {"db": "a", "coll": "b"}}', "event 1: it has no `operationType`"),
        ('[{"operationType": "insert"}]', "event 1: it has no `ns`"),
        ('{"operationType": "insert", "ns": {"db": "a", "coll": "b"}, "fullDocument": 5}', "`fullDocument`"),
        ('{"operationType": "update", "ns": {"db": "a", "coll": "b"}, "_id": "x"}', "cannot be read"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_an_event_that_is_none_is_refused_with_its_number(rules: Rules, event: str, said: str) -> None:
    """What is missing, in words of the event."""
    rules.write(BIG_ORDER)
    done = rules.test("--event", "-", stdin=event)
    assert done.code == 64, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_document_cannot_steer_the_terminal(rules: Rules) -> None:
    """Control characters and reversed writing come out as escapes."""
    rules.write("on: {collection: a.b}\nwhen: exists(name)\ndo: {log: 'hello {{ document.name }}'}\n")
    done = rules.test("--document", json.dumps({"name": "\x1b[2J\x9b31m\u202egnp.exe"}))
    assert done.code == 0, done.output
    assert "hello" in done.stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(done.output)


def test_a_rule_that_is_not_enabled_still_has_its_examples_checked(rules: Rules) -> None:
    """What the rule says is tested; an event is told that the rule is off."""
    rules.write("on: {collection: a.b}\nenabled: false\ndo: {log: x}\ntests: [{given: {}, expect: fires}]\n")
    assert rules.test().code == 0
    done = rules.test("--document", "{}")
    assert "rule: not wanted" in done.stdout
    assert "the rule is not enabled" in done.stdout
