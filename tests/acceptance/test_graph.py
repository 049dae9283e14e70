"""`mtrigger graph`: the installed command draws the rules and sources of a folder."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from support.command import MtriggerCommand

BIG_ORDER = (
    "name: big-order\non: {collection: shop.orders}\nwhen: amount > 10000\n"
    "do:\n  - email: {to: sales@example.com, subject: s, text: t}\n"
)
SOURCE = (
    "name: soe-orders\n"
    "from: {sql: '${SOE_URL}', table: orders, mode: incrementing, incrementing: order_id}\n"
    "into: {collection: shop.orders, key: order_id}\n"
)


PROJECT = Path(__file__).parents[2]


def write(folder: Path) -> None:
    """A rule and a source that feeds it."""
    for name, text in (("triggers/big-order.yaml", BIG_ORDER), ("sources/orders.yaml", SOURCE)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_a_picture_is_drawn_from_rules_and_sources(mtrigger_command: MtriggerCommand, tmp_path: Path) -> None:
    """As a file that opens, the same each time, without the address of the database."""
    write(tmp_path)
    command = ("graph", "--sources", "sources", "--output", "flow.svg")
    env = {"SOE_URL": "sqlite:////srv/s3cret/soe.db"}
    done = mtrigger_command.run(*command, env=env)
    assert (done.code, done.output) == (0, "")
    drawn = (tmp_path / "flow.svg").read_text()
    texts = [element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    for text in ("orders", "soe-orders", "shop.orders", "big-order", "amount > 10000", "sales@example.com"):
        assert text in texts
    assert "s3cret" not in drawn
    mtrigger_command.run(*command, env=env)
    assert (tmp_path / "flow.svg").read_text() == drawn


def test_a_chart_and_what_is_in_it_come_on_standard_output(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """For Markdown, and for programs."""
    write(tmp_path)
    done = mtrigger_command.run("graph", "--format", "mermaid", "--direction", "down")
    assert done.stdout.startswith("flowchart TD\n")
    assert "<b>big-order</b>" in done.stdout
    flow = json.loads(mtrigger_command.run("graph", "--format", "json").stdout)
    assert [node["title"] for node in flow["nodes"]] == ["shop.orders", "big-order", "sales@example.com"]
    ids = {node["id"] for node in flow["nodes"]}
    assert all({edge["start"], edge["end"]} <= ids for edge in flow["edges"])


def test_mistakes_and_files_that_cannot_be_written_are_told(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """With 64: of rules, of sources, of the file."""
    write(tmp_path)
    (tmp_path / "sources" / "orders.yaml").write_text(SOURCE.replace("order_id}", "order_id, pol: 5s}"))
    done = mtrigger_command.run("graph", "--sources", "sources", env={"SOE_URL": "sqlite:///x.db"})
    assert done.code == 64
    assert "sources/orders.yaml:2:" in done.stderr
    done = mtrigger_command.run("graph", "--output", "no/such/folder.svg")
    assert done.code == 64
    assert "no/such/folder.svg cannot be written: No such file or directory; check --output" in done.stderr


def test_the_picture_in_the_documentation_is_that_of_the_rules(mtrigger_command: MtriggerCommand) -> None:
    """It changes when they do."""
    drawn = mtrigger_command.run("graph", "--rules", str(PROJECT / "triggers")).stdout
    is_up_to_date = (PROJECT / "docs" / "images" / "triggers.svg").read_text(encoding="utf-8") == drawn
    assert is_up_to_date, "docs/images/triggers.svg is out of date: run `make reference` and commit it"
