"""Packages bring kinds of actions by their entry points: found when asked for, and harmless when broken."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtrigger import actions
from mtrigger.actions import third_party
from mtrigger.actions.services import Services
from mtrigger.actions.third_party import BrokenKindError
from mtrigger.errors import SettingsError
from mtrigger.loading.folder_defaults import defaults_of
from mtrigger.loading.schema import defaults_schema, rule_file_schema
from mtrigger.templates import Templates
from support.rules_folder import RulesFolder

KIND = """
from mtrigger.actions.base import ActionConfig, ActionKind, Preview

class ShoutConfig(ActionConfig):
    text: str

class Shout:
    async def run(self, work): return "shouted"
    def preview(self, work): return Preview("shout", {})

KIND = ActionKind(
    "shout", ShoutConfig, lambda config, templates: iter(()), lambda config, templates: frozenset(),
    lambda config, services: Shout(), shorthand="text",
)
"""

Install = Callable[[str, dict[str, str], str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with one module and entry points."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def put(package: str, entries: dict[str, str], source: str) -> None:
        module = package.replace("-", "_")
        modules.append(module)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = (f"{name} = {module}:{target}\n" for name, target in entries.items())
        (info / "entry_points.txt").write_text("[mtrigger.actions]\n" + "".join(lines))
        _forget()

    _forget()
    yield put
    for module in modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    third_party._entries.cache_clear()
    third_party.offered.cache_clear()


def test_a_kind_of_another_package_is_like_any_other(install: Install, tmp_path: Path) -> None:
    """Its settings are checked, it is listed, it has defaults and a shorthand."""
    install("mtrigger-shout", {"shout": "KIND"}, KIND)
    folder = RulesFolder(tmp_path)
    rule = folder.rule("on: {collection: a.b}\ndo: [{shout: hello}, {shout: {text: again}}]\n")
    assert [action.name for action in rule.actions] == ["shout", "shout-2"]
    assert list(actions.KINDS)[-1] == "shout"
    assert len(actions.KINDS) == len(actions.BUILT_IN) + 1
    assert folder.mistakes_in("on: {collection: a.b}\ndo: [{shout: {txet: x}}]\n") == [
        "2:7: `do[0].shout.text` is missing",
        "2:15: unknown key `txet`; did you mean `text`?",
    ]
    assert folder.mistakes_in("on: {collection: a.b}\ndo: [{shuot: x}]\n") == [
        "2:7: there is no action `shuot`; did you mean `shout`?"
    ]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "import nothing_of_this_name",
            "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("OTHER = 1", "cannot be loaded: AttributeError: "),
        ("KIND = 1", "cannot be used: mtrigger_shout:KIND is not an ActionKind"),
    ],
)
def test_a_package_that_is_broken_is_named_with_its_error(
    install: Install, tmp_path: Path, source: str, why: str
) -> None:
    """Where a rule uses it; other rules are as ever."""
    install("mtrigger-shout", {"shout": "KIND"}, source)
    folder = RulesFolder(tmp_path)
    folder.rule("on: {collection: a.b}\ndo: [{log: x}]\n")
    (mistake,) = folder.mistakes_in("on: {collection: a.b}\ndo: [{log: x}, {shout: x}]\n")
    assert mistake.startswith(f"2:17: the action `shout` of the package mtrigger-shout 1.0 {why}")
    folder.write("_defaults.yaml", "actions: {shout: {text: x}}\n")
    assert any(mistake.startswith("_defaults.yaml:1:") for mistake in folder.mistakes())
    with pytest.raises(BrokenKindError):
        actions.kind("shout")
    schema = rule_file_schema(defaults_of(folder.path))
    assert why in schema["$defs"]["Action"]["properties"]["shout"]["description"]
    assert why in defaults_schema()["properties"]["actions"]["properties"]["shout"]["description"]


@pytest.mark.parametrize("verb", ["mistakes", "reads", "split"])
def test_a_kind_that_fails_while_its_settings_are_looked_at_is_a_mistake(
    install: Install, tmp_path: Path, verb: str
) -> None:
    """Of the rule that uses it: a watch that reloads its rules goes on with those it has."""
    source = KIND + f"\nfrom dataclasses import replace\nKIND = replace(KIND, {verb}=lambda *given: 1 / 0)\n"
    install("mtrigger-shout", {"shout": "KIND"}, source)
    (mistake,) = RulesFolder(tmp_path).mistakes_in("on: {collection: a.b}\ndo: [{log: x}, {shout: x}]\n")
    assert mistake == (
        f"2:17: the action `shout` of the package mtrigger-shout 1.0 fails in its `{verb}`: "
        "ZeroDivisionError: division by zero; mend the package, or uninstall it"
    )


async def test_an_action_that_cannot_be_made_is_told_as_a_wrong_setting(install: Install) -> None:
    """Which ends a start with a message, and keeps a running watch at the rules it has."""
    install("mtrigger-shout", {"shout": "KIND"}, KIND.replace("Shout()", "{}[config.text]"))
    kind = actions.kind("shout")
    with pytest.raises(SettingsError, match=r"mtrigger-shout 1\.0 fails in its `open`: KeyError: 'x'"):
        kind.open(kind.config.model_validate({"text": "x"}), Services(Templates(None)))


def test_a_built_in_action_is_never_replaced(install: Install) -> None:
    """Nor may two packages take a name from each other unnoticed, nor a name be taken for a number."""
    assert list(actions.left_aside()) == []
    install("mtrigger-shout", {"email": "KIND", "shout": "KIND", "shout-2": "KIND"}, KIND)
    install("mtrigger-cry", {"shout": "KIND"}, KIND)
    assert actions.kind("email").config.__name__ == "EmailConfig"
    assert list(actions.KINDS).count("email") == 1
    aside = list(actions.left_aside())
    assert len(aside) == 3
    assert aside[0].endswith("brings an action `email`, which mtrigger has itself: the built-in one is used")
    assert aside[1].endswith("brings an action `shout`, as does mtrigger-cry 1.0, whose action is used")
    assert aside[2].endswith(
        "`shout-2`, which is no name for one (small letters, digits and `_`): it is not used"
    )
    assert all(text.startswith("the package mtrigger-shout 1.0 ") for text in aside)


def test_the_schema_knows_a_kind_of_another_package(install: Install) -> None:
    """Its models have names of their own there."""
    install("mtrigger-shout", {"shout": "KIND"}, KIND.replace("ShoutConfig", "EmailConfig"))
    definitions = rule_file_schema()["$defs"]
    keys = [
        set(found.get("properties", ())) for name, found in definitions.items() if name.startswith("shout")
    ]
    assert {"concurrency", "text"} in keys
    assert any("subject" in found.get("properties", ()) for found in definitions.values())


def test_what_is_installed_is_not_looked_through_for_built_in_kinds(tmp_path: Path) -> None:
    """Neither for help nor for rules that use nothing else."""
    RulesFolder(tmp_path).write("rule.yaml", "on: {collection: a.b}\ndo: [{log: x}]\n")
    program = (
        "import importlib.metadata, sys\n"
        "from pathlib import Path\n"
        "look = importlib.metadata.entry_points\n"
        "def looked(**asked):\n"
        "    assert asked['group'] != 'mtrigger.actions'\n"
        "    return look(**asked)\n"
        "importlib.metadata.entry_points = looked\n"
        "import mtrigger.cli\n"
        "from mtrigger.loading import load\n"
        "load(Path(sys.argv[1]), None, {})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "triggers")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
