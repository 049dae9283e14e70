"""Tells when rule files or templates change on disk."""

from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 200
"""Changes that follow each other within this time count as one: editors and ConfigMaps write in steps."""


async def rule_changes(rules: Path, templates: Path) -> AsyncIterator[None]:
    """Yield after every change to what lies under `rules` or `templates`."""
    async for _ in awatch(*_folders(rules, templates), debounce=DEBOUNCE_MS, step=50):
        yield


def _folders(rules: Path, templates: Path) -> list[Path]:
    """Folders are watched, not files, so that an atomic rename and a Kubernetes ConfigMap's symlink swap are
    seen."""
    folders = {rules if rules.is_dir() else rules.parent, templates}
    return sorted(folder for folder in folders if folder.is_dir())
