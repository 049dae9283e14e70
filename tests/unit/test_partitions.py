"""How a stream is divided: names, shares, filters."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.deployment.preflight import across_partitions
from mtrigger.partitions import MOST_PARTITIONS, UNDIVIDED, Partition, dealt, partitions
from mtrigger.pushdown import plan
from mtrigger.quiet import Absent, Count, Digest, Throttle
from mtrigger.reading.narrowing import narrowed
from support.recording import rule_on

counts = st.integers(1, MOST_PARTITIONS)


@given(counts)
def test_a_name_says_which_of_how_many(count: int) -> None:
    """And is read back; the undivided stream is called as it always was."""
    assert UNDIVIDED.name == "main/0"
    names = [partition.name for partition in partitions(count)]
    assert [Partition.named(name) for name in names] == list(partitions(count))
    assert len({*names, "main/0"}) == count + (count > 1)


@pytest.mark.parametrize(
    "name",
    ["", "main", "main/1", "main/0-of-1", "main/2-of-2", "main/-1-of-2", "other/0", "main/00"],
)
def test_any_other_text_names_no_partition(name: str) -> None:
    """Two names for one partition would be two positions."""
    with pytest.raises(ValueError, match=r"partition|invalid literal"):
        Partition.named(name)


@given(counts, st.integers(1, MOST_PARTITIONS))
def test_every_partition_is_dealt_to_one_process(count: int, processes: int) -> None:
    """And no process has two more than another."""
    shares = [list(dealt(count, process, processes)) for process in range(processes)]
    assert sorted(partition for share in shares for partition in share) == list(partitions(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_an_undivided_stream_is_narrowed_by_nothing() -> None:
    """Its plan and its tokens stay what they were."""
    whole = plan([rule_on("shop.orders")], "mtrigger")
    assert narrowed(whole, UNDIVIDED) == whole
    assert UNDIVIDED.holds("_id") == {}


@given(st.integers(2, MOST_PARTITIONS))
def test_a_narrowed_plan_has_a_hash_of_its_own(count: int) -> None:
    """A token of one partition is none for another."""
    whole = plan([rule_on("shop.orders")], "mtrigger")
    plans = [narrowed(whole, partition) for partition in partitions(count)]
    assert len({whole.hash, *(narrow.hash for narrow in plans)}) == count + 1
    assert all(narrow.match["$and"][0] == whole.match for narrow in plans)


def test_an_order_across_all_documents_is_no_matter_of_one_partition() -> None:
    """Said of enabled rules, and only where there are several partitions."""
    ordered = rule_on("shop.orders", ordering="rule")
    disabled = replace(ordered, enabled=False)
    assert [finding.grave for finding in across_partitions([ordered, rule_on("shop.items")], 2)] == [True]
    assert across_partitions([ordered], 1) == []
    assert across_partitions([disabled], 2) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"throttle": Throttle(60.0)}, "`throttle` keeps account for the whole rule"),
        ({"throttle": Throttle(60.0, ("customer.id",))}, "`throttle` keeps account for each customer.id"),
        ({"count": Count(5, 60.0, ("user", "site"))}, "`count` keeps account for each user, site"),
        ({"digest": Digest(60.0, "", ZoneInfo("UTC"))}, "`digest` keeps account for the whole rule"),
    ],
    ids=["throttle", "throttle per", "count", "digest"],
)
def test_what_is_counted_over_documents_is_no_matter_of_one_partition(
    setting: dict[str, Any], expected: str
) -> None:
    """A group's documents may lie in several partitions, each of which would count for itself."""
    rule = replace(rule_on("shop.orders"), **setting)

    (finding,) = across_partitions([rule], 2)

    assert finding.grave
    assert finding.message.startswith(expected)
    assert "{per: _id, …}" in finding.message
    assert across_partitions([rule], 1) == []


@pytest.mark.parametrize("per", [(), ("device",), ("_id",)])
def test_silence_is_no_matter_of_one_partition(per: tuple[str, ...]) -> None:
    """What is due is asked by the time of one stream, whatever the groups are."""
    rule = replace(rule_on("shop.orders"), absent=Absent(60.0, per))

    (finding,) = across_partitions([rule], 2)

    assert finding.grave
    assert "`--partitions 1`" in finding.message
    assert across_partitions([rule], 1) == []


@pytest.mark.parametrize("setting", [{"throttle": Throttle(60.0, ("_id",))}, {"max_age": 60.0}, {}])
def test_what_is_kept_for_each_document_may_be_divided(setting: dict[str, Any]) -> None:
    """All changes of a document fall to one partition."""
    assert across_partitions([replace(rule_on("shop.orders"), **setting)], 2) == []
