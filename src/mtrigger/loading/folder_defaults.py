"""What the `_defaults.yaml` files of a rules folder give to its rules, for the schema of that folder.

Only names are asked for here (channels, keys), so nothing is filled in from the environment; what else is
wrong with these files, the loader says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtrigger import actions
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import nodes
from mtrigger.loading.channels import kind_of
from mtrigger.loading.nodes import Report, Source
from mtrigger.loading.yaml_source import read_documents

DEFAULTS_FILES = ("_defaults.yaml", "_defaults.yml")


@dataclass(frozen=True, slots=True)
class FolderDefaults:
    """Channels by name, each with the kinds it is (sub-folders may differ), and all other keys with what they
    hold: one mapping for each file."""

    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: tuple[Mapping[str, Any], ...] = ()


def defaults_of(rules: Path) -> FolderDefaults:
    """What the folder `rules` gives, with its sub-folders; what the folder of the file `rules` gives. Raises
    SettingsError when there is no such folder, RulesError when a file is no YAML."""
    if not rules.exists():
        raise SettingsError(f"there are no rules at {rules}; check --rules")
    report = Report()
    channels: dict[str, tuple[str, ...]] = {}
    keys = []
    for file in sorted(_files(rules)):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read: {error}") from error
        for node in read_documents(Source(str(file), text), report):
            if not isinstance(node, nodes.Mapping):
                continue
            keys.append(nodes.plain(node.without("channels")))
            for name, kind in _channels(node):
                channels[name] = tuple(dict.fromkeys((*channels.get(name, ()), kind)))
    if report.mistakes:
        raise RulesError(report.mistakes)
    return FolderDefaults(channels, tuple(keys))


def _files(rules: Path) -> Iterator[Path]:
    if rules.is_dir():
        for name in DEFAULTS_FILES:
            yield from (
                found
                for found in rules.rglob(name)
                if not any(part.startswith(".") for part in found.relative_to(rules).parts)
            )
    else:
        yield from (found for name in DEFAULTS_FILES if (found := rules.absolute().parent / name).exists())


def _channels(defaults: nodes.Mapping) -> Iterator[tuple[str, str]]:
    """The channels that name a kind there is."""
    channels = defaults.get("channels")
    for name, entry in channels.entries.items() if isinstance(channels, nodes.Mapping) else ():
        kind = kind_of(entry.node)
        if kind is not None and kind[0] in actions.KINDS and name not in actions.KINDS:
            yield name, kind[0]
