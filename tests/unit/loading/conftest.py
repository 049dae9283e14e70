"""A folder of rule files to load."""

from pathlib import Path

import pytest

from support.rules_folder import RulesFolder


@pytest.fixture
def folder(tmp_path: Path) -> RulesFolder:
    """An empty folder of rules."""
    return RulesFolder(tmp_path)
