"""What every action is given, and what it has to be.

An action is one class with two verbs: `run` does it, `preview` says what it would do and sends nothing.
What writes into MongoDB returns the write as a value instead of doing it, so that it can be carried out
together with the outcome. Raising is how it reports failure: `PermanentError` for "never", `RetryLater` for
"not before", anything else for "the rule's retry policy decides". Adding one takes one file here and one line
in `actions/__init__.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mtrigger.actions.services import Services
from mtrigger.config_types import Count
from mtrigger.effects import Effect
from mtrigger.rules import CONCURRENCY
from mtrigger.templates import Templates


class ActionConfig(BaseModel):
    """Base of every action's settings in a rule file: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: Count = Field(
        default=CONCURRENCY, description="How many attempts of this action may run at the same time"
    )


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt at one delivery, as an action sees it.

    `scope` holds the names of section "Templates and actions" in docs/rules.md: `document`, `before`,
    `event` (operation, database, collection, key, time, id), `rule` (name, description), `delivery` (id,
    attempt), `changed`, `now`.
    The fields below it are the same facts, typed, for actions that build protocol messages. `several`: it is
    about several documents together (a digest, what a schedule's query finds), however many these are.
    `depth` and `through` are those of the delivery: what the rules themselves have caused.
    """

    scope: Mapping[str, Any]
    rule: str
    action: str
    delivery_id: str
    attempt: int
    several: bool = False
    depth: int = 0
    through: tuple[str, ...] = ()

    @property
    def subject(self) -> Any:
        """What it is about: the `_id` of the document, the key of the message; None for several documents,
        and for a message without a key."""
        if self.several:
            return None
        message = self.scope.get("message")
        return self.scope["event"]["key"].get("_id") if message is None else message["key"]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do: a line for a list, and the parts a person would want to read.

    `parts` maps a heading ("To", "Subject", "HTML") to its text, in reading order.
    """

    summary: str
    parts: Mapping[str, str]


class Action(Protocol):
    """An action of one rule, ready to run. Actions are shared between attempts and must not keep state."""

    async def run(self, work: Work) -> str | Effect:
        """Do it. Returns a short account of what came of it, such as the server's answer; or what is to be
        written, which is done together with the outcome."""
        ...

    def preview(self, work: Work) -> Preview:
        """Say what would be done. Raises what `run` would raise before it reaches anything outside."""
        ...


@dataclass(frozen=True, slots=True)
class ConfigMistake:
    """Something wrong in an action's settings that only a look at the surroundings can tell.

    `path` leads to the value within the action's settings, e.g. ("attachments", 0, "name"). `line` and
    `column`, when given, count within that value's text (or within `file`, when that is given).
    """

    path: tuple[str | int, ...]
    message: str
    line: int = 0
    column: int = 0
    file: str = ""


Need = Literal["smtp", "topics"]
"""What an action needs from the outside: "smtp", the mail server for all rules (MTRIGGER_SMTP_URL); "topics",
a state database that can hold topics."""

ConfigT = TypeVar("ConfigT", bound=ActionConfig)


def _whole(config: ConfigT) -> tuple[ConfigT, ...]:
    return (config,)


def nothing(config: ActionConfig) -> frozenset[Need]:
    """What most actions need from the outside."""
    return frozenset()


def nowhere(config: ActionConfig) -> frozenset[str]:
    """Where most actions write."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class ActionKind(Generic[ConfigT]):
    """One kind of action: its name in `do:`, the model of its settings, and how to check, to judge and to
    open it.

    `mistakes(config, templates)` yields what is wrong beyond the model (a template that does not compile, a
    function that does not exist) without touching the network. `reads(config, templates)` are the names of
    `Work.scope` that such an action may read, None when it cannot be told; `config` has no mistakes.
    `open(config, services)` makes the action.
    `shorthand`, if set, is the settings key meant by a bare value (`function: "package.module:name"`): a
    text, or, when `shorthand_takes` says so, a list (`command: [./notify.sh]`).
    `split(config)` makes several settings out of one, each a delivery of its own, tried by itself; by default
    it does not.
    `needs(config)` names what must be configured before such an action can run, checked when the engine
    starts.
    `writes(config)` are the collections (`database.collection`) that such an action writes to as an Effect.
    `files` are settings of which a text names a JSON file beside the rule file; its content takes the text's
    place. `of_messages`: it is for rules of topics alone; `instead` says what others use.
    """

    name: str
    config: type[ConfigT]
    mistakes: Callable[[ConfigT, Templates], Iterator[ConfigMistake]]
    reads: Callable[[ConfigT, Templates], frozenset[str] | None]
    open: Callable[[ConfigT, Services], Action]
    shorthand: str = ""
    shorthand_takes: Literal["text", "list"] = "text"
    split: Callable[[ConfigT], tuple[ConfigT, ...]] = _whole
    needs: Callable[[ConfigT], frozenset[Need]] = nothing
    writes: Callable[[ConfigT], frozenset[str]] = nowhere
    files: tuple[str, ...] = ()
    of_messages: bool = False
    instead: str = ""
