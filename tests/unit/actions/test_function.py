"""The user's function gets what it asks for, cannot harm the loop, and its errors come through."""

import asyncio
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mtrigger.actions import function as function_module
from mtrigger.actions.blocking import BlockingCalls
from mtrigger.actions.function import (
    KIND,
    Function,
    FunctionConfig,
    FunctionMistake,
    arguments_of,
    find_function,
)
from mtrigger.actions.services import Services
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError, RetryLater
from mtrigger.templates import SCOPE_NAMES, Templates
from support import user_functions
from support.polling import eventually
from support.works import DELIVERY_ID, work_for_document

WORK = work_for_document({"amount": 5, "items": []})


def function(name: str, timeout: str = "10s", **keys: Any) -> Function:
    """The action for a function of `user_functions`."""
    target = f"support.user_functions:{name}"
    config = FunctionConfig.model_validate({"function": target, "timeout": timeout, **keys})
    return KIND.open(config, Services(Templates(None)))  # type: ignore[return-value]  # it is one


async def test_two_arguments_of_any_name_are_document_and_event() -> None:
    """The plain way to write one."""
    assert await function("by_position").run(WORK) == ""
    assert user_functions.calls[-1] == (WORK.scope["document"], WORK.scope["event"])


async def test_names_of_the_signature_are_given_by_name_in_a_thread() -> None:
    """In any order, optional ones too; names that are not known keep their defaults."""
    assert await function("by_name").run(WORK) == "done"
    assert user_functions.calls[-1] == (5, "insert", DELIVERY_ID, 1)
    assert user_functions.threads[-1] != threading.current_thread().name


async def test_an_async_function_runs_in_the_loop() -> None:
    """An object whose `__call__` is async too."""
    assert await function("in_the_loop").run(WORK) == "done in the loop"
    assert user_functions.threads[-1] == threading.current_thread().name
    assert await function("an_object").run(WORK) == "object"


async def test_other_signatures_get_what_they_take() -> None:
    """All names, no names, a method."""
    assert await function("everything").run(WORK) == " ".join(sorted(SCOPE_NAMES))
    assert await function("nothing").run(WORK) == ""
    assert await function("Callables.method").run(WORK) == "method 5"


async def test_a_function_changes_only_its_own_copy() -> None:
    """Other actions of the same event see the document as it was."""
    await function("changes_its_document").run(WORK)
    assert WORK.scope["document"]["items"] == []


async def test_permanent_error_and_retry_later_come_through() -> None:
    """They are how a function tells the retry policy what it knows."""
    with pytest.raises(PermanentError, match=r"never"):
        await function("permanent").run(WORK)
    with pytest.raises(RetryLater):
        await function("later").run(WORK)


async def test_a_thread_that_outlives_its_time_is_counted_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It cannot be stopped; the message says so, and its end is told."""
    overdue = r"longer than 0\.05 s; its thread cannot be stopped .* \(1 such now\)"
    for _ in range(2):  # by the second time the first one has ended, and is not counted any more
        caplog.clear()
        user_functions.release.clear()
        with pytest.raises(TimeoutError, match=overdue):
            await function("waits", "50ms").run(WORK)
        user_functions.release.set()
        await eventually(lambda: "waits has ended, after its time was up" in caplog.text)


async def test_an_async_function_that_takes_too_long_is_cancelled() -> None:
    """And leaves nothing behind."""
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s$"):
        await function("waits_in_the_loop", "50ms").run(WORK)


async def test_waiting_for_a_thread_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a call runs from its beginning: others that take long cost it no attempt."""
    monkeypatch.setattr(function_module, "_calls", BlockingCalls(1))
    user_functions.release.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(function("waits").run(WORK))
        waiting = tasks.create_task(function("by_name", "50ms").run(WORK))
        with pytest.raises(TimeoutError):  # begun later, for longer: when this is over, so are the 50 ms
            await function("waits_in_the_loop", "80ms").run(WORK)
        assert not waiting.done()
        user_functions.release.set()
    assert waiting.result() == "done"


async def test_a_timeout_of_the_functions_own_keeps_its_words() -> None:
    """It is not mistaken for ours."""
    with pytest.raises(TimeoutError, match=r"^my own$"):
        await function("times_out_itself").run(WORK)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stops_iteration", "raised StopIteration"),
        ("exits", r"called sys\.exit\(3\)"),
        ("exits_in_the_loop", r"called sys\.exit\(3\)"),
    ],
)
async def test_a_function_cannot_end_the_loop(name: str, message: str) -> None:
    """What would stop the loop or hang it becomes an ordinary failure."""
    with pytest.raises(RuntimeError, match=message):
        await function(name).run(WORK)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:f", "there is no module `no_such_module`"),
        (
            "support.user_functions.inner:f",
            "failed: .*'support.user_functions' is not a package|there is no module",
        ),
        (
            "support.user_functions:by_nam",
            "`support.user_functions` has no `by_nam`; did you mean `by_name`?",
        ),
        ("support.user_functions:not_callable", "is not a function"),
        (
            "support.user_functions:wrong_name",
            "asks for `documnt`, which is not there; did you mean `document`?",
        ),
        ("support.user_functions:mixed", "asks for `evnt`, which is not there; did you mean `event`?"),
        ("support.user_functions:three", "asks for `a`, which is not there; it can ask for: before, changed"),
    ],
)
def test_a_function_that_cannot_be_called_is_a_mistake(target: str, message: str) -> None:
    """Found when the rules are checked."""
    with pytest.raises(FunctionMistake, match=message):
        arguments_of(find_function(target), target)
    config = FunctionConfig(function=target)
    assert [mistake.path for mistake in KIND.mistakes(config, Templates(None))] == [("function",)]


def test_a_module_that_fails_is_a_mistake_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises, and when it needs a module that is not there."""
    (tmp_path / "module_that_fails.py").write_text("1 / 0\n")
    (tmp_path / "module_that_exits.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "module_that_needs.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module, message in (
        ("module_that_fails", "importing `module_that_fails` failed: ZeroDivisionError"),
        ("module_that_exits", "importing `module_that_exits` failed: SystemExit"),
        (
            "module_that_needs",
            "importing `module_that_needs` failed: No module named 'not_installed_anywhere'",
        ),
    ):
        with pytest.raises(FunctionMistake, match=message):
            find_function(f"{module}:f")


def test_a_preview_names_the_call() -> None:
    """And calls nothing."""
    assert function("waits").preview(WORK).summary == "function: support.user_functions:waits(document)"


async def stored(document: dict[str, Any], **names: Any) -> str | Effect:
    """What is to be written of what a function returns for `document`."""
    work = work_for_document({"_id": 7, **document}, **names)
    return await function("reprices", into="shop.products", upsert=True).run(work)


async def test_what_a_function_returns_is_set_on_the_document() -> None:
    """Of the `_id` that it returns, else of the document (of a message: of its key); None writes nothing."""

    def write(key: Any, value: dict[str, Any]) -> Effect:
        return Effect("shop", "products", "update", {"_id": {"$eq": key}}, value, upsert=True)

    assert await stored({"cost": 2}) == write(7, {"$set": {"price": 4}})
    assert await stored({"returned": {"_id": 8, "a.b": 1}}) == write(8, {"$set": {"a.b": 1}})
    assert await stored({"cost": 2}, message={"key": "k"}) == write("k", {"$set": {"price": 4}})
    assert await stored({"returned": {}}) == write(7, {"$setOnInsert": {"_id": 7}})
    assert await stored({"returned": None}) == ""


@pytest.mark.parametrize(
    ("returned", "names", "wrong"),
    [
        ("text", {}, "returned str: with `into`, it returns a mapping of fields, or None"),
        ({"price": Decimal(5)}, {}, "returned what cannot be stored: .*Decimal"),
        ({"$inc": {"price": 1}}, {}, r"returned the field '\$inc'"),
        ({1: 2}, {}, "returned the field 1"),
        ({"_id": [1], "price": 1}, {}, "which document is meant"),
        ({"price": 1}, {"message": {"key": None}}, "which document is meant"),
        ({"price": 1}, {"documents": [{}, {}]}, "which document is meant"),
    ],
    ids=["text", "decimal", "operator", "number", "array", "no-key", "several"],
)
async def test_what_cannot_be_stored_is_for_good(returned: Any, names: dict[str, Any], wrong: str) -> None:
    """And says which function it was."""
    with pytest.raises(PermanentError, match=wrong) as raised:
        await stored({"returned": returned}, **names)
    assert "support.user_functions:reprices" in str(raised.value)


def test_upsert_goes_with_into() -> None:
    """Told when the rules are checked; where it writes is known, so that the loop guard and pictures know."""
    config = FunctionConfig(function="support.user_functions:reprices", upsert=True)
    assert [mistake.path for mistake in KIND.mistakes(config, Templates(None))] == [("upsert",)]
    config = FunctionConfig(function="support.user_functions:reprices", into="shop.products")
    assert KIND.writes(config) == {"shop.products"}
