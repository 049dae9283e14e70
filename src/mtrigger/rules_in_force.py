"""The rules that a process goes by, and how changed ones take their place: everywhere at once, or nowhere.

Promise: rules with a mistake in them, or that ask for what the deployment has not, replace nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from pymongo import AsyncMongoClient

from mtrigger import actions, pushdown
from mtrigger.actions.base import Preview, Work
from mtrigger.actions.services import Services
from mtrigger.consuming.checking import topic_findings
from mtrigger.deployment import preflight
from mtrigger.deployment.connecting import Deployment
from mtrigger.deployment.databases import State
from mtrigger.dispatcher import Runner
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import RuleSet, load
from mtrigger.matching import Matcher
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.queries import learning
from mtrigger.reloading import RuleFiles
from mtrigger.rules import Rule, with_endings
from mtrigger.running.dry_run import Rehearsal
from mtrigger.settings import Settings
from mtrigger.stores.base import LineKey
from mtrigger.supervision.threads import in_thread
from mtrigger.topics.message_events import Group

log = logging.getLogger(__name__)

Client = AsyncMongoClient[dict[str, Any]]
Show = Callable[[Work, Preview], None]


@dataclass(frozen=True, slots=True)
class InForce:
    """What a set of rules comes to: which of them hold, what to ask the server for, what to run, and the two
    in a few words for people."""

    matcher: Matcher
    plan: StreamPlan
    runners: Mapping[LineKey, Runner]
    words: tuple[str, str]

    @property
    def groups(self) -> dict[Group, str]:
        """The groups of rules that consume topics, each with where it begins when it is new."""
        return {
            Group(rule.topic.name, rule.topic.group): rule.topic.start
            for rule in self.matcher.rules
            if rule.topic is not None
        }

    def of_group(self, group: Group) -> "InForce":
        """What concerns one group: its rules, and those of dead letters, which tell of its deaths."""

        def consumes(rule: Rule) -> bool:
            return rule.topic is not None and Group(rule.topic.name, rule.topic.group) == group

        mine = [rule for rule in self.matcher.rules if consumes(rule)]
        runners = {
            key: runner
            for key, runner in self.runners.items()
            if consumes(runner.rule) or runner.rule.dead_letters_of is not None
        }
        return replace(
            self, matcher=Matcher(mine), runners=runners, words=(f"the topic {group.topic}", _number(mine))
        )


class Served(Protocol):
    """Work that goes by rules."""

    async def start(self, rules: InForce) -> None:
        """Go by these rules, the first ones."""
        ...

    async def use(self, rules: InForce) -> None:
        """Go on with other rules."""
        ...


def read_rules(settings: Settings) -> RuleSet:
    """The rules as they are on disk. Raises RulesError, SettingsError."""
    return load(settings.rules, settings.templates, settings.environ)


async def consider(rules: RuleSet, settings: Settings, client: Client, state: State) -> None:
    """Say what is worth saying about the rules; raise SettingsError for what makes one of them useless."""
    found = await preflight.survey(client, rules.rules)
    mail_server = settings.smtp or (object() if settings.dry_run else None)
    grave = []
    said = preflight.findings(rules.rules, found, mail_server)
    said += preflight.into_the_state(rules.rules, settings.state_db)
    said += await topic_findings(rules.rules, state)
    for finding in (*said, *preflight.across_partitions(rules.rules, settings.partitions)):
        if finding.grave:
            grave.append(str(finding))
        else:
            log.warning("%s", finding)
    if grave:
        raise SettingsError("\n".join(grave))


class RulesInForce:
    """The rules of one process, with all that goes by them. `rules` are those in force."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        deployment: Deployment,
        state: State,
        services: Services,
        show: Show,
        files: RuleFiles,
        rules: RuleSet,
    ) -> None:
        """`client` reaches the watched `deployment`. Raises SettingsError for rules that need
        more than `state` can hold."""
        self.rules = rules
        self._settings = settings
        self._client = client
        self._state = state
        self._services = services
        self._show = show
        self._files = files
        self._deployment = deployment
        self._in_force = self._prepared(rules)
        self._served: list[Served] = []
        self._changing = asyncio.Lock()

    @property
    def matcher(self) -> Matcher:
        """Finds those that hold, of the rules in force."""
        return self._in_force.matcher

    async def begin(self, work: Served) -> None:
        """Let `work` go by the rules from now on, until `leave`."""
        async with self._changing:
            if self._files.changed():
                await self._take_over()
            await work.start(self._in_force)
            self._served.append(work)

    def leave(self, work: Served) -> None:
        """`work` has ended, or never began."""
        if work in self._served:
            self._served.remove(work)

    async def reload(self, ending: asyncio.Event) -> None:
        """Take over changed rules, until `ending`."""
        async for _ in self._files.changes(ending):
            async with self._changing:
                await self._take_over()

    async def _take_over(self) -> None:
        """Read the rules again and use them everywhere, or nowhere."""
        try:
            changed = await in_thread(partial(read_rules, self._settings))
            await consider(changed, self._settings, self._client, self._state)
            in_force = self._prepared(changed)
        except (RulesError, SettingsError) as error:
            _refuse(error)
            return
        self.rules, self._in_force = changed, in_force
        for work in tuple(self._served):
            await work.use(in_force)
        log.info("rules reloaded: watching %s with %s", *in_force.words)

    def _prepared(self, rules: RuleSet) -> InForce:
        if not self._state.holds_topics and (found := preflight.without_topics(rules.rules)):
            raise SettingsError("\n".join(map(str, found)))
        if not (self._settings.dry_run or self._state.store.effects.together):
            for finding in preflight.carried_out_apart(rules.rules):
                log.warning("%s", finding)
        plan = pushdown.plan(rules.rules, self._settings.state_db, self._deployment.large_events)
        return InForce(Matcher(rules.rules), plan, self._runners(rules), _summary(rules))

    def _runners(self, rules: RuleSet) -> dict[LineKey, Runner]:
        self._services.templates = rules.templates
        runners = {}
        for rule in with_endings(rules.rules):
            if rule.enabled:
                for entry in rule.actions:
                    action = actions.kind(entry.kind).open(entry.config, self._services)
                    if self._settings.dry_run:
                        action = Rehearsal(action, self._show)
                    learn = learning(self._client, rule)
                    runners[LineKey(rule.name, entry.name)] = Runner(rule, action, entry.concurrency, learn)
        return runners


def _refuse(error: RulesError | SettingsError) -> None:
    for line in str(error).splitlines():
        log.error("%s", line)
    log.error("the rules were not reloaded: the ones before stay in force until this is mended")


def _summary(rules: RuleSet) -> tuple[str, str]:
    enabled = [rule for rule in rules.rules if rule.enabled]
    patterns = sorted({pattern for rule in enabled for pattern in rule.collections.patterns})
    topics = sorted({f"the topic {rule.topic.name}" for rule in enabled if rule.topic is not None})
    watched = [*patterns, *topics]
    shown = ", ".join(watched[:5]) + (f" and {len(watched) - 5} more" if len(watched) > 5 else "")
    return shown or "nothing", _number(enabled)


def _number(rules: list[Rule]) -> str:
    return f"{len(rules)} rule{'s' if len(rules) != 1 else ''}"
