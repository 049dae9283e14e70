"""What flows where, found out from rules and sources: what they read, the steps, and where these end."""

from collections.abc import Iterator, Mapping, Sequence

from mtrigger.config_types import format_duration
from mtrigger.graphing.destinations import ends_of
from mtrigger.graphing.flow import Edge, EdgeKind, Flow, Gathering, Node
from mtrigger.graphing.places import collection, parts, query, table, topic
from mtrigger.message_paths import as_written
from mtrigger.quiet import Active, Per
from mtrigger.rules import Rule
from mtrigger.schedules import meaning
from mtrigger.sources.definition import Source

_EVERY_CHANGE = frozenset({"insert", "update", "replace"})
_ORDER = ("insert", "update", "delete")
_OF_ALL = Node("dead letters:", "dead letters", "of all rules", "dead letters")


def flow_of(rules: Sequence[Rule], sources: Sequence[Source] = ()) -> Flow:
    """The flow through `sources` and `rules`."""
    gathering = Gathering()
    urls: dict[str, int] = {}
    for source in sources:
        number = urls.setdefault(source.query.url, len(urls))
        _add_source(gathering, source, number)
    steps = {rule.name: _rule_node(rule) for rule in rules}
    for rule in rules:
        _add_rule(gathering, rule, steps)
    for edge in parts(gathering.flow()):
        gathering.edge(edge)
    return gathering.flow()


def _add_source(gathering: Gathering, source: Source, number: int) -> None:
    asked = source.query
    marks = (asked.mode, f"every {format_duration(asked.poll)}")
    text = f"source {source.name}" + (f": {source.description}" if source.description else "")
    step = Node(f"source:{source.name}", "source", "source", source.name, "", marks, text, source.enabled)
    read = [table(name, asked.url, number) for name in asked.tables] or [query(source.name, asked.url)]
    for node in read:
        gathering.node(node)
    gathering.node(step)
    for node in read:
        gathering.edge(Edge(node.id, step.id))
    for into in _landings(source):
        gathering.edge(Edge(step.id, gathering.node(into), "upsert" if into.kind == "collection" else ""))


def _landings(source: Source) -> Iterator[Node]:
    """Where the rows go; `{table}` is one place for each table that is named."""
    into = source.destination
    for name in source.query.tables or ("",):
        short = name.rpartition(".")[2]
        if into.topic:
            yield topic(into.topic.replace("{table}", short))
        else:
            yield collection(into.collection.replace("{table}", short))


def _add_rule(gathering: Gathering, rule: Rule, steps: Mapping[str, Node]) -> None:
    starts = [(gathering.node(start), label, kind) for start, label, kind in _beginnings(rule, steps)]
    step = gathering.node(steps[rule.name])
    for start, label, kind in starts:
        gathering.edge(Edge(start, step, label, kind))
    for action in rule.actions:
        for end, label in ends_of(action):
            gathering.edge(Edge(step, gathering.node(end), label))
    for action in rule.resolved:
        for end, _ in ends_of(action):
            gathering.edge(Edge(step, gathering.node(end), "when over"))


def _beginnings(rule: Rule, steps: Mapping[str, Node]) -> Iterator[tuple[Node, str, EdgeKind]]:
    """Where the events of a rule come from, and the labels and kinds of the edges from there."""
    if rule.dead_letters_of is not None:
        of = [name for name in rule.dead_letters_of if name in steps and name != rule.name]
        for name in of:
            yield steps[name], "dead letters", "dead"
        if not of:
            yield _OF_ALL, "", "dead"
    if (read := rule.topic) is not None:
        yield topic(read.name), "" if read.group == rule.name else f"group {read.group}", "data"
    if (schedule := rule.schedule) is not None:
        times, _, _ = meaning(schedule).rpartition(" (")
        yield Node(f"schedule:{meaning(schedule)}", "schedule", schedule.zone.key, times), "", "data"
        if schedule.query is not None:
            yield collection(schedule.query.collection), "query", "data"
    for pattern in rule.collections.patterns:
        yield collection(pattern), _operations(rule), "data"


def _operations(rule: Rule) -> str:
    """What of a collection's changes a rule wants, "" for all that it wants by default."""
    fields = f" of {', '.join(rule.fields)}" if rule.fields else ""
    if rule.operations == _EVERY_CHANGE:
        return f"changes{fields}" if fields else ""
    wanted = rule.operations - {"replace"} if "update" in rule.operations else rule.operations
    return ", ".join(sorted(wanted, key=lambda name: (*_ORDER, name).index(name))) + fields


def _rule_node(rule: Rule) -> Node:
    looked_up = rule.schedule.query if rule.schedule is not None else None
    condition = rule.condition or (looked_up.where if looked_up is not None else None)
    code = condition.text if condition is not None else ""
    text = "\n".join(part for part in (rule.description, f"when: {code}" if code else "") if part)
    marks = tuple(_marks(rule))
    return Node(f"rule:{rule.name}", "rule", "rule", rule.name, code, marks, text, rule.enabled)


def _marks(rule: Rule) -> Iterator[str]:
    """What makes a rule speak and what keeps it quiet."""
    if not rule.enabled:
        yield "not enabled"
    if rule.fire != "always":
        yield {"once": "once", "entering": "when it begins"}[rule.fire]
    if (absent := rule.absent) is not None:
        yield f"nothing for {format_duration(absent.seconds)}{_per(rule, absent.per)}"
    if (count := rule.count) is not None:
        yield f"{count.at_least} within {format_duration(count.within)}{_per(rule, count.per)}"
    if (throttle := rule.throttle) is not None:
        yield f"one in {format_duration(throttle.every)}{_per(rule, throttle.per)}"
    if (digest := rule.digest) is not None:
        times = f"every {format_duration(digest.every)}" if digest.every is not None else digest.cron
        yield f"digest {times}{_per(rule, digest.per)}"
    if rule.active is not None:
        yield _hours(rule.active)


def _per(rule: Rule, paths: Per) -> str:
    shown = map(as_written, paths) if rule.topic is not None else paths
    return f" per {', '.join(shown)}" if paths else ""


def _hours(active: Active) -> str:
    return f"{active.start:%H:%M} to {active.end:%H:%M}" if active.start != active.end else "on some days"
