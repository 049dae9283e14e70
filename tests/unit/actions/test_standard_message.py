"""The data that webhooks, commands and cloud events send of an event."""

from mtrigger.actions.standard_message import standard_data, standard_message
from mtrigger.gates.gathering import facts_of
from mtrigger.scopes import work_for
from support.recording import rule_on
from support.samples import NOW, delivery_at
from support.works import work_for_document


def test_a_single_document_is_told_of_once() -> None:
    """Its number and a list of it would say nothing more."""
    data = standard_data(work_for_document({"_id": 1}))
    assert (data["namespace"], data["document"]) == ("shop.orders", {"_id": 1})
    assert not {"documents", "count", "more"} & data.keys()


def test_several_documents_are_listed() -> None:
    """What a schedule's query finds, or what was gathered: also when that is one, or none."""
    for documents, count in (([{"a": 1}, {"a": 2}], 5), ([{"a": 1}], 1), ([], 0)):
        more = count - len(documents)
        told = standard_data(work_for_document({}, documents=documents, count=count, more=more))
        assert (told["documents"], told["count"], told["more"]) == (documents, count, more)


def test_a_digest_of_one_change_is_told_like_any_other_digest() -> None:
    """Whoever reads digests need not tell them apart."""
    rule, delivery = rule_on("shop.orders"), delivery_at(1)
    gathered = work_for(rule, delivery, NOW, facts_of([{"_id": 1}], 1, {}))
    assert standard_data(gathered)["documents"] == [{"_id": 1}]
    assert "documents" not in standard_data(work_for(rule, delivery, NOW, {"count": 1}))


def test_sums_are_told() -> None:
    """Of what was gathered."""
    assert standard_data(work_for_document({}, sums={"amount": 17}))["sums"] == {"amount": 17}
    assert "sums" not in standard_data(work_for_document({}))


def test_what_happened_in_no_collection_has_no_namespace() -> None:
    """A schedule without a query."""
    event = {
        **work_for_document({}).scope["event"],
        "operation": "schedule",
        "database": "",
        "collection": "",
    }
    data = standard_message(work_for_document({}, event=event, documents=[], count=0))["data"]
    assert (data["operation"], data["namespace"]) == ("schedule", "")
