"""A mistake in a rule is told in words for people, at its line and column, with what to do."""

import pytest

from mtrigger import actions
from mtrigger.loading.models import RuleFile
from support.rules_folder import SMALLEST, RulesFolder

ON = "on: {collection: a.b}\n"
DO = "do: [{log: x}]\n"
ALL_KINDS = ", ".join(actions.KINDS)
LOG = "on: {collection: a.b}\ndo:\n  - log: "


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (DO, "1:1: `on` is missing"),
        (ON, "1:1: `do` is missing"),
        ("on: {operations: [insert]}\n" + DO, "1:1: `on.collection` is missing"),
        ("on:\n" + DO, "1:4: `on` must be a mapping (`key: value` lines) (it is empty)"),
        (ON + DO + "whn: a > 1\n", "3:1: unknown key `whn`; did you mean `when`?"),
        (
            ON + DO + "xyzzy: {every: 1h}\n",
            f"3:1: unknown key `xyzzy`; the keys here are: {', '.join(RuleFile.model_fields)}",
        ),
        ("on: {collection: a.b, feilds: [x]}\n" + DO, "1:23: unknown key `feilds`; did you mean `fields`?"),
        (ON + DO + "description: 5\n", "3:14: `description` must be text; put it in quotes (it is `5`)"),
        (ON + DO + "enabled: NO\n", "3:10: `enabled` must be true or false, without quotes (it is `NO`)"),
        (
            ON + DO + "ordering: documents\n",
            "3:11: `documents` is not known here; did you mean `document`? (one of: document, rule, none)",
        ),
        (
            ON + DO + "name: big order\n",
            "3:7: `big order`: a rule's name is 1 to 100 letters, digits, `.`, `_` or `-`, without spaces",
        ),
        (
            "on: {collection: orders}\n" + DO,
            "1:18: `orders`: write it as database.collection (a whole database: database.*)",
        ),
        (
            "on: {collection: [a.b, .c]}\n" + DO,
            "1:24: `.c`: the part before the first dot is no database name",
        ),
        (
            "on: {collection: a.$cmd}\n" + DO,
            "1:18: `a.$cmd`: the part after the first dot is no collection name",
        ),
        ("on: {collection: a.}\n" + DO, "1:18: `a.`: the part after the first dot is no collection name"),
        (
            "on: {collection: local.*}\n" + DO,
            "1:18: `local.*`: MongoDB has no change streams for the databases admin, config and local",
        ),
        ("on: {collection: []}\n" + DO, "1:18: `on.collection`: this list is empty"),
        (
            "on: {collection: a.b, operations: [insert, udpate]}\n" + DO,
            (
                "1:44: `udpate` is not known here; did you mean `update`? (one of: insert, update, "
                "replace, delete)"
            ),
        ),
        (
            "on: {collection: a.b, fields: [$.x]}\n" + DO,
            "1:32: `$.x`: a field is a dotted path, such as customer.address.city",
        ),
        (ON + DO + "retry: {attempts: 0}\n", "3:19: `retry.attempts` must be 1 or more, not `0`"),
        (ON + DO + "concurrency: 0\n", "3:14: `concurrency` must be 1 or more, not `0`"),
        (
            ON + DO + "concurrency: many\n",
            "3:14: `concurrency` must be a whole number, without quotes (it is `many`)",
        ),
        (
            ON + "do: [{log: {message: x, concurrency: 1.5}}]\n",
            "2:38: `do[0].log.concurrency` must be a whole number, without quotes (it is `1.5`)",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', concurrency: 500}}]\n",
            "2:47: one host gets 200 requests at the same time at most; write 200 or less",
        ),
        (
            ON + "do: [{function: {function: 'os:getcwd', concurrency: 500}}]\n",
            (
                "2:54: functions that are a plain `def` have 32 threads together; "
                "write 32 or less, or make it an `async def`"
            ),
        ),
        (
            ON + DO + "retry: {attempts: 2.5}\n",
            "3:19: `retry.attempts` must be a whole number, without quotes (it is `2.5`)",
        ),
        (
            ON + DO + "retry: {max_age: 30}\n",
            "3:18: `30`: a duration is a number and its unit: 500ms, 30s, 5m, 2h or 7d",
        ),
        (ON + DO + "retry: {max_age: 0s}\n", "3:18: `0s`: must be longer than nothing"),
        (ON + DO + "retry: {max_age: 9999d}\n", "3:18: `9999d`: a duration may be 3650d at most"),
        (
            ON + DO + "retry: {first_delay: 2h}\n",
            "3:8: `retry`: first_delay is longer than max_delay (1h); change one",
        ),
        (
            ON + DO + "when: true\n",
            (
                "3:7: `when` is an expression (amount > 10000) or a MongoDB filter, not `true`; "
                "without it every event counts"
            ),
        ),
        (
            ON + DO + "when:\n",
            (
                "3:6: `when` is an expression (amount > 10000) or a MongoDB filter, not empty; "
                "without it every event counts"
            ),
        ),
        (ON + "do: log\n", "2:5: `do` is a list of actions: `- log: a line`, `- email: {…}`"),
        (ON + "do: []\n", "2:5: `do` is empty: a rule needs an action"),
        (
            ON + "do: [log]\n",
            f"2:6: an action is `kind: settings` (kinds: {ALL_KINDS}), not `log`",
        ),
        (
            ON + "do: [{}]\n",
            f"2:6: `do[0]` must name one action, not none; it is one of: {ALL_KINDS}",
        ),
        (
            ON + "do:\n  - log:\n    message: x\n",
            "3:5: `do[0]` must name one action, not `log`, `message`; indent the settings under `log:`",
        ),
        (
            ON + "do: {log: x, webhook: y}\n",
            "2:5: `do` must name one action, not `log`, `webhook`; give each its own `- ` line",
        ),
        (ON + "do: [{wehbook: x}]\n", "2:7: there is no action `wehbook`; did you mean `webhook`?"),
        (
            ON + "do: [{webhook: 'http://a'}]\n",
            "2:16: `webhook` takes settings (`key: value` lines), not `http://a`",
        ),
        (
            ON + "do: [{log: 5}]\n",
            "2:12: `log` takes settings (`key: value` lines) or a text (its `message`), not `5`",
        ),
        (ON + "do: [{log: {level: info}}]\n", "2:7: `do[0].log.message` is missing"),
        (ON + "do: [{log: {message: x, levle: info}}]\n", "2:25: unknown key `levle`; did you mean `level`?"),
        (
            ON + "do: [{log: {message: x, level: loud}}]\n",
            "2:32: `loud` is not known here; it must be one of: debug, info, warning, error",
        ),
        (LOG + "'{{ docment.x }}'\n", "3:11: there is no 'docment' here; did you mean 'document'?"),
        (
            ON + "do: [{webhook: {url: 'ftp://a'}}]\n",
            "2:22: the address must be http://host/… or https://host/…",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', headers: {a b: x}}}]\n",
            "2:49: `a b` cannot be the name of a header",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', headers: {a: \"x\\ny\"}}}]\n",
            "2:47: a header cannot hold line breaks or control characters",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', body: {x: [1, '{{ a']}}}]\n",
            "2:49: unexpected end of template, expected 'end of print statement'",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', secret: whsec_é}}]\n",
            "2:42: what follows whsec_ is not base64",
        ),
        (
            ON + "do: [{webhook: {url: 'http://a', timeout: 5}}]\n",
            "2:43: `5`: a duration is a number and its unit: 500ms, 30s, 5m, 2h or 7d",
        ),
        (ON + "do: [{function: notify}]\n", "2:17: `notify`: a function is written as package.module:name"),
        (
            ON + DO + "tests: [{given: {a: 1}, expect: fire}]\n",
            (
                "3:33: `fire` is not known here; did you mean `fires`? "
                "(one of: fires, ignored, suppressed, held, resolves)"
            ),
        ),
        (ON + DO + "tests: [{expect: fires}]\n", "3:9: `tests[0].given` is missing"),
        (
            ON + DO + "tests: [{given: {a: 1}, before: {a: 2}, expect: fires}]\n",
            "3:25: an insert has no document before it: leave `before` out, or say `operation: update`",
        ),
        (
            ON + DO + "tests: [{given: [], expect: fires}]\n",
            "3:10: nothing happens here: write one document at least",
        ),
        (
            ON + DO + "tests: [{given: [{}, {}], times: 50001, expect: fires}]\n",
            "3:27: an example is 100,000 changes long at most",
        ),
        ("- a\n- b\n", "1:1: `key: value` lines are expected here (name, on, when, do …)"),
        ("# nothing\n", "1:1: the file holds no rule"),
        ("", "1:1: the file holds no rule"),
    ],
)
def test_a_mistake_says_where_what_and_what_to_do(folder: RulesFolder, text: str, mistake: str) -> None:
    """Exactly one message, with its place."""
    assert folder.mistakes_in(text) == [mistake]


@pytest.mark.parametrize(
    ("when", "line", "column"),
    [
        ("amount = 5", 3, 14),
        ("'amount = 5'", 3, 15),
        ('"amount = 5"', 3, 15),
        ('"\\"x\\" == a and amount = 5"', 3, 30),
        ("|\n  a > 1 and\n    amount = 5", 5, 12),
        (">-\n  a > 1 and\n  amount = 5", 5, 10),
        ("a > 1 and\n  amount = 5", 4, 10),
    ],
)
def test_a_mistake_inside_a_condition_is_at_its_own_line_and_column(
    folder: RulesFolder, when: str, line: int, column: int
) -> None:
    """Within the YAML file, however the expression is quoted or folded."""
    (mistake,) = folder.mistakes_in(f"{SMALLEST}when: {when}\n")
    assert mistake.startswith(f"{line}:{column}: `when`: ")


def test_a_mistake_in_a_filter_is_at_the_key_it_names(folder: RulesFolder) -> None:
    """What cannot be evaluated is pointed at."""
    (mistake,) = folder.mistakes_in(f"{SMALLEST}when:\n  a: 1\n  $or:\n    - b: 2\n    - $where: x\n")
    assert mistake.startswith("7:7: ")
    assert "$where" in mistake


def test_a_condition_of_the_wrong_form_does_not_hide_other_mistakes(folder: RulesFolder) -> None:
    """All mistakes of a file come at once, whichever part finds them."""
    mistakes = folder.mistakes_in(
        "on: {collection: a}\nwhen: a = 1\ndo: [{log: '{{ x }}'}]\nretry: {attempts: -1}\n"
    )
    assert [mistake.split(":")[0] for mistake in mistakes] == ["1", "2", "3", "4"]


def test_a_line_of_a_template_is_found_in_its_block(folder: RulesFolder) -> None:
    """The third line of the block, not the first of the text."""
    (mistake,) = folder.mistakes_in(LOG + "|\n      one\n      two\n      {{ nothing }}\n")
    assert mistake.startswith("6:7: there is no 'nothing' here")


def test_a_file_that_is_not_utf_8_is_a_mistake(folder: RulesFolder) -> None:
    """With the place of the first wrong byte. A byte order mark does no harm."""
    folder.write("a.yaml", b"name: a\ndescription: caf\xe9\n")
    folder.write("b.yaml", b"\xef\xbb\xbf" + SMALLEST.encode())
    assert folder.mistakes() == ["a.yaml:2:17: the file is not UTF-8 text; save it as UTF-8"]


def test_a_file_whose_name_cannot_name_a_rule_asks_for_a_name(folder: RulesFolder) -> None:
    """`name:` is the way out."""
    folder.write("big order.yaml", SMALLEST)
    (mistake,) = folder.mistakes()
    assert mistake.startswith("big order.yaml:1:1: the file's name cannot name the rule")
    folder.write("big order.yaml", SMALLEST + "name: big-order\n")
    assert [rule.name for rule in folder.load().rules] == ["big-order"]


@pytest.mark.parametrize("given", ["{a: {$oid: xyz}}", "{a: {$numberDecimal: many}}", "{a: {$date: soon}}"])
def test_wrong_extended_json_in_a_test_is_a_mistake(folder: RulesFolder, given: str) -> None:
    """At the document it stands in."""
    (mistake,) = folder.mistakes_in(f"{SMALLEST}tests:\n  - given: {given}\n    expect: fires\n")
    assert mistake.startswith("4:12: this is not Extended JSON: ")


def test_a_template_file_that_is_not_there_is_named(folder: RulesFolder) -> None:
    """With the nearest one there is."""
    (folder.directory / "templates").mkdir()
    (folder.directory / "templates" / "order.html.j2").write_text("x")
    text = ON + "do:\n  - email: {to: a@example.com, subject: x, template: ordr.html.j2}\n"
    (mistake,) = folder.mistakes_in(text)
    assert mistake.startswith("3:54: ")
    assert "order.html.j2" in mistake


def test_a_mistake_in_a_template_file_is_reported_in_that_file(folder: RulesFolder) -> None:
    """With its own line."""
    templates = folder.directory / "templates"
    templates.mkdir()
    (templates / "order.html.j2").write_text("<p>\n{{ document. }}\n</p>")
    text = ON + "do:\n  - email: {to: a@example.com, subject: x, template: order.html.j2}\n"
    (mistake,) = folder.mistakes_in(text)
    assert mistake.startswith(f"{templates}/order.html.j2:2:1: ")
