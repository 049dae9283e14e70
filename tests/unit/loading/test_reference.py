"""docs/rule-reference.md and triggers.schema.json are made from the models, and are up to date."""

import re
from pathlib import Path

import pytest

from mtrigger import actions
from mtrigger.loading.models import Defaults, RuleFile
from mtrigger.loading.reference import reference
from mtrigger.loading.validation import keys_of
from support.command import MtriggerCommand

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("file", "arguments"),
    [("docs/rule-reference.md", ("--format", "markdown")), ("triggers.schema.json", ())],
    ids=["page", "schema"],
)
def test_what_is_made_from_the_models_is_up_to_date(
    mtrigger_command: MtriggerCommand, file: str, arguments: tuple[str, ...]
) -> None:
    """The page for people, and the schema that this project's own rules name."""
    printed = mtrigger_command.run("schema", *arguments).stdout
    assert printed
    is_up_to_date = (PROJECT / file).read_text(encoding="utf-8") == printed
    assert is_up_to_date, f"{file} is out of date: run `make reference` and commit what it writes"


def test_every_key_has_a_row_in_its_section() -> None:
    """Those of rules, of defaults and of every kind of action that is built in."""
    sections = re.split(r"^##+ ", reference(), flags=re.MULTILINE)
    rows = {part.partition("\n")[0]: re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) for part in sections}
    assert set(rows["A rule"]) == set(keys_of(RuleFile))
    assert set(rows["`_defaults.yaml`"]) == set(keys_of(Defaults))
    for name in actions.BUILT_IN:
        assert set(rows[f"`{name}`"]) == set(keys_of(actions.kind(name).config))
    assert {"`on.query`", "`loop_guard.per_document`", "`email.attachments`"} <= set(rows)


def test_a_row_says_type_default_purpose_and_an_example() -> None:
    """As a person would write them."""
    page = reference()
    assert "| `first_delay` | duration | `1s` | Upper bound of the first wait. |" in page
    assert (
        "| `operations` | `insert`, `update`, `replace` or `delete`, or a list of them | `[insert, update]` |"
        in page
    )
    (row,) = re.findall(r"^\| `schedule` .+$", page, re.MULTILINE)
    assert row.startswith("| `schedule` | cron expression |  | ")
    assert row.endswith(" For example `0 9 * * mon-fri`. |")
    assert "| `do` | [action](#actions) or a list of them | needed |" in page
    assert "| `attachments` | list of [mappings](#emailattachments) |" in page
    assert "\nA text alone is its `message`.\n" in page


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    """As the headings are called in links: small letters, digits, `_` and `-`."""
    page = reference()
    headings = re.findall(r"^##+ (.+)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    anchors = {re.sub(r"[^a-z0-9_-]", "", heading.lower().replace(" ", "-")) for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert len(links) > 10
    assert links <= anchors


def test_every_row_has_four_cells() -> None:
    """A `|` within a cell does not begin another one."""
    rows = [line for line in reference().splitlines() if line.startswith("|")]
    assert any(r"\|" in row for row in rows)
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row


def test_the_page_is_about_everything_or_nothing(mtrigger_command: MtriggerCommand) -> None:
    """Options that would not change it are refused, as are those that exclude each other."""
    for arguments in (
        ("--format", "markdown", "--defaults"),
        ("--format", "markdown", "--rules", "."),
        ("--defaults", "--rules", "."),
    ):
        done = mtrigger_command.run("schema", *arguments)
        assert done.code == 2
        assert "leave" in done.stderr
