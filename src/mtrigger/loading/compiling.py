"""One document of a rule file to one `Rule`: keys checked, condition parsed, actions checked with their
templates."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mtrigger import actions
from mtrigger.actions.base import ConfigMistake
from mtrigger.conditions import Condition, parse, parse_mapping
from mtrigger.conditions.mapping import mapping_text
from mtrigger.config_types import closest
from mtrigger.errors import ConditionError
from mtrigger.events import DEAD_LETTER
from mtrigger.loading.models import On, RuleFile, Test, valid_name
from mtrigger.loading.nodes import (
    Entry,
    Mapping,
    Node,
    Place,
    Report,
    Scalar,
    Sequence,
    find,
    merge,
    plain,
    written,
)
from mtrigger.loading.scalar_text import place_in
from mtrigger.loading.sources import check_source, operations_of
from mtrigger.loading.validation import dotted, shown, validate
from mtrigger.rules import Collections, Rule, RuleAction, RuleTest
from mtrigger.templates import Templates


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that is to become a rule: its values with the folder's defaults under them, the defaults of
    actions by kind, and whether it is the only one in its file."""

    node: Mapping
    action_defaults: Mapping | None
    alone: bool


def name_of(draft: Draft, report: Report) -> tuple[str, Place]:
    """The rule's name and where it comes from; an empty name if there is no valid one (that is reported here,
    except for a wrong `name:`, which the model reports)."""
    node = draft.node.get("name")
    if node is not None:
        text = node.value if isinstance(node, Scalar) else None
        try:
            return valid_name(str(text or "")), node.place
        except ValueError:
            return "", node.place
    place = draft.node.place
    if not draft.alone:
        report.add(place, "the file holds several rules: each needs a `name`")
        return "", place
    stem = PurePath(place.source.name).stem
    try:
        return valid_name(stem), Place(place.source, 0, 1, 1)
    except ValueError as error:
        report.add(place, f"the file's name cannot name the rule ({error}); give it a `name`")
        return "", place


def compile_rule(draft: Draft, name: str, templates: Templates, report: Report) -> Rule | None:
    """The rule, or None if something is wrong with it; every mistake goes to `report`."""
    before = len(report.mistakes)
    model = validate(RuleFile, draft.node, report)
    when = draft.node.get("when")
    condition = _condition(when, report) if when is not None else None
    if model is not None:
        check_source(model, draft.node, condition, report)
    entries = _actions(draft, templates, report)
    tests = _tests(model, draft.node, report) if model else ()
    if model is None or len(report.mistakes) > before:
        return None
    return Rule(
        name=name,
        collections=Collections(model.on.collection or ()),
        actions=entries,
        description=model.description,
        enabled=model.enabled,
        operations=operations_of(model.on),
        fields=model.on.fields,
        condition=condition,
        ordering=model.ordering,
        retry=model.retry.policy(),
        concurrency=model.concurrency,
        file=draft.node.place.source.name,
        tests=tests,
        dead_letters_of=model.on.rules if model.on.dead_letters else None,
    )


def _condition(node: Node, report: Report) -> Condition | None:
    if isinstance(node, Mapping):
        try:
            return parse_mapping(plain(node)).written_as(mapping_text(written(node)))
        except ConditionError as error:
            report.add(_named_key(node, error.message) or node.place, str(error))
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        report.add(
            node.place,
            "`when` is an expression (amount > 10000) or a MongoDB filter, "
            f"not {shown(node)}; without it every event counts",
        )
        return None
    try:
        return parse(node.value).written_as(node.raw)
    except ConditionError as error:
        report.add(place_in(node, error.line, error.column), f"`when`: {error}", node)
    return None


def _named_key(node: Node, message: str) -> Place | None:
    """The place of the first key in `node` that `message` names in backquotes."""
    for key, place in _keys(node):
        if f"`{key}`" in message:
            return place
    return None


def _keys(node: Node) -> Iterator[tuple[str, Place]]:
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield key, entry.place
            yield from _keys(entry.node)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _keys(item)


def _actions(draft: Draft, templates: Templates, report: Report) -> tuple[RuleAction, ...]:
    do = draft.node.get("do")
    if do is None:
        return ()
    if isinstance(do, Scalar):
        report.add(do.place, "`do` is a list of actions: `- log: a line`, `- email: {…}`")
        return ()
    items = do.items if isinstance(do, Sequence) else (do,)
    if not items:
        report.add(do.place, "`do` is empty: a rule needs an action")
    numbers: dict[str, int] = {}
    entries = []
    for place, item in enumerate(items):
        within = ("do", place) if isinstance(do, Sequence) else ("do",)
        found = _kind_and_settings(item, within, report)
        if found is None:
            continue
        kind, settings = found
        numbers[kind] = numbers.get(kind, 0) + 1
        name = kind if numbers[kind] == 1 else f"{kind}-{numbers[kind]}"
        before = len(report.mistakes)
        config = _config(kind, settings, (*within, kind), draft, templates, report)
        if config is not None and len(report.mistakes) == before:
            reads = actions.kind(kind).reads(config, templates)
            entries.append(RuleAction(name, kind, config, config.concurrency, reads))
    return tuple(entries)


def _kind_and_settings(item: Node, within: tuple[str | int, ...], report: Report) -> tuple[str, Entry] | None:
    if not isinstance(item, Mapping):
        report.add(
            item.place,
            f"an action is `kind: settings` (kinds: {', '.join(actions.KINDS)}), not {shown(item)}",
        )
        return None
    if len(item.entries) != 1:
        empty = next((key for key, entry in item.entries.items() if _is_empty(entry.node)), None)
        names = ", ".join(f"`{key}`" for key in item.entries)
        hint = (
            f"indent the settings under `{empty}:`"
            if empty
            else "give each its own `- ` line"
            if item.entries
            else f"it is one of: {', '.join(actions.KINDS)}"
        )
        report.add(item.place, f"`{dotted(within)}` must name one action, not {names or 'none'}; {hint}")
        return None
    kind, entry = next(iter(item.entries.items()))
    if kind not in actions.KINDS:
        report.add(entry.place, unknown_action(kind))
        return None
    return kind, entry


def unknown_action(kind: str) -> str:
    """What to say about an action that does not exist."""
    near = closest(kind, actions.KINDS)
    hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(actions.KINDS)}"
    return f"there is no action `{kind}`; {hint}"


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _config(
    kind: str, entry: Entry, within: tuple[str | int, ...], draft: Draft, templates: Templates, report: Report
) -> Any:
    definition = actions.kind(kind)
    settings = entry.node
    if isinstance(settings, Scalar) and isinstance(settings.value, str) and definition.shorthand:
        settings = Mapping(settings.place, {definition.shorthand: Entry(settings.place, settings)})
    elif not isinstance(settings, Mapping):
        text = f" or a text (its `{definition.shorthand}`)" if definition.shorthand else ""
        report.add(
            settings.place, f"`{kind}` takes settings (`key: value` lines){text}, not {shown(settings)}"
        )
        return None
    defaults = draft.action_defaults.get(kind) if draft.action_defaults else None
    if isinstance(defaults, Mapping):
        settings = merge(defaults, settings)
    found = Mapping(entry.place, settings.entries) if isinstance(settings, Mapping) else settings
    config = validate(definition.config, found, report, within=within)
    if config is not None:
        config_mistakes(definition.mistakes(config, templates), found, templates, report)
    return config


def config_mistakes(
    found: Iterator[ConfigMistake], settings: Node, templates: Templates, report: Report
) -> None:
    """Report what an action finds wrong with its settings, in the rule file or in the template's own file."""
    for mistake in found:
        node, key_place = find(settings, mistake.path)
        if mistake.file:
            report.add_at(
                _shown_file(mistake.file, templates),
                max(mistake.line, 1),
                max(mistake.column, 1),
                mistake.message,
            )
        elif mistake.line and isinstance(node, Scalar):
            report.add(place_in(node, mistake.line, max(mistake.column, 1)), mistake.message, node)
        else:
            report.add(node.place if isinstance(node, Scalar) else key_place, mistake.message, node)


def _shown_file(file: str, templates: Templates) -> str:
    """A template's path as it can be opened from here, where that is known."""
    path = templates.folder / file if templates.folder else PurePath(file)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _tests(model: RuleFile, rule: Mapping, report: Report) -> tuple[RuleTest, ...]:
    tests = []
    for number, test in enumerate(model.tests):
        node, _ = find(rule, ("tests", number))
        given, before = (
            _document(getattr(test, key), find(node, (key,))[0], report) for key in ("given", "before")
        )
        tests.append(_test(test, given, before, model.on, node))
    return tuple(tests)


def _test(test: Test, given: Any, before: Any, on: On, node: Node) -> RuleTest:
    operation = DEAD_LETTER if on.dead_letters else test.operation
    return RuleTest(given or {}, before, operation, test.expect, node.place.line)


def _document(value: Any, node: Node, report: Report) -> Any:
    """A document with Extended JSON (`{$numberDecimal: "1.5"}`) turned into BSON values."""
    if not any(key.startswith("$") for key, _ in _keys(node)):
        return value
    import json

    from bson import json_util
    from bson.errors import BSONError

    try:
        return json_util.loads(json.dumps(value))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        report.add(node.place, f"this is not Extended JSON: {error}")
        return None
