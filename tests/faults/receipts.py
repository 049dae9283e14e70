"""What a shop's web server was told, delivery by delivery: for tests that ask what was lost or came twice."""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from acceptance.shop import Shop

RULE = """
on: {{collection: {collections}, operations: {operations}}}
{when}
do:
  - webhook:
      url: "{url}"
      body:
        key: "{{{{ event.key._id }}}}"
        step: "{{{{ document.step | default('') }}}}"
        collection: "{{{{ event.collection }}}}"
        operation: "{{{{ event.operation }}}}"
        size: "{{{{ document.blob | default('') | length }}}}"
retry: {{attempts: 1000, first_delay: 20ms, max_delay: 200ms}}
"""


class Receipt(NamedTuple):
    """One request that was taken: the delivery's id and what it said, all of it text."""

    delivery: str
    key: str
    step: str
    collection: str
    operation: str
    size: str


def hook_rule(
    shop: Shop,
    collections: str = "SHOP.orders",
    operations: str = "[insert, update]",
    when: str = "",
    name: str = "hook",
) -> None:
    """A rule that tells the shop's web server of changes."""
    condition = f"when: {when}" if when else ""
    text = RULE.format(collections=collections, operations=operations, when=condition, url=shop.web.url)
    shop.rule(name, text)


def receipts(shop: Shop) -> list[Receipt]:
    """What was taken, in the order it came, repeats too."""
    return [_receipt(request.headers["webhook-id"], request.json()) for request in _taken(shop)]


def first_receipts(shop: Shop) -> list[Receipt]:
    """The same without repeats: each delivery where it came first."""
    return list({receipt.delivery: receipt for receipt in reversed(receipts(shop))}.values())[::-1]


def twice_under_two_ids(shop: Shop, what: Iterable[str]) -> list[Hashable]:
    """Changes, named by these fields of their receipts, that came under more than one delivery id."""
    fields = list(what)
    ids: dict[Hashable, set[str]] = {}
    for receipt in receipts(shop):
        ids.setdefault(tuple(getattr(receipt, field) for field in fields), set()).add(receipt.delivery)
    return [change for change, deliveries in ids.items() if len(deliveries) > 1]


def _taken(shop: Shop) -> list[Any]:
    return [request for request in list(shop.web.requests) if request.status == 200]


def _receipt(delivery: str, body: dict[str, Any]) -> Receipt:
    return Receipt(delivery, **{name: str(value) for name, value in body.items()})
