"""The examples as a newcomer meets them: what `make big-orders` and `make pricing` run, rules, pictures."""

import os
import signal
import sys

import pytest
import sqlalchemy as sa
from bson.decimal128 import Decimal128

from acceptance.stories.parts import EXAMPLES
from support.command import MtriggerCommand, Running
from support.mongo_servers import free_port
from support.sql_servers import POSTGRESQL, connected_or_skip

BOTH = pytest.mark.parametrize("example", ["big-orders", "pricing"])


def run(command: MtriggerCommand, *arguments: str, url: str = "") -> Running:
    """`python examples/run.py …`; the page with the mails is at any port."""
    line = (str(EXAMPLES / "run.py"), *arguments, "--port", "0")
    return command.start(*line, env={"SOE_URL": url}, program=sys.executable)


def test_big_orders_shows_what_happens_and_that_nothing_is_missing(mtrigger_command: MtriggerCommand) -> None:
    """And takes its schema away again."""
    engine = sa.create_engine(POSTGRESQL)
    try:
        connected_or_skip(engine, "postgresql")
        running = run(mtrigger_command, "big-orders", "--count", "20", "--every", "0.02", url=POSTGRESQL)
        running.wait_for_line(r"big-orders order \d+ of C-\d+: ")
        assert running.wait() == 0, running.output
        for place in ("shop.orders", "mails to", "messages in", "group best-customers", "group credit-check"):
            running.wait_for_line(f"  {place}.* all there")
        with engine.connect() as connection:
            left = connection.scalar(sa.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'soe'"))
        assert left == 0
    finally:
        engine.dispose()


def test_without_postgresql_big_orders_says_what_it_needs(mtrigger_command: MtriggerCommand) -> None:
    """And no password."""
    url = f"postgresql://soe:tiger@127.0.0.1:{free_port()}/soe"
    running = run(mtrigger_command, "big-orders", url=url)
    assert running.wait() == 1
    assert "This example needs a PostgreSQL, and there is none" in running.stderr
    assert "SOE_URL=postgresql://" in running.stderr
    assert "tiger" not in running.output
    assert "Traceback" not in running.output


def test_pricing_goes_on_until_it_is_stopped_whatever_is_killed(mtrigger_command: MtriggerCommand) -> None:
    """A part that is killed is started again, and nothing is missing in the end."""
    running = run(mtrigger_command, "pricing", "--every", "0.05")
    analysts = running.wait_for_line(r"analytics started as process (\d+)")
    running.wait_for_line("analytics .* costs ")
    os.kill(int(analysts[1]), signal.SIGKILL)
    running.wait_for_line("analytics was ended by SIGKILL: it is started again")
    assert running.interrupt() == 0, running.output
    for place in ("prices in", "messages in", "group web-shop", "group analytics"):
        running.wait_for_line(f"  {place}.* all there")


@BOTH
def test_the_rules_do_what_their_examples_say(mtrigger_command: MtriggerCommand, example: str) -> None:
    """`mtrigger test`, in the folder of each."""
    done = mtrigger_command.run("test", "--rules", EXAMPLES / example / "triggers")
    assert done.code == 0, done.output


@BOTH
def test_the_picture_is_that_of_the_rules(mtrigger_command: MtriggerCommand, example: str) -> None:
    """It changes when they do."""
    folder = EXAMPLES / example
    sources = ("--sources", folder / "sources") if (folder / "sources").exists() else ()
    done = mtrigger_command.run(
        "graph", "--rules", folder / "triggers", *sources, env={"SOE_URL": "postgresql:///"}
    )
    is_up_to_date = (folder / "flow.svg").read_text(encoding="utf-8") == done.stdout
    assert is_up_to_date, f"{folder.name}/flow.svg is out of date: run `make reference` and commit it"


@pytest.mark.parametrize(
    ("cost", "price"), [("100", "130.00"), ("0.01", "0.02"), ("10.00", "13.00"), ("99.99", "129.99")]
)
def test_a_price_is_the_cost_and_the_margin(cost: str, price: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded up to the cent; the function needs neither mtrigger nor MongoDB."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "pricing"))
    from repricing import reprice

    made = reprice({"_id": "P-1", "cost": Decimal128(cost)})
    assert made == {"price": Decimal128(price), "priced_by_cost": Decimal128(cost)}


@BOTH
def test_readme_shows_the_picture_and_names_every_file(example: str) -> None:
    """Nobody has to guess what a file is for."""
    folder = EXAMPLES / example
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "(flow.svg)" in text
    files = [path for pattern in ("*/*.yaml", "*/*.py", "*.py", "*.sql") for path in folder.glob(pattern)]
    for path in files:
        assert f"({path.relative_to(folder)})" in text, path
