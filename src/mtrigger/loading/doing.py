"""The `do` of a rule file to actions: kinds found, settings checked, with the templates they use."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from mtrigger import actions
from mtrigger.actions.base import ActionKind, ConfigMistake
from mtrigger.actions.third_party import BrokenKindError
from mtrigger.loading.channels import kind_of, names, over_channel, unknown_name
from mtrigger.loading.files_beside import with_files
from mtrigger.loading.nodes import Entry, Mapping, Node, Report, Scalar, Sequence, find, merge, place_of
from mtrigger.loading.scalar_text import place_in
from mtrigger.loading.validation import dotted, shown, validate
from mtrigger.rules import RuleAction
from mtrigger.templates import Templates


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that is to become a rule: its values with the folder's defaults under them, the defaults of
    actions by kind, the folder's channels by name, and whether it is the only one in its file."""

    node: Mapping
    action_defaults: Mapping | None
    channels: Mapping | None
    alone: bool


def compile_actions(
    draft: Draft,
    templates: Templates,
    report: Report,
    key: Literal["do", "resolved"] = "do",
    taken: Collection[str] = (),
) -> tuple[RuleAction, ...]:
    """What stands in the draft's `do` or `resolved`, every action checked; mistakes go to `report`. `taken`
    are names that other actions of the rule have: deliveries are told apart by the name of their action."""
    do = draft.node.get(key)
    if do is None:
        return ()
    if isinstance(do, Scalar):
        report.add(do.place, f"`{key}` is a list of actions: `- log: a line`, `- email: {{…}}`")
        return ()
    items = do.items if isinstance(do, Sequence) else (do,)
    if not items:
        report.add(do.place, f"`{key}` is empty: a rule needs an action")
    numbers: dict[str, int] = {}
    entries: list[RuleAction] = []
    for place, item in enumerate(items):
        within = (key, place) if isinstance(do, Sequence) else (key,)
        found = _kind_and_settings(item, within, draft.channels, report)
        if found is None:
            continue
        called, kind, settings = found
        try:
            if actions.kind(kind).of_messages and place_of(draft.node, ("on", "topic")) is None:
                instead = actions.kind(kind).instead
                report.add(item.place, f"`{kind}` goes with `on: {{topic: …}}` alone; {instead}")
            parts = _parts(kind, settings, (*within, called), draft, templates, report)
        except BrokenKindError as error:
            report.add(settings.place, str(error))
            continue
        for part in parts:
            numbers[called] = numbers.get(called, 0) + 1
            name = called if numbers[called] == 1 else f"{called}-{numbers[called]}"
            name = name if key == "do" else f"{key}-{name}"
            if name in taken or any(name == entry.name for entry in entries):
                report.add(
                    item.place,
                    f"another action of this rule is called `{name}`, too: the second `sales` is `sales-2`, "
                    "and `log` in `resolved` is `resolved-log`. Give the channel another name",
                )
            entries.append(replace(part, name=name))
    return tuple(entries)


def _parts(
    kind: str, entry: Entry, within: tuple[str | int, ...], draft: Draft, templates: Templates, report: Report
) -> list[RuleAction]:
    """The actions that an entry makes, not named yet; none if something is wrong. Raises BrokenKindError."""
    before = len(report.mistakes)
    config = _config(kind, entry, within, draft, templates, report)
    if config is None or len(report.mistakes) > before:
        return []
    definition = actions.kind(kind)
    return [
        RuleAction(
            "",
            kind,
            part,
            part.concurrency,
            definition.reads(part, templates),
            definition.writes(part),
        )
        for part in definition.split(config)
    ]


def _kind_and_settings(
    item: Node, within: tuple[str | int, ...], channels: Mapping | None, report: Report
) -> tuple[str, str, Entry] | None:
    """What an entry of `do` calls its action, the kind that is, and its settings."""
    if isinstance(item, Scalar) and channels is not None and str(item.value) in channels.entries:
        nothing = Scalar(item.place, None, "", "", item.end)
        item = Mapping(item.place, {str(item.value): Entry(item.place, nothing)})
    if not isinstance(item, Mapping):
        report.add(
            item.place,
            f"an action is `kind: settings` (kinds: {', '.join(actions.KINDS)}), not {shown(item)}",
        )
        return None
    if len(item.entries) != 1:
        empty = next((key for key, entry in item.entries.items() if _is_empty(entry.node)), None)
        given = ", ".join(f"`{key}`" for key in item.entries)
        hint = (
            f"indent the settings under `{empty}:`"
            if empty
            else "give each its own `- ` line"
            if item.entries
            else f"it is one of: {', '.join(actions.KINDS)}"
        )
        report.add(item.place, f"`{dotted(within)}` must name one action, not {given or 'none'}; {hint}")
        return None
    name, entry = next(iter(item.entries.items()))
    if name in actions.KINDS:
        return name, name, entry
    found = channels.get(name) if channels is not None else None
    channel = kind_of(found)
    if channel is None and found is not None:
        return None  # the channel itself is wrong, which is reported where it stands
    if channel is None:
        report.add(entry.place, unknown_name(name, tuple(names(channels))))
        return None
    kind, settings = channel
    return name, kind, over_channel(settings, entry, actions.kind(kind).shorthand)


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _config(
    kind: str, entry: Entry, within: tuple[str | int, ...], draft: Draft, templates: Templates, report: Report
) -> Any:
    definition = actions.kind(kind)
    settings = entry.node
    if _is_short(settings, definition):
        settings = Mapping(settings.place, {definition.shorthand: Entry(settings.place, settings)})
    elif not isinstance(settings, Mapping):
        takes = definition.shorthand_takes
        text = f" or a {takes} (its `{definition.shorthand}`)" if definition.shorthand else ""
        report.add(
            settings.place, f"`{kind}` takes settings (`key: value` lines){text}, not {shown(settings)}"
        )
        return None
    defaults = draft.action_defaults.get(kind) if draft.action_defaults else None
    if isinstance(defaults, Mapping):
        settings = merge(defaults, settings)
    found = Mapping(entry.place, settings.entries) if isinstance(settings, Mapping) else settings
    before = len(report.mistakes)
    if isinstance(found, Mapping) and definition.files:
        found = with_files(found, definition.files, report)
    config = validate(definition.config, found, report, within=within)
    if config is not None and len(report.mistakes) == before:
        config_mistakes(definition.mistakes(config, templates), found, templates, report)
    return config


def _is_short(settings: Node, definition: ActionKind[Any]) -> bool:
    """Whether a bare value stands for the settings. A text does for a list as well: its model says better
    what is wrong with it."""
    is_text = isinstance(settings, Scalar) and isinstance(settings.value, str)
    is_list = isinstance(settings, Sequence) and definition.shorthand_takes == "list"
    return bool(definition.shorthand) and (is_text or is_list)


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
