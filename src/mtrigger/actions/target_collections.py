"""The collections that actions write to: one, named in full in the rule file, and not MongoDB's own."""

from typing import Annotated

from pydantic import AfterValidator

from mtrigger.config_types import one_collection


def _valid_target(namespace: str) -> str:
    if "*" in namespace:
        raise ValueError("write the name of one collection: there are no wildcards here")
    if "{{" in namespace or "{%" in namespace:
        raise ValueError("the collection is fixed: there are no templates here")
    database, _, collection = namespace.partition(".")
    if database in ("admin", "config", "local") or collection.startswith("system."):
        raise ValueError("this is MongoDB's own: nothing is written there")
    return one_collection(namespace)


TargetCollection = Annotated[str, AfterValidator(_valid_target)]
"""`database.collection`, as an action writes to it."""
