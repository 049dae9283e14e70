"""A folder of rule files to load."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mtrigger.errors import RulesError
from mtrigger.loading import RuleSet, load
from mtrigger.rules import Rule

SMALLEST = "on: {collection: shop.orders}\ndo: [{log: a line}]\n"
"""The smallest rule there is; its name is its file's."""


class RulesFolder:
    """`triggers/` in a temporary directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "triggers"
        self.path.mkdir()

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file of the folder."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def load(self, environ: Mapping[str, str] | None = None) -> RuleSet:
        """Load it all."""
        return load(self.path, None, environ or {})

    def rule(self, text: str, environ: Mapping[str, str] | None = None) -> Rule:
        """The one rule of a file with this text."""
        self.write("rule.yaml", text)
        (rule,) = self.load(environ).rules
        return rule

    def mistakes(self, environ: Mapping[str, str] | None = None) -> list[str]:
        """The mistakes of the folder, files named within it."""
        with pytest.raises(RulesError) as raised:
            self.load(environ)
        return [str(mistake).replace(f"{self.path}/", "") for mistake in raised.value.mistakes]

    def mistakes_in(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """The mistakes of a file `rule.yaml` with this text, without the file's name."""
        self.write("rule.yaml", text)
        return [mistake.removeprefix("rule.yaml:") for mistake in self.mistakes(environ)]
