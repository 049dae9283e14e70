"""Requests to others through the installed command: what each answer leads to, and what receivers get."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks.webhooks import Webhook as Verifier

from acceptance.shop import Shop
from support.http_sink import Answer
from support.polling import eventually
from support.smtp_sink import SmtpSink

BY_STATUS = """
on: {collection: SHOP.orders}
do:
  - webhook: {url: "HOOK/{{ document._id }}", body: {id: "{{ document._id }}"}, retry_on: [404, 409]}
retry: {attempts: 2, first_delay: 50ms, max_delay: 200ms}
"""

DELIVERED = [200, 201, 204, 299]
TRIED_AGAIN = [404, 408, 409, 425, 429, 500, 501]
DEAD_AT_ONCE = [301, 307, 308, 400, 401, 403, 405, 410, 413, 422]


def hook(shop: Shop, settings: str, name: str = "tell") -> None:
    """A rule that posts every order with these settings."""
    rule = "on: {collection: SHOP.orders}\ndo: [ACTION]\nretry: {first_delay: 50ms, max_delay: 200ms}\n"
    shop.rule(name, rule.replace("ACTION", settings.replace("HOOK", shop.web.url)))


async def test_each_class_of_answers_has_its_own_end(shop: Shop) -> None:
    """Taken by one request; tried again, also where the rule wants it; or dead without another request."""
    shop.rule("by-status", BY_STATUS.replace("HOOK", shop.web.url))
    statuses = [*DELIVERED, *TRIED_AGAIN, *DEAD_AT_ONCE]
    for status in statuses:
        shop.web.answer_path(f"/{status}", Answer(status))
    shop.watch()
    await shop.orders.insert_many([{"_id": status} for status in statuses])

    async def ended() -> list[dict[str, Any]]:
        rows = await shop.deliveries.find({"status": {"$in": ["delivered", "dead"]}}).to_list()
        return rows if len(rows) == len(statuses) else []

    found = {row["event"]["key"]["_id"]: (row["status"], row["attempts"]) for row in await eventually(ended)}

    assert found == {
        **dict.fromkeys(DELIVERED, ("delivered", 1)),
        **dict.fromkeys(TRIED_AGAIN, ("dead", 2)),
        **dict.fromkeys(DEAD_AT_ONCE, ("dead", 1)),
    }
    requests = [int(request.path[1:]) for request in shop.web.requests]
    assert sorted(requests) == sorted([*statuses, *TRIED_AGAIN])


@pytest.mark.parametrize(
    ("status", "header", "least", "most"),
    [(429, "900", 900, 910), (503, "99999999", 3600, 3610)],
    ids=["too-many-requests", "unavailable-for-years"],
)
async def test_a_receiver_that_asks_for_time_gets_it(
    shop: Shop, status: int, header: str, least: int, most: int
) -> None:
    """The row says when the next attempt is due, far beyond the rule's own delays; an hour is the most."""
    hook(shop, "webhook: {url: HOOK/hook}")
    shop.web.answer_next(Answer(status, {"Retry-After": header}))
    shop.watch()
    await shop.orders.insert_one({"_id": 1})
    row = await shop.delivery({"status": "retrying"})

    waits = row["due_at"] - row["log"][0]["at"]
    assert timedelta(seconds=least) <= waits <= timedelta(seconds=most)
    assert f"answered {status}" in row["error"]
    assert "it asks to wait for" in row["error"]
    assert len(shop.web.requests) == 1


async def test_gone_and_a_redirect_are_dead_at_once_and_say_what_to_do(shop: Shop) -> None:
    """In the log and in the row, without what is secret in either address."""
    hook(shop, "webhook: {url: 'HOOK/{{ document._id }}?token=hunter2'}")
    moved = f"{shop.web.url}/elsewhere?token=hunter2"
    shop.web.answer_path("/gone", Answer(410))
    shop.web.answer_path("/moved", Answer(308, {"Location": moved}))
    running = shop.watch()
    await shop.orders.insert_many([{"_id": "gone"}, {"_id": "moved"}])
    gone = await shop.delivery({"status": "dead", "event.key._id": "gone"})
    redirected = await shop.delivery({"status": "dead", "event.key._id": "moved"})
    running.wait_for_line(r"dead: POST .*/gone answered 410 Gone \(the receiver wants no more of these")
    running.wait_for_line(r"dead: POST .*/moved answered 308 .*put the new address into `url`")

    assert (gone["attempts"], redirected["attempts"]) == (1, 1)
    assert f"a redirect to {shop.web.url}/elsewhere, which is not followed" in redirected["error"]
    assert {request.path for request in shop.web.requests} == {"/gone", "/moved"}
    assert "hunter2" not in running.output + gone["error"] + redirected["error"]


async def test_a_receiver_verifies_by_the_old_secret_and_by_the_new_one(shop: Shop) -> None:
    """While it is being changed, with a package that knows nothing of mtrigger."""
    old, new = (f"whsec_{base64.b64encode(name * 8).decode()}" for name in (b"old", b"new"))
    hook(shop, f"webhook: {{url: HOOK/hook, secret: ['{new}', '{old}']}}")
    shop.watch()
    await shop.orders.insert_one({"_id": 1, "amount": 12000})
    request = (await eventually(lambda: shop.web.requests))[0]

    for secret in (old, new):
        received = Verifier(secret).verify(request.body, dict(request.headers))
        assert received["data"]["document"] == {"_id": 1, "amount": 12000}
    with pytest.raises(Exception, match="No matching signature"):
        Verifier("whsec_" + base64.b64encode(b"other" * 6).decode()).verify(
            request.body, dict(request.headers)
        )


async def test_a_cloud_event_is_read_by_its_reference_implementation(shop: Shop) -> None:
    """An update, with what the package `cloudevents` makes of it."""
    await shop.orders.insert_one({"_id": "SO-1", "amount": 1})
    hook(shop, "webhook: {url: HOOK/hook, format: cloudevents}")
    shop.watch()
    await shop.orders.update_one({"_id": "SO-1"}, {"$set": {"amount": 2}})
    request = (await eventually(lambda: shop.web.requests))[0]
    event = from_structured_event(HTTPMessage(headers=dict(request.headers), body=request.body))
    row = await shop.delivery({"status": "delivered"})

    assert request.headers["content-type"] == "application/cloudevents+json"
    assert (event.get_id(), event.get_type()) == (row["_id"], "com.mongodb.update")
    assert (event.get_source(), event.get_subject()) == (f"/{shop.database.name}/orders", "SO-1")
    data = event.get_data()
    assert isinstance(data, dict)
    assert (data["document"]["amount"], data["changed"]) == (2, {"amount": 2})


async def test_a_message_in_slack_calls_nobody_a_document_names(shop: Shop) -> None:
    """What the rule writes is kept, what a document holds is escaped; the room's address is in no log."""
    url = f"{shop.web.url}/services/hunter2"
    hook(shop, f"slack: {{url: '{url}', text: '*New order* by {{{{ document.customer }}}}'}}")
    shop.web.answer_path("/services/hunter2", Answer(200, body=b"ok"))
    shop.web.answer_next(Answer(404, body=b"no_service for /services/hunter2"))
    running = shop.watch()
    await shop.orders.insert_one({"customer": "first"})
    dead = await shop.delivery({"status": "dead"})
    await shop.orders.insert_one({"customer": "<!channel> & co"})
    row = await shop.delivery({"status": "delivered"})

    first, second = (request.json() for request in shop.web.requests)
    assert first == {"text": "*New order* by first"}
    assert second == {"text": "*New order* by &lt;!channel&gt; &amp; co"}
    assert f"POST {shop.web.url}/… answered 404 Not Found: no_service" in dead["error"]
    assert "hunter2" not in f"{running.output} {dead['error']} {row['log']}"


async def test_a_message_in_teams_is_a_card(shop: Shop) -> None:
    """A workflow answers 202."""
    hook(shop, "teams: {url: HOOK/workflow, title: Order, text: 'by **{{ document.customer }}**'}")
    shop.web.answer_always(Answer(202))
    shop.watch()
    await shop.orders.insert_one({"customer": "[here](http://evil.example)"})
    await shop.delivery({"status": "delivered"})

    (attachment,) = shop.web.requests[0].json()["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    title, text = attachment["content"]["body"]
    assert title["text"] == "Order"
    assert text["text"] == "by **\\[here\\](http://evil.example)**"


async def test_a_rule_mails_by_its_own_server(shop: Shop, start_smtp_sink: Callable[..., SmtpSink]) -> None:
    """With its own login and encryption, and without a mail server for all rules; the other rules of two
    that are there mail by that one."""
    own = start_smtp_sink("starttls", users={"alerts@shop.example": "hunter2"})
    mail = "email: {to: sales@example.com, subject: own, text: x, smtp: '${OWN_SMTP_URL}'}"
    shop.rule("own", f"on: {{collection: SHOP.orders}}\ndo: [{mail}]\n")
    environment = {**shop.environment, "OWN_SMTP_URL": own.url}
    without = {name: environment[name] for name in environment if name != "MTRIGGER_SMTP_URL"}
    running = shop.command.start("watch", "--rules", "triggers/", env=without)
    running.wait_for_line(r"watching .* from .* on")
    await shop.orders.insert_one({"_id": 1})
    await eventually(lambda: own.mails)
    await shop.delivery({"status": "delivered"})
    assert running.terminate() == 0

    assert own.mails[0].message["From"] == "alerts@shop.example"
    assert own.mails[0].encrypted
    assert own.logins == ["alerts@shop.example"]
    assert "hunter2" not in running.output

    usual = "email: {to: sales@example.com, subject: usual, text: x}"
    shop.rule("usual", f"on: {{collection: SHOP.orders}}\ndo: [{usual}]\n")
    refused = shop.command.run("watch", "--rules", "triggers/", env=without)
    assert refused.code == 64
    assert "rule usual: sends e-mail, but no mail server is set" in refused.stderr
    assert "rule own" not in refused.stderr

    running = shop.command.start("watch", "--rules", "triggers/", env=environment)
    running.wait_for_line(r"watching .* from .* on")
    await shop.orders.insert_one({"_id": 2})
    await eventually(lambda: len(own.mails) == 2 and shop.mail.mails)
    assert [mail.message["Subject"] for mail in shop.mail.mails] == ["usual"]


def test_previews_show_what_would_be_sent_and_no_secret(shop: Shop) -> None:
    """`mtrigger test` for every way of telling somebody."""
    room = "https://rooms.example.com/hunter2"
    shop.rule(
        "tell",
        f"""
        on: {{collection: SHOP.orders}}
        do:
          - webhook: {{url: 'https://example.com/hook?key=hunter2', secret: [hunter2, other-hunter2]}}
          - webhook: {{url: 'https://example.com/events', format: cloudevents}}
          - slack: {{url: '{room}', text: 'for {{{{ document.name }}}}'}}
          - teams: {{url: '{room}', text: 'for {{{{ document.name }}}}'}}
          - email: {{to: a@example.com, subject: s, text: t, smtp: 'smtp://u:hunter2@mail.example'}}
        """,
    )
    document = json.dumps({"_id": 1, "name": "<!here>"})
    done = shop.run("test", "--rules", "triggers/", "--document", document)

    assert done.code == 0, done.output
    assert "POST https://example.com/hook" in done.stdout
    assert '"specversion": "1.0"' in done.stdout
    assert done.stdout.count("POST https://rooms.example.com/…") >= 2
    assert "for &lt;!here&gt;" in done.stdout
    assert "for \\\\<!here\\\\>" in done.stdout
    assert "mail.example:587" in done.stdout
    assert "hunter2" not in done.output


def test_check_tells_settings_that_cannot_be_meant(shop: Shop) -> None:
    """With their places."""
    shop.rule(
        "tell",
        "on: {collection: SHOP.orders}\ndo:\n"
        "  - webhook: {url: 'https://example.com', format: cloudevents, body: {a: 1}}\n"
        "  - webhook: {url: 'https://example.com', retry_on: [200]}\n"
        "  - slack: {url: 'https://example.com/{{ document.room }}'}\n"
        "  - teams: {text: x}\n"
        "  - email: {to: a@example.com, subject: s, text: t, smtp: 'mail.example'}\n",
    )
    done = shop.run("check", "--rules", "triggers/")

    assert done.code == 1
    lines = [line.partition("tell.yaml:")[2] for line in done.stdout.splitlines()]
    assert [line.partition(": ")[0].partition(":")[0] for line in lines] == ["3", "4", "5", "6", "7"]
    assert "keep one of the two" in lines[0]
    assert "`do[1].webhook.retry_on[0]`" in lines[1]
    assert "the address is no template" in lines[2]
    assert "`do[3].teams.url` is missing" in lines[3]
    assert "The SMTP address (`smtp`) cannot be used" in lines[4]
