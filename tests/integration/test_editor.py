"""Rule files in an editor: what is wrong is underlined where it stands, and what is possible is offered.

A real YAML language server is asked, over the protocol that editors use, with the schemas of the installed
command.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.command import MtriggerCommand
from support.language_server import Editor, server_or_skip
from support.rules_folder import SMALLEST

PROJECT = Path(__file__).parents[2]
OURS = sorted((PROJECT / "triggers").rglob("*.yaml"))
MODELINE = "# yaml-language-server: $schema={}\n"
HERE = "‸"
"""Where the cursor stands."""

ON = "on: {collection: shop.orders}\n"
DO = "do: [{log: x}]\n"

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schemas of the installed command: of rules, of defaults, and of a folder's rules."""
    folder = tmp_path_factory.mktemp("editor")
    command = MtriggerCommand(folder)
    (folder / "triggers").mkdir()
    (folder / "triggers" / "_defaults.yaml").write_text(
        "on: {collection: shop.orders}\nchannels: {sales: {email: {to: sales@example.com, subject: Order}}}\n"
    )
    for name, arguments in {
        "triggers": (),
        "defaults": ("--defaults",),
        "shop": ("--rules", "triggers"),
    }.items():
        done = command.run("schema", *arguments)
        assert done.code == 0, done.stderr
        (folder / f"{name}.schema.json").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def editor(folder: Path) -> Iterator[Editor]:
    """One editor for all tests here."""
    with Editor(server_or_skip(), folder) as editor:
        yield editor


@pytest.fixture(scope="module")
def write(folder: Path) -> Write:
    """Writes a rule file that names its schema in its first line."""
    numbers = itertools.count(1)

    def write(text: str, schema: str = "triggers") -> Path:
        file = folder / "triggers" / f"rule-{next(numbers)}.yaml"
        file.write_text(MODELINE.format(f"../{schema}.schema.json") + text, encoding="utf-8")
        return file

    return write


def offered(editor: Editor, write: Write, text: str, schema: str = "triggers") -> list[str]:
    """What the editor offers where the cursor stands in `text`."""
    before, after = text.split(HERE)
    column = len(before.rpartition("\n")[2]) + 1
    return editor.offered(write(before + after, schema), before.count("\n") + 2, column)


@pytest.mark.parametrize(
    ("text", "word", "line", "column"),
    [
        (
            ON + "do:\n  - email:\n      to: a@example.com\n      subject: x\n      subjct: y\n",
            "subjct",
            7,
            7,
        ),
        (ON + "do:\n  - log: x\n  - emial: {to: a@example.com, subject: x}\n", "emial", 5, 5),
        (ON + "do: {emial: {to: a@example.com}}\n", "emial", 3, 6),
        (ON + "thorttle: {every: 1h}\n" + DO, "thorttle", 3, 1),
        (ON + "throttle: {every: 1h, pre: customer}\n" + DO, "pre", 3, 23),
        (ON + "throttle: {every: 3600}\n" + DO, "3600", 3, 19),
        (ON + "throttle: {every: 1 hour}\n" + DO, "1 hour", 3, 19),
        (ON + "fire: onec\n" + DO, "onec", 3, 7),
        (ON + "retry: {attempts: 0}\n" + DO, "0", 3, 19),
        ("on: {collection: shop.orders, schedule: 0 9 * * *}\n" + DO, "{", 2, 5),
        ("on:\n  collections: shop.orders\n  collection: shop.orders\n" + DO, "collections", 3, 3),
        (ON + DO + "resolved:\n  - lgo: x\n", "lgo", 5, 5),
        (ON + DO + "tests: [{given: {a: 1}, expect: fire}]\n", "fire", 4, 33),
        (ON + DO + "when: [a > 1]\n", "[a > 1]", 4, 7),
        (ON + "do:\n  - webhook: {}\n", "webhook", 4, 5),
        (ON + "do:\n  - sales: {}\n", "sales", 4, 5),
    ],
)
def test_a_mistake_is_underlined_where_it_stands(
    editor: Editor, write: Write, text: str, word: str, line: int, column: int
) -> None:
    """Only there. The first line of a file names the schema."""
    found = editor.underlined(write(text))
    assert [(mark.text, mark.line, mark.column) for mark in found] == [(word, line, column)], found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HERE + "\n", {"name", "on", "when", "do", "throttle", "tests"}),
        (ON + f"do:\n  - {HERE}\n", {"email", "webhook", "slack", "teams", "function", "command", "log"}),
        (ON + f"do:\n  - email:\n      {HERE}\n", {"to", "subject", "template", "attachments"}),
        (ON + DO + f"resolved:\n  - {HERE}\n", {"email", "webhook"}),
        (ON + f"throttle:\n  {HERE}\n" + DO, {"every", "per"}),
        (ON + f"fire: {HERE}\n" + DO, {"always", "once", "entering"}),
        (f"on:\n  {HERE}\n" + DO, {"collection", "dead_letters", "schedule"}),
        (ON + DO + f"tests:\n  - {HERE}\n", {"given", "expect"}),
    ],
)
def test_what_is_possible_is_offered(editor: Editor, write: Write, text: str, wanted: set[str]) -> None:
    """Where the cursor stands: keys, kinds of actions, words to choose from."""
    assert wanted <= set(offered(editor, write, text))


def test_only_what_is_possible_is_offered(editor: Editor, write: Write) -> None:
    """Settings of one kind are not offered for another, nor what is there already."""
    settings = offered(editor, write, ON + f"do:\n  - email:\n      to: a@example.com\n      {HERE}\n")
    assert not {"to", "url", "every"} & set(settings)


def test_what_a_key_is_for_is_told(editor: Editor, write: Write) -> None:
    """When the mouse rests on it."""
    file = write(ON + "throttle: {every: 1h}\n" + DO)
    assert "At most one successful send in a time" in editor.hover(file, 3, 3)
    assert "After a successful send, the next ones are left out for so long" in editor.hover(file, 3, 14)


@pytest.mark.parametrize("rule", OURS, ids=lambda path: path.name)
def test_our_own_rules_are_without_a_mark(editor: Editor, write: Write, rule: Path) -> None:
    """And with one as soon as something is wrong with them."""
    text = rule.read_text(encoding="utf-8")
    assert editor.underlined(write(text)) == []
    (mark,) = editor.underlined(write(text + "\nthorttle: {every: 1h}\n"))
    assert mark.text == "thorttle"


def test_there_are_rules_of_our_own() -> None:
    """Else the test above holds for nothing."""
    assert OURS


def test_the_first_rule_finds_its_schema(mtrigger_command: MtriggerCommand) -> None:
    """`mtrigger init` writes both: the rule names the file, and the file is what `mtrigger schema` prints."""
    assert mtrigger_command.run("init").code == 0
    folder = mtrigger_command.folder
    printed = mtrigger_command.run("schema").stdout
    assert (folder / "triggers.schema.json").read_text(encoding="utf-8") == printed
    rule = folder / "triggers" / "big-order.yaml"
    with Editor(server_or_skip(), folder) as editor:
        assert editor.underlined(rule) == []
        wrong = rule.with_name("wrong.yaml")
        wrong.write_text(rule.read_text(encoding="utf-8").replace("subject:", "subjct:"), encoding="utf-8")
        assert {mark.text for mark in editor.underlined(wrong)} == {"subjct", "email"}


@pytest.mark.parametrize(
    "rule",
    [
        ON + DO,
        ON + "do: {log: {message: x}}\nfire: ${FIRE}\nretry:\n  attempts: ${ATTEMPTS}\n",
        ON + "do:\n  - function: alerts:notify\n  - command: [./notify.sh, x]\nresolved: {log: over}\n",
        "on: {schedule: 0 9 * * *, timezone: Asia/Seoul, query: {collection: shop.orders, where: {a: 1}}}\n"
        + DO,
        "on: {dead_letters: true, rules: big-order}\nwhen: {attempts: {$gt: 3}}\n" + DO,
        ON + "throttle: {every: 1h, per: [a, b.c]}\nactive: {days: mon-fri}\n" + DO,
        ON + "throttle: null\nloop_guard: {per_document: {at_most: 5}}\nmax_age: 1.5h\n" + DO,
        ON + "digest: {cron: 0 9 * * mon-fri, per: region, sums: amount}\n" + DO,
        ON + "do: [{webhook: {url: http://a, body: [1, {a: b}], retry_on: [404], secret: [a, b]}}]\n",
        ON + DO + "tests: [{given: [{a: 1}, {a: 2}], apart: 1m, expect: suppressed, renders: x}]\n",
    ],
)
def test_what_is_right_is_not_marked(editor: Editor, write: Write, rule: str) -> None:
    """Short forms, words from outside, every kind of source."""
    assert editor.underlined(write(rule)) == []


def test_the_channels_of_a_folder_are_known_there(editor: Editor, write: Write) -> None:
    """With settings, without, and by their names alone; what the defaults give is not asked for again."""
    rule = "when: amount > 1\ndo:\n  - sales: {text: x}\n  - sales:\n  - sales\n"
    assert editor.underlined(write(rule, "shop")) == []
    (mark,) = editor.underlined(write("do:\n  - slaes: {text: x}\n", "shop"))
    assert (mark.text, mark.line, mark.column) == ("slaes", 3, 5)
    (mark,) = editor.underlined(write("do:\n  - sales: {txt: x}\n", "shop"))
    assert (mark.text, mark.line, mark.column) == ("txt", 3, 13)
    assert {"sales", "email"} <= set(offered(editor, write, f"do:\n  - {HERE}\n", "shop"))
    assert {"to", "text"} <= set(offered(editor, write, f"do:\n  - sales:\n      {HERE}\n", "shop"))


def test_the_defaults_of_a_folder_have_a_schema_of_their_own(editor: Editor, write: Write) -> None:
    """Settings may be there in part; what belongs to one rule may not."""
    text = "actions: {email: {from: a@example.com}}\nchannels: {sales: {log: {level: info}}}\n"
    assert editor.underlined(write(text, "defaults")) == []
    for wrong, word in {
        "when: a > 1\n": "when",
        "actions: {email: {form: a@example.com}}\n": "form",
        "actions: {sales: {}}\n": "sales",
        "channels: {sales: {emial: {}}}\n": "emial",
    }.items():
        (mark,) = editor.underlined(write(wrong, "defaults"))
        assert mark.text == word
    assert {"email", "log"} <= set(offered(editor, write, f"actions:\n  {HERE}\n", "defaults"))


def test_the_examples_of_the_documentation_are_not_marked(
    editor: Editor, mtrigger_command: MtriggerCommand
) -> None:
    """What the loader takes, an editor does not mark."""
    page = (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8")
    folder = mtrigger_command.folder
    rules = {}
    for number, example in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)):
        file = folder / "triggers" / str(number) / "rule.yaml"
        file.parent.mkdir(parents=True)
        if "_defaults.yaml" in example:
            file.with_name("_defaults.yaml").write_text(example, encoding="utf-8")
            continue
        text = "do:\n" + example if example.startswith("- ") else example
        missing = (
            line for line in SMALLEST.splitlines() if not re.search(f"^{line[:3]}", text, re.MULTILINE)
        )
        rules[file] = MODELINE.format("../../triggers.schema.json") + "\n".join([text, *missing])
    schema = mtrigger_command.run("schema", "--rules", "triggers").stdout
    (folder / "triggers.schema.json").write_text(schema, encoding="utf-8")
    assert len(rules) > 20
    for file, text in rules.items():
        file.write_text(text, encoding="utf-8")
        assert editor.underlined(file) == [], text
