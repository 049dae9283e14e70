"""The action `log` writes one line, whatever the document holds."""

import logging

import pytest

from mtrigger.actions.log import KIND, LogConfig
from mtrigger.actions.services import Services
from mtrigger.logs import TextLines
from mtrigger.templates import Templates
from support.works import DELIVERY_ID, work_for_document


async def test_a_line_is_written_with_its_rule_and_delivery(caplog: pytest.LogCaptureFixture) -> None:
    """At the level the rule says."""
    action = KIND.open(
        LogConfig(message="amount {{ document.amount }}", level="warning"), Services(Templates(None))
    )
    with caplog.at_level(logging.INFO, "mtrigger.rules"):
        assert await action.run(work_for_document({"amount": 5})) == "logged"
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "amount 5")
    assert (record.__dict__["rule"], record.__dict__["delivery"]) == ("big-order", DELIVERY_ID)


async def test_a_document_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks and control characters are escaped in the text form."""
    action = KIND.open(LogConfig(message="{{ document.name }}"), Services(Templates(None)))
    with caplog.at_level(logging.INFO, "mtrigger.rules"):
        await action.run(work_for_document({"name": "a\n2026-01-01 error\x1b[31m"}))
    line = TextLines().format(caplog.records[0])
    assert line.endswith("a\\n2026-01-01 error\\x1b[31m")


def test_a_preview_is_the_line() -> None:
    """Under its level."""
    action = KIND.open(LogConfig(message="{{ document.a }}"), Services(Templates(None)))
    preview = action.preview(work_for_document({"a": 1}))
    assert (preview.summary, preview.parts) == ("log: 1", {"Info": "1"})
