"""What has to be done so that collections keep the document before a change where rules need it. Pure.

Source: MongoDB manual, "Change Streams with Document Pre- and Post-Images" (collMod, create).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mtrigger.rules import Rule

_IMAGES = {"changeStreamPreAndPostImages": {"enabled": True}}


@dataclass(frozen=True, slots=True)
class Preparation:
    """One command for one collection: turn its images on, or create it with them.

    `rules` are the names of the rules that need it.
    """

    namespace: str
    command: Literal["collMod", "create"]
    rules: tuple[str, ...]

    @property
    def database(self) -> str:
        """The database the command is for."""
        return self.namespace.partition(".")[0]

    @property
    def document(self) -> Mapping[str, Any]:
        """The command as it is sent."""
        return {self.command: self.namespace.partition(".")[2], **_IMAGES}


def preparations(rules: Sequence[Rule], images: Mapping[str, bool]) -> list[Preparation]:
    """What is to be done for the enabled ones of `rules` by namespace.

    `images` are the collections there are: namespace -> whether it keeps images (`preflight.Survey`).

    A collection that a rule names in full and that does not exist yet is to be created; what a wildcard may
    mean one day cannot be prepared.
    """
    from mtrigger.deployment.preflight import Survey, without_images  # which imports the driver

    enabled = [rule for rule in rules if rule.enabled]
    named = {name for rule in enabled for name in rule.collections.exact}
    survey = Survey({**dict.fromkeys(named, False), **images})
    needed: dict[str, list[str]] = {}
    for rule in enabled:
        for namespace in without_images(rule, survey):
            needed.setdefault(namespace, []).append(rule.name)
    return [
        Preparation(namespace, "collMod" if namespace in images else "create", tuple(names))
        for namespace, names in sorted(needed.items())
    ]
