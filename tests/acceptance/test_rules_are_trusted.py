"""`mtrigger test`: what a rule does over several changes, what its mail holds, and a report for CI."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.command import Finished, MtriggerCommand

FAILED_LOGINS = """\
name: many-failed-logins
on: {collection: app.logins, operations: [insert]}
when: ok == false
count: {at_least: 5, within: 10m, per: user}
do:
  - log: "{{ count }} failed logins of {{ document.user }}"
"""


class Rules:
    """A rules folder with templates, and the command that tests it."""

    def __init__(self, command: MtriggerCommand, root: Path) -> None:
        self.command = command
        self.root = root
        (root / "triggers").mkdir()
        (root / "templates").mkdir()

    def write(self, text: str, name: str = "rule") -> None:
        """One more rule file."""
        (self.root / "triggers" / f"{name}.yaml").write_text(text)

    def test(self, *arguments: str) -> Finished:
        """`mtrigger test`."""
        return self.command.run("test", "--rules", str(self.root / "triggers"), *arguments)

    def came(self, text: str) -> list[str]:
        """What each example of a rule came to."""
        self.write(text)
        examples = json.loads(self.test("--json").stdout)["examples"]
        return [example["came"] for example in examples]


@pytest.fixture
def rules(mtrigger_command: MtriggerCommand, tmp_path: Path) -> Rules:
    """A folder without rules yet."""
    return Rules(mtrigger_command, tmp_path)


def test_changes_are_counted_as_live(rules: Rules) -> None:
    """`times` and lists of documents: the last change is the one that is judged."""
    came = rules.came(
        FAILED_LOGINS
        + """\
tests:
  - {given: {user: ann, ok: false}, expect: suppressed}
  - {given: {user: ann, ok: false}, times: 4, expect: suppressed}
  - {given: {user: ann, ok: false}, times: 5, expect: fires}
  - {given: {user: ann, ok: false}, times: 6, expect: suppressed}
  - {given: {user: ann, ok: false}, times: 5, apart: 3m, expect: suppressed}
  - given: [{user: ann, ok: false}, {user: bob, ok: false}, {user: ann, ok: false}]
    times: 2
    expect: suppressed
  - {given: {user: ann, ok: true}, times: 5, expect: ignored}
"""
    )
    assert came == ["suppressed", "suppressed", "fires", "suppressed", "suppressed", "suppressed", "ignored"]


def test_why_something_is_suppressed_is_told(rules: Rules) -> None:
    """An example that expected more says what the gate saw; exit 1."""
    rules.write(FAILED_LOGINS + "tests: [{given: {user: ann, ok: false}, times: 3, expect: fires}]\n")
    done = rules.test()
    assert done.code == 1
    assert (
        "is suppressed (counted: 3 of 5 within 10m for user = ann), but `fires` was expected" in done.stdout
    )


def test_throttled_changes_are_suppressed(rules: Rules) -> None:
    """The second within the hour, not the one after it, and not another customer's."""
    came = rules.came(
        """\
on: {collection: shop.orders}
throttle: {every: 1h, per: customer}
do: [{log: x}]
tests:
  - {given: {customer: 1}, expect: fires}
  - {given: {customer: 1}, times: 2, expect: suppressed}
  - {given: {customer: 1}, times: 2, apart: 2h, expect: fires}
  - {given: [{customer: 1}, {customer: 2}], expect: fires}
"""
    )
    assert came == ["fires", "suppressed", "fires", "fires"]


def test_hours_count_only_where_an_example_says_its_time(rules: Rules) -> None:
    """Without `at:` an example is within the hours, whenever it is run."""
    came = rules.came(
        """\
on: {collection: shop.orders}
active: {days: mon-fri, hours: "09:00-18:00", timezone: Asia/Seoul, otherwise: hold}
do: [{log: x}]
tests:
  - {given: {a: 1}, expect: fires}
  - {given: {a: 1}, at: "2026-03-02T10:00", expect: fires}
  - {given: {a: 1}, at: "2026-03-02T18:00", expect: held}
  - {given: {a: 1}, at: "2026-03-01T10:00", expect: held}
  - {given: {a: 1}, at: "2026-03-02T00:30Z", expect: fires}
"""
    )
    assert came == ["fires", "fires", "held", "held", "fires"]


def test_old_changes_are_suppressed(rules: Rules) -> None:
    """`after:` is how late the engine gets to see it."""
    came = rules.came(
        """\
on: {collection: shop.orders}
max_age: 1h
do: [{log: x}]
tests:
  - {given: {a: 1}, after: 59m, expect: fires}
  - {given: {a: 1}, after: 2h, expect: suppressed}
"""
    )
    assert came == ["fires", "suppressed"]


MAIL = """\
name: big-order
on: {collection: shop.orders}
do:
  - email:
      to: sales@example.com
      subject: "Big order {{ document.id }}"
      template: mail.html.j2
"""


def test_what_a_mail_must_hold_is_looked_for_in_all_its_parts(rules: Rules) -> None:
    """Subject, text and HTML, rendered with the templates of the folder."""
    (rules.root / "templates" / "mail.html.j2").write_text("<p>{{ document.amount }} EUR</p>")
    rules.write(
        MAIL
        + """\
tests:
  - {given: {id: 17, amount: 500}, expect: fires, renders: ["Big order 17", "500 EUR"]}
  - {given: {id: 17, amount: 500}, expect: fires, renders: 501 EUR}
"""
    )
    done = rules.test()
    assert done.code == 1
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:1] != " "] == ["pass", "FAIL"]
    assert "no action renders '501 EUR'" in done.stdout


def test_a_mail_that_cannot_be_rendered_fails_its_example(rules: Rules) -> None:
    """A field that is missing in the document is found before the manager finds it."""
    (rules.root / "templates" / "mail.html.j2").write_text("<p>{{ document.amount }} EUR</p>")
    rules.write(MAIL + "tests: [{given: {id: 17}, expect: fires, renders: Big order}]\n")
    done = rules.test()
    assert done.code == 1
    assert "email would fail" in done.stdout
    assert "amount" in done.stdout


def test_ci_reads_what_came_of_it(rules: Rules, tmp_path: Path) -> None:
    """JUnit XML: a suite for each file, a case for each example, what failed with its reason."""
    rules.write(FAILED_LOGINS + "tests: [{given: {user: ann, ok: false}, times: 5, expect: fires}]\n", "a")
    rules.write(
        "on: {collection: a.b}\nwhen: x > 1\ndo: [{log: x}]\ntests: [{given: {}, expect: fires}]\n", "b"
    )
    report = tmp_path / "report.xml"
    done = rules.test("--junit", str(report))
    assert done.code == 1, done.output

    root = ET.parse(report).getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    first, second = root.findall("testsuite")
    assert [str(suite.get("name")).rsplit("/", 1)[1] for suite in (first, second)] == ["a.yaml", "b.yaml"]
    assert [case.get("classname") for case in root.iter("testcase")] == ["many-failed-logins", "b"]
    assert first.find("testcase/failure") is None
    failure = second.find("testcase/failure")
    assert failure is not None
    assert "is ignored, but `fires` was expected" in str(failure.get("message"))
    assert "x > 1" in str(failure.text)


def test_a_report_that_cannot_be_written_is_an_error(rules: Rules, tmp_path: Path) -> None:
    rules.write(FAILED_LOGINS)
    done = rules.test("--junit", str(tmp_path / "nowhere" / "report.xml"))
    assert done.code == 64
    assert "--junit" in done.stderr
