"""A folder of rule files to a `RuleSet`, or to every mistake of every file.

Files that end in `.yaml` or `.yml` are read, in sub-folders too; hidden ones are not, which also skips the
`..data` folders of Kubernetes volumes. `_defaults.yaml` holds what the rules of its folder and below do not
say themselves.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mtrigger import actions
from mtrigger.actions.third_party import BrokenKindError
from mtrigger.errors import Mistake, RulesError, SettingsError
from mtrigger.loading import nodes
from mtrigger.loading.channels import check_channels, merge_channels, unknown_name, without_settings
from mtrigger.loading.compiling import compile_rule, name_of
from mtrigger.loading.doing import Draft
from mtrigger.loading.folder_defaults import DEFAULTS_FILES
from mtrigger.loading.models import Defaults
from mtrigger.loading.nodes import Place, Report
from mtrigger.loading.sources import check_names, wants_no_changes
from mtrigger.loading.topics import check_groups
from mtrigger.loading.validation import explain, validate
from mtrigger.loading.yaml_files import SUFFIXES, mappings
from mtrigger.rules import Rule
from mtrigger.templates import Templates

_OF_ONE_RULE = ("name", "description", "when", "do", "tests")


@dataclass(frozen=True)
class RuleSet:
    """All rules of a folder, in the order of their files, with the templates they were checked against."""

    rules: tuple[Rule, ...]
    files: tuple[Path, ...]
    templates: Templates


def default_templates(rules: Path) -> Path:
    """The folder `templates/` beside the rules folder (beside the folder of a single rule file)."""
    return _folder_of(rules).absolute().parent / "templates"


def load(rules: Path, templates: Path | None, environ: Mapping[str, str]) -> RuleSet:
    """Read and check the rule files in the folder `rules`, or the one file `rules`.

    `templates` is the folder of the templates, None for the default one; `environ` fills in `${NAME}`. A
    single file takes the `_defaults.yaml` beside it. Raises RulesError with every mistake of every file,
    SettingsError if there is nothing to read.
    """
    if not rules.exists():
        raise SettingsError(f"there are no rules at {rules}; pass --rules, or begin with `mtrigger init`")
    if templates is not None and not templates.is_dir():
        raise SettingsError(f"there is no templates folder {templates}; check --templates")
    folder = templates or default_templates(rules)
    loading = _Loading(environ, Templates(folder if folder.is_dir() else None))
    make_functions_importable(rules)
    if rules.is_dir():
        loading.read_folder(rules, _NOTHING, frozenset())
    else:
        loading.read_file(rules, loading.read_defaults(rules.parent, _NOTHING))
    return loading.finish(rules)


def make_functions_importable(rules: Path) -> None:
    """Let `function: module:name` find modules in the current directory and in the folder that holds the
    rules folder, after everything that is installed."""
    for folder in (Path.cwd(), _folder_of(rules).absolute().parent):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _folder_of(rules: Path) -> Path:
    return rules if rules.is_dir() else rules.absolute().parent


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What applies to the rules of one folder: keys of rules, settings of actions by kind, and channels."""

    rule: nodes.Mapping | None = None
    actions: nodes.Mapping | None = None
    channels: nodes.Mapping | None = None


_NOTHING = _Defaults()


class _Loading:
    """One load: gathers rules, names and mistakes over all files."""

    def __init__(self, environ: Mapping[str, str], templates: Templates) -> None:
        self._environ = environ
        self._templates = templates
        self._report = Report()
        self._rules: list[Rule] = []
        self._files: list[Path] = []
        self._names: dict[str, Place] = {}
        self._nodes: dict[str, nodes.Mapping] = {}

    def read_folder(self, folder: Path, inherited: _Defaults, above: frozenset[Path]) -> None:
        """Read the rule files of `folder` and of those in it. `above` stops links that lead in circles."""
        real = folder.resolve()
        if real in above:
            return
        defaults = self.read_defaults(folder, inherited)
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            self._report.add_at(str(folder), 1, 1, f"the folder cannot be read: {error.strerror}")
            return
        for entry in entries:
            if entry.is_dir():
                self.read_folder(entry, defaults, above | {real})
            elif entry.suffix in SUFFIXES and entry.name not in DEFAULTS_FILES:
                self.read_file(entry, defaults)

    def read_defaults(self, folder: Path, inherited: _Defaults) -> _Defaults:
        """The defaults for `folder`: those of its own file on top of the inherited ones."""
        files = [folder / name for name in DEFAULTS_FILES if (folder / name).exists()]
        if len(files) > 1:
            self._report.add_at(str(files[1]), 1, 1, f"{files[0].name} is there too; keep one of them")
        if not files:
            return inherited
        self._files.append(files[0])
        documents = self._documents(files[0])
        if not documents:
            return inherited
        if len(documents) > 1:
            self._report.add(documents[1].place, "the defaults of a folder are one document")
        own = documents[0]
        if not self._check_defaults(own):
            # Rules that name its channels have nothing wrong because of that.
            known = _mapping(own, "channels")
            mute = without_settings(known) if known is not None else None
            return replace(inherited, channels=_over(inherited.channels, mute))
        return _Defaults(
            _merged(inherited.rule, own.without("actions", "channels")),
            _merged(inherited.actions, _mapping(own, "actions")),
            _over(inherited.channels, _mapping(own, "channels")),
        )

    def _check_defaults(self, node: nodes.Mapping) -> bool:
        """Whether the defaults can be used; mistakes in them are reported once, here."""
        before = len(self._report.mistakes)
        for key in _OF_ONE_RULE:
            if key in node.entries:
                self._report.add(node.entries[key].place, f"`{key}` belongs to one rule and has no default")
        validate(Defaults, node.without(*_OF_ONE_RULE), self._report)
        settings = node.get("actions")
        for kind, entry in settings.entries.items() if isinstance(settings, nodes.Mapping) else ():
            if kind not in actions.KINDS:
                self._report.add(entry.place, unknown_name(kind, ()))
            elif isinstance(entry.node, nodes.Mapping):
                self._check_some_settings(kind, entry.node, ("actions", kind))
        if (channels := node.get("channels")) is not None:
            check_channels(channels, self._report, self._check_some_settings)
        return len(self._report.mistakes) == before

    def _check_some_settings(self, kind: str, node: nodes.Mapping, path: tuple[str, ...]) -> None:
        from pydantic import ValidationError

        try:
            model = actions.kind(kind).config
        except BrokenKindError as error:
            self._report.add(node.place, str(error))
            return
        try:
            model.model_validate(nodes.plain(node))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                if detail["loc"] and detail["type"] != "missing":  # the rules give what is missing here
                    explain(detail, model, node, self._report, path)

    def read_file(self, file: Path, defaults: _Defaults) -> None:
        """Read the rules of one file."""
        self._files.append(file)
        before = len(self._report.mistakes)
        documents = self._documents(file)
        if not documents and len(self._report.mistakes) == before:
            self._report.add_at(str(file), 1, 1, "the file holds no rule")
        for node in documents:
            under = defaults.rule
            if under is not None and wants_no_changes(node):
                under = under.without("on")  # what is said there is about changes
            merged = nodes.merge(under, node) if under else node
            assert isinstance(merged, nodes.Mapping)
            draft = Draft(merged, defaults.actions, defaults.channels, alone=len(documents) == 1)
            name, place = name_of(draft, self._report)
            self._claim(name, place)
            rule = compile_rule(draft, name, self._templates, self._report)
            if rule is not None and name:
                self._rules.append(rule)
                self._nodes[name] = merged

    def _claim(self, name: str, place: Place) -> None:
        if not name:
            return
        first = self._names.setdefault(name, place)
        if first is not place:
            self._report.add(
                place,
                f"there is another rule `{name}`, in {first.source.name}:{first.line}; names must differ",
            )

    def _documents(self, file: Path) -> list[nodes.Mapping]:
        return list(mappings(file, self._environ, self._report, "name, on, when, do …"))

    def finish(self, rules: Path) -> RuleSet:
        """The rules. Raises RulesError if anything was wrong."""
        known = dict.fromkeys(self._names, False)
        known |= {rule.name: rule.dead_letters_of is not None for rule in self._rules}
        for rule in self._rules:
            check_names(rule, self._nodes[rule.name], known, self._report)
        check_groups(self._rules, self._nodes, self._report)
        mistakes: tuple[Mistake, ...] = self._report.mistakes
        if not mistakes and not self._rules:
            raise SettingsError(f"there is no rule in {rules}: no file there ends in .yaml or .yml")
        if mistakes:
            raise RulesError(mistakes)
        return RuleSet(tuple(self._rules), tuple(self._files), self._templates)


def _mapping(node: nodes.Mapping, key: str) -> nodes.Mapping | None:
    value = node.get(key)
    return value if isinstance(value, nodes.Mapping) else None


def _over(under: nodes.Mapping | None, own: nodes.Mapping | None) -> nodes.Mapping | None:
    return merge_channels(under, own) if under is not None and own is not None else own or under


def _merged(under: nodes.Mapping | None, over: nodes.Mapping | None) -> nodes.Mapping | None:
    if under is None or over is None:
        return over or under
    merged = nodes.merge(under, over)
    assert isinstance(merged, nodes.Mapping)
    return merged
