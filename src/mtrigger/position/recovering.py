"""What is done about a position that cannot be used: the operator's policy, carried out.

Promise: the stretch that is skipped is a durable row of `gaps` before the position moves past it; and with
the policy `fail`, which is the default, nothing moves at all.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger.deployment.connecting import current_time, oldest_time, reason
from mtrigger.errors import PositionError
from mtrigger.faults import Fault, classify
from mtrigger.position import rescanning
from mtrigger.position.resuming import Resumption
from mtrigger.rules import Rule, with_endings
from mtrigger.settings import Policy
from mtrigger.stores.base import Checkpoint, Rescan, Store
from mtrigger.stores.gaps import Gap
from mtrigger.supervision.outages import Outage

log = logging.getLogger(__name__)

Client = AsyncMongoClient[dict[str, Any]]
T = TypeVar("T")


class Lost(NamedTuple):
    """A position that cannot be used, and what MongoDB said."""

    loss: Resumption
    error: Exception


@dataclass(frozen=True, slots=True)
class Policies:
    """What the operator wants to be done; a rescan leaves out `state_database`."""

    state_database: str
    on_history_lost: Policy = "fail"
    on_invalid_token: Policy = "fail"  # noqa: S105 - a resume token is no secret

    def of(self, loss: Resumption) -> Policy:
        """The policy for one kind of loss."""
        return self.on_history_lost if loss is Resumption.HISTORY_LOST else self.on_invalid_token


async def recover(
    client: Client,
    store: Store,
    policies: Policies,
    at: Checkpoint,
    lost: Lost,
    rules: Iterable[Rule],
) -> Checkpoint:
    """Move the position on from `at`, which cannot be used. Returns where the stream opens now, durable.

    A rescan holds `rules` against the documents. Raises PositionError when an operator has to decide.
    """
    loss, error = lost
    policy = policies.of(loss)
    oldest = await _steadily(lambda: oldest_time(client))
    if at.rescan is not None:
        raise rescanning.lost_meanwhile(at.cluster_time) from error
    if policy == "fail":
        raise PositionError(_sentence(loss, at.cluster_time, oldest, error)) from error
    if policy == "from-oldest" and oldest is None:
        raise PositionError(
            "The start of the oplog cannot be read: grant `read` on the database `local`, or go on with the "
            f"policy `rescan` or `from-now`. The position was left as it is. MongoDB says: {error}"
        ) from error
    until = oldest if policy == "from-oldest" and oldest is not None else None
    if until is None:
        until = await _steadily(lambda: current_time(client))
    why = f"{loss.value}: {reason(error)}" if isinstance(error, PyMongoError) else f"{loss.value}: {error}"
    gap = Gap(at.stream, at.cluster_time, until, why, policy, datetime.now(UTC))
    rescan: Rescan | None = None
    if policy == "rescan":
        concerned = tuple(with_endings(rules))  # what stood may be over: the documents show that, too
        rescan = await _steadily(lambda: rescanning.begin(client, concerned, policies.state_database, gap.id))
    if until > at.cluster_time:
        await store.gaps.record(gap)
    moved = replace(
        at, token=None, cluster_time=until, pipeline_hash="", updated_at=datetime.now(UTC), rescan=rescan
    )
    await store.advance(moved)
    log.warning(
        "The stream cannot go on at its position (%s). The changes from %s to %s are skipped (--on-%s %s); "
        "see `mtrigger gaps`.",
        why, _iso(at.cluster_time), _iso(until), loss.value.replace(" ", "-"), policy,
    )  # fmt: skip
    return moved


def _sentence(loss: Resumption, since: Timestamp, oldest: Timestamp | None, error: Exception) -> str:
    """What was lost, and the ways on."""
    option = f"--on-{loss.value.replace(' ', '-')}"
    ways = (
        f"To go on, start once with `mtrigger watch {option} rescan` (beside your other options): it holds "
        f"the rules against the documents as they are now. `{option} from-oldest` goes on with the first "
        f"change there is, `{option} from-now` with the next one. What is skipped is kept in `mtrigger gaps`."
    )
    if loss is Resumption.HISTORY_LOST:
        until = f"to {_iso(oldest)}, where it begins now," if oldest is not None else "on"
        return (
            "The oplog no longer reaches back to the position of this stream: the changes from "
            f"{_iso(since)} {until} are gone, and no rule has seen them. The position was left as it is. "
            f"{ways} MongoDB says: {error}"
        )
    return (
        f"MongoDB accepts neither the position of this stream nor its time, {_iso(since)}: changes since "
        "then have not been seen. The position was left as it is; `mtrigger checkpoint show` lists the "
        "tokens before it, and `mtrigger checkpoint set --token …` puts one back. "
        f"{ways} MongoDB says: {error}"
    )


def _iso(time: Timestamp) -> str:
    return time.as_datetime().astimezone(UTC).isoformat().replace("+00:00", "Z")


async def _steadily(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of `ask`, however long MongoDB does not answer."""
    outage = Outage("MongoDB")
    while True:
        try:
            answer = await ask()
        except PyMongoError as error:
            if classify(error) is not Fault.PASSING:
                raise
            await outage.wait(error)
        else:
            outage.over()
            return answer
