"""Messages to Slack and Teams: what they look like, and what a document can never make of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtrigger.actions import kind
from mtrigger.actions.services import Services
from mtrigger.actions.slack import mrkdwn
from mtrigger.actions.teams import markdown
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import work_for_document

SLACK_URL = "https://hooks.slack.com/services/T000/B000/hunter2hunter2"
TEAMS_URL = "https://prod.example.com:443/workflows/hunter2/triggers/manual/paths/invoke?sig=hunter2hunter2"
URLS = {"slack": SLACK_URL, "teams": TEAMS_URL}


def body(name: str, settings: dict[str, Any], document: dict[str, Any], **names: Any) -> Any:
    """The JSON that would be posted."""
    found = kind(name)
    config = found.config.model_validate({"url": URLS[name], **settings})
    assert list(found.mistakes(config, Templates(None))) == []
    preview = found.open(config, Services(Templates(None))).preview(work_for_document(document, **names))
    return json.loads(preview.parts["Body"])


def card(settings: dict[str, Any], document: dict[str, Any], **names: Any) -> list[dict[str, Any]]:
    """The texts of the card that would be posted to Teams."""
    message = body("teams", settings, document, **names)
    (attachment,) = message["attachments"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (attachment["content"]["type"], attachment["content"]["version"]) == ("AdaptiveCard", "1.4")
    blocks: list[dict[str, Any]] = attachment["content"]["body"]
    return blocks


def test_slack_gets_the_text_and_what_the_rule_marks_up_stays_so() -> None:
    """Bold, a link and a mention that the rule itself writes."""
    text = "<!here> *Order* <https://shop.example/{{ document.id }}|{{ document.name }}>"
    assert body("slack", {"text": text}, {"id": 7, "name": "A & B"}) == {
        "text": "<!here> *Order* <https://shop.example/7|A &amp; B>"
    }


@pytest.mark.parametrize(
    "text",
    [
        "{{ document.name }}",
        "{{ document.name | upper | lower }}",
        "{{ [document.name] | join(', ') }}",
        "{{ 'for ' ~ document.name }}",
        "{{ '%s' | format(document.name) }}",
        "{{ document }}",
        "{{ document | json }}",
        "{% for name in [document.name] %}{{ name }}{% endfor %}",
        "{% set shown %}{{ document.name }}{% endset %}{{ shown }}",
        "{% macro shown(name) %}{{ name }}{% endmacro %}{{ shown(document.name) }}",
    ],
)
def test_no_document_can_call_a_channel(text: str) -> None:
    """Whichever way its value comes into the text, it is escaped, and only once."""
    found = body("slack", {"text": text}, {"name": "<!channel> & <@U1>"})["text"]
    assert "&lt;!channel&gt; &amp; &lt;@u1&gt;" in found.lower()
    assert "<" not in found


def test_blocks_are_filled_and_their_texts_escaped() -> None:
    """But for addresses, which Slack takes as they are. A document never brings blocks of its own."""
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "*{{ document.name }}*"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "{{ document.more }}"}]},
        {
            "type": "actions",
            "elements": [{"type": "button", "url": "https://shop.example/?{{ document.n }}"}],
        },
        {"type": "image", "image_url": "https://shop.example/?{{ document.n }}", "alt_text": "<x>"},
    ]
    document = {"name": "<!channel>", "more": [{"type": "mrkdwn"}], "n": "a=1&b"}
    sent = body("slack", {"text": "t", "blocks": blocks}, document)
    assert sent["text"] == "t"
    assert sent["blocks"][0]["text"]["text"] == "*&lt;!channel&gt;*"
    assert sent["blocks"][1]["fields"][0]["text"] == '[{"type": "mrkdwn"}]'
    assert sent["blocks"][2]["elements"][0]["url"] == "https://shop.example/?a=1&b"
    assert sent["blocks"][3]["image_url"] == "https://shop.example/?a=1&b"


@pytest.mark.parametrize(("name", "bold"), [("slack", "*big-order*"), ("teams", "**big-order**")])
def test_without_a_text_the_message_says_what_happened_to_what(name: str, bold: str) -> None:
    """The rule, the collection and the document's key."""
    found = body(name, {}, {"_id": "SO-7"})
    text = found["text"] if name == "slack" else found["attachments"][0]["content"]["body"][0]["text"]
    assert text == f"{bold}: insert in shop.orders, SO-7"


NOWHERE = {"operation": "schedule", "database": "", "collection": "", "key": {}, "time": "today", "id": ""}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param(
            {"count": 3, "group": {"region": "<north>"}},
            "*big-order*: insert in shop.orders, SO-7 and 2 more, region: &lt;north&gt;",
            id="several together",
        ),
        pytest.param({"resolved": True}, "*big-order* is over: insert in shop.orders, SO-7", id="over"),
        pytest.param(
            {"event": NOWHERE, "documents": [], "count": 0},
            "*big-order*: schedule at today",
            id="a time",
        ),
        pytest.param(
            {"event": NOWHERE, "documents": [{}] * 4, "count": 4},
            "*big-order*: schedule at today, documents: 4",
            id="what a query found",
        ),
    ],
)
def test_without_a_text_the_message_says_how_much_happened(names: dict[str, Any], text: str) -> None:
    """Whatever the rule is about: no sentence has a gap."""
    assert body("slack", {}, {"_id": "SO-7"}, **names)["text"] == text


def test_teams_gets_a_card_with_a_title() -> None:
    """Both texts wrap; what the rule writes keeps its Markdown."""
    title, text = card({"title": "Order {{ document.id }}", "text": "**big**: {{ document.id }}"}, {"id": 7})
    assert (title["text"], title["weight"], title["wrap"]) == ("Order 7", "Bolder", True)
    assert (text["type"], text["text"], text["wrap"]) == ("TextBlock", "**big**: 7", True)
    assert len(card({"text": "only"}, {})) == 1


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("plain, 5.50 (a-b) text!", "plain, 5.50 (a-b) text!"),
        ("[click](http://evil.example)", "\\[click\\](http://evil.example)"),
        ("**bold** _it_ `code` ~~no~~", "\\*\\*bold\\*\\* \\_it\\_ \\`code\\` \\~\\~no\\~\\~"),
        ("<at>All</at>", "\\<at\\>All\\</at\\>"),
        ("back\\slash", "back\\\\slash"),
        ("a\n- b\n+ c\n1. d\n12) e", "a\n\\- b\n\\+ c\n1\\. d\n12\\) e"),
        ("-5", "-5"),
    ],
)
def test_markdown_in_a_value_is_text(value: str, escaped: str) -> None:
    """No link with another name, no bold, no list."""
    assert markdown(value) == escaped
    (text,) = card({"text": "*{{ document.value }}*"}, {"value": value})
    assert text["text"] == f"*{escaped}*"


def test_mrkdwn_escapes_what_slack_reads() -> None:
    """The three characters, `&` first."""
    assert mrkdwn("<a&b>") == "&lt;a&amp;b&gt;"


@pytest.mark.parametrize("name", ["slack", "teams"])
def test_what_was_held_back_is_told_unless_the_rule_tells_it(name: str) -> None:
    """In a paragraph of its own."""
    told = body(name, {"text": "x"}, {}, held_back=1)
    assert "x\\n\\n1 more like this was held back since the last message." in json.dumps(told)
    own = body(name, {"text": "x and {{ held_back }} more"}, {}, held_back=3)
    assert "x and 3 more" in json.dumps(own)
    assert "held back" not in json.dumps(own)
    assert "held back" not in json.dumps(body(name, {"text": "x"}, {}, held_back=0))


def test_what_was_held_back_is_told_below_blocks_too() -> None:
    """The text is not shown where there are blocks."""
    sent = body("slack", {"blocks": [{"type": "divider"}]}, {}, held_back=2)
    assert sent["blocks"][-1]["elements"][0]["text"].startswith("2 more like this were held back")


@pytest.mark.parametrize("name", ["slack", "teams"])
def test_of_the_address_only_the_host_is_ever_shown(name: str) -> None:
    """It is the key to the room."""
    found = kind(name)
    config = found.config.model_validate({"url": URLS[name]})
    preview = found.open(config, Services(Templates(None))).preview(work_for_document({"_id": 1}))
    assert "hunter2" not in repr(preview) + repr(config)
    host = URLS[name].split("/")[2]
    assert preview.summary == f"{name}: POST https://{host}/…"


@pytest.mark.parametrize("name", ["slack", "teams"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hooks.slack.com/hunter2", "the address must be http"),
        ("https://example.com/hunter2 2", "spaces"),
        ("https://example.com/{{ document.hunter2 }}", "no template"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_mistake(name: str, url: str, message: str) -> None:
    """Which does not repeat it."""
    found = kind(name)
    (mistake,) = found.mistakes(found.config.model_validate({"url": url}), Templates(None))
    assert mistake.path == ("url",)
    assert message in mistake.message
    assert "hunter2" not in mistake.message


@pytest.mark.parametrize(
    ("name", "settings", "path"),
    [
        ("slack", {"text": "{{ documnt }}"}, ("text",)),
        (
            "slack",
            {"blocks": [{"type": "x", "text": {"text": "{{ documnt }}"}}]},
            ("blocks", 0, "text", "text"),
        ),
        ("teams", {"text": "{{ documnt }}"}, ("text",)),
        ("teams", {"title": "{{ documnt }}"}, ("title",)),
        ("slack", {"concurrency": 500}, ("concurrency",)),
    ],
)
def test_mistakes_in_texts_are_found_where_they_stand(
    name: str, settings: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    """Before anything is sent."""
    found = kind(name)
    config = found.config.model_validate({"url": URLS[name], **settings})
    assert [mistake.path for mistake in found.mistakes(config, Templates(None))] == [path]


@pytest.mark.parametrize(
    ("name", "settings", "names"),
    [
        ("slack", {}, {"rule", "event", "resolved", "count", "group"}),
        ("teams", {}, {"rule", "event", "resolved", "count", "group"}),
        ("slack", {"text": "{{ document.a }}"}, {"document"}),
        ("slack", {"text": "x", "blocks": [{"text": "{{ before.a }}"}]}, {"before"}),
        ("teams", {"text": "x", "title": "{{ changed }}"}, {"changed"}),
    ],
)
def test_what_a_message_reads_is_known(name: str, settings: dict[str, Any], names: set[str]) -> None:
    """So that nothing is fetched for it that it does not show."""
    found = kind(name)
    config = found.config.model_validate({"url": URLS[name], **settings})
    assert found.reads(config, Templates(None)) == frozenset(names)


def test_a_field_that_is_missing_is_said() -> None:
    """As in every template."""
    with pytest.raises(PermanentError, match="has no field 'nothing'"):
        body("slack", {"text": "{{ document.nothing }}"}, {"a": 1})


def test_what_a_text_includes_is_escaped_for_its_own_chat(tmp_path: Path) -> None:
    """One file in both chats, and in a log line, where nothing is escaped."""
    (tmp_path / "order.txt.j2").write_text("by {{ document.name }}")
    templates = Templates(tmp_path)
    text = "{% include 'order.txt.j2' %}"
    settings = {
        "log": {"message": text},
        **{name: {"url": url, "text": text} for name, url in URLS.items()},
    }
    found = {}
    for name, given in settings.items():
        action = kind(name).open(kind(name).config.model_validate(given), Services(templates))
        found[name] = action.preview(work_for_document({"name": "<!a>*"})).parts
    assert found["log"] == {"Info": "by <!a>*"}
    assert json.loads(found["slack"]["Body"])["text"] == "by &lt;!a&gt;*"
    assert r'"by \\<!a\\>\\*"' in found["teams"]["Body"]
