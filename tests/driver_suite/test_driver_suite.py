"""The drivers' own change stream tests, run against mtrigger's reader and the rules by which it resumes.

They are the unified tests that come with PyMongo's source distribution (Apache-2.0). What is skipped is
skipped for a reason that is printed; nothing may fail.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from bson import json_util

from driver_suite.reader import NotOfferedError
from driver_suite.runner import Version, WrongError, bench
from driver_suite.source import FILES, suite_or_skip
from mtrigger.embedded import EmbeddedServer

BY_DESIGN = {
    "change stream does not resume if error does not contain ResumableChangeStreamError": (
        "mtrigger resumes after the codes it knows to pass, with the label or without"
    ),
    "change stream errors on ElectionInProgress": "mtrigger waits elections out instead of failing",
    "Test rename and invalidate event types": (
        "only streams over one collection end with it; mtrigger's are over a database or the deployment"
    ),
    "Test drop and invalidate event types": (
        "only streams over one collection end with it; mtrigger's are over a database or the deployment"
    ),
}
"""Tests of what a driver must do and an engine must not."""

ANY_VERSION = "change-streams-resume-allowlist"
"""Meant for servers that did not label errors; mtrigger goes by the codes as well, so any server will do."""


def test_every_file_of_the_suite_is_known() -> None:
    """A new version of the driver may bring new ones."""
    assert sorted(path.stem for path in suite_or_skip().glob("*.json")) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
async def test_the_reader_does_what_the_drivers_must(
    mongod: EmbeddedServer, name: str, record_property: Callable[[str, object], None]
) -> None:
    """Every test of the file passes, or is skipped for a reason."""
    suite = json_util.loads((suite_or_skip() / f"{name}.json").read_text())
    account: Counter[str] = Counter()
    failed: list[str] = []
    for test in suite["tests"]:
        async with bench(mongod.uri, suite["createEntities"]) as made:
            requirements = [suite.get("runOnRequirements"), test.get("runOnRequirements")]
            reason = BY_DESIGN.get(test["description"]) or unmet(
                requirements, made.version, lift_newest=name == ANY_VERSION
            )
            try:
                if reason:
                    raise NotOfferedError(reason)
                await made.run(test, suite.get("initialData", ()))
            except NotOfferedError as why:
                account[f"skipped: {why}"] += 1
            except (WrongError, TimeoutError) as error:
                failed.append(f"{test['description']}: {error!r}")
            else:
                account["passed"] += 1

    skipped = account.total() - account["passed"]
    summary = [f"driver suite, {name}: {account['passed']} passed, {skipped} skipped, {len(failed)} failed"]
    summary += [f"    {count} {outcome}" for outcome, count in account.items() if outcome != "passed"]
    record_property("summary", "\n".join(summary))
    assert failed == []


def unmet(
    requirements: Sequence[Sequence[Mapping[str, Any]] | None], version: Version, *, lift_newest: bool
) -> str:
    """Why a server of this version may not run the test, "" if it may; any one of a list of requirements is
    enough. `lift_newest` forgets the newest version allowed."""
    for alternatives in requirements:
        if alternatives is None or any(_met(one, version, lift_newest=lift_newest) for one in alternatives):
            continue
        return f"for other servers than a replica set of {'.'.join(map(str, version))}"
    return ""


def _met(requirement: Mapping[str, Any], version: Version, *, lift_newest: bool) -> bool:
    oldest = _version(requirement.get("minServerVersion", "0.0.0"))
    newest = _version("99.0.0" if lift_newest else requirement.get("maxServerVersion", "99.0.0"))
    return oldest <= version <= newest and "replicaset" in requirement.get("topologies", ["replicaset"])


def _version(text: str) -> Version:
    return tuple(map(int, f"{text}.0.0".split(".")[:3]))
