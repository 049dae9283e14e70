"""An action of another package, installed as a user would: the example of this project, in all it does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.shop import Shop
from support.command import Running
from support.http_sink import Answer
from support.polling import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "third-party-action"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example is installed into, from a copy: building it leaves nothing behind."""
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)
    site = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return site


def settings(shop: Shop, site: Path) -> dict[str, str]:
    """What the example's rule needs."""
    path = os.pathsep.join(part for part in (str(site), os.environ.get("PYTHONPATH", "")) if part)
    return {"PYTHONPATH": path, "SMS_GATEWAY": f"{shop.web.url}/send", "SMS_TOKEN": "t0ken"}


def example_rule(shop: Shop) -> None:
    """The rule that the example comes with, for this shop."""
    rule = (EXAMPLE / "triggers" / "big-order.yaml").read_text()
    shop.rule("big-order", rule.replace("shop.orders", f"{shop.database.name}.orders"))


def watch(shop: Shop, site: Path) -> Running:
    """Start watching with the example installed."""
    environment = {**shop.environment, **settings(shop, site)}
    running = shop.command.start("watch", "--rules", "triggers/", env=environment)
    running.wait_for_line(r"watching .* from .* on")
    return running


def test_its_rules_are_checked_like_any_others(shop: Shop, site: Path) -> None:
    """By its own settings; without the package the action is unknown."""
    example_rule(shop)
    done = shop.run("check", "--rules", "triggers/", **settings(shop, site))
    assert (done.code, "big-order-by-sms" in done.stdout) == (0, True), done.output

    without = shop.run("check", "--rules", "triggers/", SMS_GATEWAY="http://x", SMS_TOKEN="t")
    assert (without.code, "there is no action `sms`" in without.stdout) == (1, True)

    shop.rule(
        "wrong", "on: {collection: SHOP.orders}\ndo: [{sms: {gateway: 'http://x', to: '0123', text: x}}]\n"
    )
    wrong = shop.run("check", "--rules", "triggers/", **settings(shop, site))
    assert "wrong.yaml:2:38: this is not a number such as +4912345678" in wrong.stdout


async def test_its_deliveries_are_owed_and_tried_again_like_any_others(shop: Shop, site: Path) -> None:
    """A gateway that fails is tried again with the same id, what it refuses is dead."""
    example_rule(shop)
    shop.web.answer_next(Answer(503), times=2)
    watch(shop, site)
    phone = {"seller": {"phone": "+4912345678"}}
    await shop.orders.insert_one({"order_id": 1, "amount": 20_000, **phone})
    await shop.delivery({"status": "delivered"})

    assert [request.status for request in shop.web.requests] == [503, 503, 200]
    assert len({request.headers["idempotency-key"] for request in shop.web.requests}) == 1
    last = shop.web.requests[-1]
    assert last.json() == {"to": "+4912345678", "text": "Big order 1: 20000"}
    assert last.headers["authorization"] == "Bearer t0ken"

    shop.web.answer_next(Answer(400))
    await shop.orders.insert_one({"order_id": 2, "amount": 20_000, **phone})
    dead = await shop.delivery({"status": "dead"})
    assert (dead["action"], dead["error"]) == ("sms", "the gateway refused the message: 400 Bad Request")


async def test_a_test_of_a_rule_shows_what_it_would_send(shop: Shop, site: Path) -> None:
    """And sends nothing."""
    example_rule(shop)
    document = {"order_id": 1, "amount": 20_000, "seller": {"phone": "+4912345678"}}
    arguments = ("test", "--rules", "triggers/", "--document", json.dumps(document))
    done = shop.run(*arguments, **settings(shop, site))
    assert (done.code, "sms to +4912345678: Big order 1: 20000" in done.stdout) == (0, True), done.output
    assert "t0ken" not in done.output
    assert shop.web.requests == []


def test_the_schema_knows_it(shop: Shop, site: Path) -> None:
    """For editors."""
    definitions = json.loads(shop.run("schema", **settings(shop, site)).stdout)["$defs"]
    keys = [set(found.get("properties", ())) for name, found in definitions.items() if name.startswith("sms")]
    assert {"concurrency", "gateway", "to", "text", "token", "timeout"} in keys


async def test_a_package_that_is_broken_hurts_only_rules_that_use_it(
    shop: Shop, site: Path, tmp_path: Path
) -> None:
    """It is named with its error; everything else runs."""
    broken = tmp_path / "broken"
    shutil.copytree(site, broken)
    (broken / "mtrigger_sms" / "__init__.py").write_text("import no_such_gateway_library\n")
    shop.rule("log", "on: {collection: SHOP.orders}\ndo: [{log: 'order {{ document._id }}'}]\n")
    running = watch(shop, broken)
    await shop.orders.insert_one({"_id": 17})
    await eventually(lambda: "order 17" in running.output)

    example_rule(shop)
    done = shop.run("check", "--rules", "triggers/", **settings(shop, broken))
    assert done.code == 1
    assert (
        "the action `sms` of the package mtrigger-sms 1.0.0 cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_gateway_library'"
    ) in done.stdout


def test_a_built_in_action_cannot_be_replaced(shop: Shop, site: Path, tmp_path: Path) -> None:
    """Check warns of a package that tries."""
    bold = tmp_path / "bold"
    shutil.copytree(site, bold)
    (entries,) = bold.glob("*.dist-info/entry_points.txt")
    entries.write_text("[mtrigger.actions]\nemail = mtrigger_sms:KIND\n")
    shop.big_order_rule()
    done = shop.run("check", "--rules", "triggers/", **settings(shop, bold))
    assert done.code == 0
    assert (
        "warning: the package mtrigger-sms 1.0.0 brings an action `email`, which mtrigger has itself: "
        "the built-in one is used"
    ) in done.stderr


def test_the_examples_own_tests_pass(site: Path, tmp_path: Path) -> None:
    """Run as its author would run them, against what is installed."""
    tests = tmp_path / "tests"
    shutil.copytree(EXAMPLE / "tests", tests)
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
