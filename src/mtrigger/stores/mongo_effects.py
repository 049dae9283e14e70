"""Effects in the deployment that keeps the state: each in one transaction with its delivery's outcome.

The row of the delivery is written first, and only while it is open, so whoever comes second with an effect
(after a lost reply, or as a stream's earlier owner) finds nothing to do. A transaction outlives the process
that began it and holds its documents for up to a minute: so the session that is used is written down before,
and whoever comes next ends it.

The collection `effects` of the state database holds those sessions, and for some time what caused the changes
that came of a transaction.
"""

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.errors import BSONError
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from mtrigger.deliveries import Settlement
from mtrigger.effects import STATE, Cause, Effect
from mtrigger.errors import PermanentError
from mtrigger.faults import Fault, classify
from mtrigger.messages import COLLECTIONS
from mtrigger.stores.effect_writes import is_contention, refusal, writes
from mtrigger.stores.effects import CameOf, CarriedOutBeforeError, Effects, MakeTopic, left_to_readers
from mtrigger.stores.mongo_memories import MongoMemories
from mtrigger.stores.outcomes import settling
from mtrigger.stores.steadiness import StateOutage, steadily
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.transactions import transaction_name

log = logging.getLogger(__name__)

MOST_CONFLICTS = 8
"""Times that others may write the same documents before an attempt has failed."""

CAUSES_KEPT = timedelta(days=1)
"""How long it is known what caused a change: longer than a stream is usually behind."""

_NOT_ENDED = (
    "The transactions of the process that had this partition before could not be ended: %s. MongoDB ends "
    "them by itself, after a minute if nothing else is set; until then, actions that write the same "
    "documents fail and are tried again."
)
_TRANSIENT, _UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"

Client = AsyncMongoClient[dict[str, Any]]


class MongoEffects:
    """The effects of one partition, one transaction after the other."""

    together = True

    def __init__(
        self,
        client: Client,
        state: AsyncDatabase[dict[str, Any]],
        memories: MongoMemories,
        outage: StateOutage,
        make_topic: MakeTopic = left_to_readers,
    ) -> None:
        self._client = client
        self._state = state
        self._make_topic = make_topic
        self._made: set[str] = set()
        self._deliveries = state.get_collection("deliveries")
        self._rows = state.get_collection("effects")
        self._memories = memories
        self.outage = outage
        self._session: AsyncClientSession | None = None

    async def carry_out(self, settlements: Sequence[Settlement], cause: Cause | None) -> CameOf:
        effects = _effects(settlements)
        await self._make_topics(effects)
        try:
            done = await self._settle(settlements, effects, cause)
        except CarriedOutBeforeError:
            if len(effects) > 1:  # the others have not been
                raise
            return "unwritten"
        return "written" if done else "settled before"

    def is_together(self, effect: Effect) -> bool:
        return True

    async def _make_topics(self, effects: Sequence[Effect]) -> None:
        """Before the first message: in a transaction, a collection can be made but no index in use."""
        for collection in {effect.collection for effect in effects if effect.database == STATE} - self._made:
            await self._make_topic(collection.removeprefix(COLLECTIONS))
            self._made.add(collection)

    async def _settle(
        self, settlements: Sequence[Settlement], effects: Sequence[Effect], cause: Cause | None
    ) -> bool:
        """Whether all of it was written; else a delivery is not owed any more, and nothing was."""
        if self._session is None:
            self._session = await self._begin(settlements[0].delivery.partition)
        conflicts = 0
        while True:
            heed_cancellation()
            await self.outage.passable()
            try:
                done = await self._transaction(self._session, settlements, effects, cause)
            except PyMongoError as error:
                if is_contention(error, effects):
                    conflicts += 1
                    if conflicts >= MOST_CONFLICTS:
                        raise refusal(error, effects[0]) from error
                    await asyncio.sleep(random.uniform(0, 0.005 * 2.0**conflicts))  # noqa: S311 - jitter
                elif error.has_error_label(_TRANSIENT) or classify(error) is Fault.PASSING:
                    await self.outage.wait(error, "settle effects")
                else:
                    raise refusal(error, effects[0]) from error
            except (BSONError, OverflowError, RecursionError) as error:
                raise PermanentError(f"the write cannot be encoded as BSON: {error}") from error
            else:
                self.outage.over("settle effects")
                return done

    async def _transaction(
        self,
        session: AsyncClientSession,
        settlements: Sequence[Settlement],
        effects: Sequence[Effect],
        cause: Cause | None,
    ) -> bool:
        await session.start_transaction(write_concern=WriteConcern("majority"))
        try:
            rows = await self._deliveries.bulk_write(settling(settlements), ordered=False, session=session)
            if rows.matched_count != len(settlements):
                await session.abort_transaction()
                return False
            for (database, collection), some in writes(effects).items():
                place = self._state if database == STATE else self._client[database]
                target = place.get_collection(collection)
                await target.bulk_write(some, ordered=False, session=session)
            memories = [settlement.remembers for settlement in settlements if settlement.remembers]
            if memories:
                await self._memories.keep_within(session, memories)
            if cause is not None:
                await self._rows.insert_one(_cause_row(session, cause), session=session)
        except BaseException:
            await session.abort_transaction()
            raise
        await self._commit(session)
        return True

    async def _commit(self, session: AsyncClientSession) -> None:
        """Commit, and ask again while the answer is not known."""
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if not error.has_error_label(_UNKNOWN):
                    raise
                await self.outage.wait(error, "commit effects")
            else:
                self.outage.over("commit effects")
                return

    @steadily
    async def _begin(self, partition: str) -> AsyncClientSession:
        """A session whose transactions the next owner of `partition` can end; those of earlier ones end."""
        await self._rows.create_index("expires_at", name="expiry", expireAfterSeconds=0)
        earlier = await self._rows.find({"partition": partition}).to_list()
        if earlier:
            sessions = [{"id": row["session"]} for row in earlier]
            try:
                await self._client.admin.command("killSessions", sessions)
            except OperationFailure as error:
                if classify(error) is Fault.PASSING:
                    raise
                log.warning(_NOT_ENDED, error)
            await self._rows.delete_many({"_id": {"$in": [row["_id"] for row in earlier]}})
        session = self._client.start_session()
        own = session.session_id["id"]
        row = {"_id": f"session {bytes(own).hex()}", "partition": partition, "session": own}
        await self._rows.insert_one(row)
        return session

    @steadily
    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        found = self._rows.find({"_id": {"$in": list(transactions)}})
        return {row["_id"]: Cause(row["rule"], row["depth"], tuple(row["through"])) async for row in found}


class EffectsElsewhere:
    """Effects in a deployment that does not keep the state: carried out first, then settled. Messages, which
    lie with the state, are carried out `at_home`."""

    together = False

    def __init__(self, client: Client, at_home: Effects) -> None:
        self._client = client
        self._at_home = at_home

    def is_together(self, effect: Effect) -> bool:
        return effect.database == STATE

    async def carry_out(self, settlements: Sequence[Settlement], cause: Cause | None) -> CameOf:
        effects = _effects(settlements)
        if all(self.is_together(effect) for effect in effects):
            return await self._at_home.carry_out(settlements, cause)
        for effect in effects:
            with suppress(CarriedOutBeforeError):
                await self._write(effect)
        return "unwritten"

    async def _write(self, effect: Effect) -> None:
        for (database, collection), some in writes([effect]).items():
            durable = self._client[database].get_collection(
                collection, write_concern=WriteConcern("majority")
            )
            try:
                await durable.bulk_write(some)
            except PyMongoError as error:
                raise refusal(error, effect) from error
            except (BSONError, OverflowError, RecursionError) as error:
                raise PermanentError(f"the write cannot be encoded as BSON: {error}") from error

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        return {}


def _cause_row(session: AsyncClientSession, cause: Cause) -> dict[str, Any]:
    # The driver does not tell the number of a transaction otherwise; change events carry it.
    number = session._server_session.transaction_id
    return {
        "_id": transaction_name(bytes(session.session_id["id"]), number),
        "rule": cause.rule,
        "depth": cause.depth,
        "through": list(cause.through),
        "expires_at": datetime.now(UTC) + CAUSES_KEPT,
    }


def _effects(settlements: Sequence[Settlement]) -> list[Effect]:
    return [settlement.effect for settlement in settlements if settlement.effect is not None]
