"""Tells when rule files or templates change on disk.

Promise: no change is missed, not even one between the first reading of the files and the moment the watch on
them stands. The system's notices make it quick; looking at the files every few seconds makes it certain, also
on network file systems and when a whole folder is replaced.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 200
"""Changes that follow each other within this time count as one: editors and ConfigMaps write in steps."""

LOOK_EVERY_MS = 2_000

Fingerprint = frozenset[tuple[str, int, int, int]]


class RuleFiles:
    """What lies under the rules and the templates. Make it before the files are read for the first time."""

    def __init__(self, rules: Path, templates: Path) -> None:
        # Folders are watched, not files: an atomic rename or a ConfigMap's symlink swap replaces the file.
        self._folders = sorted({rules if rules.is_dir() else rules.parent, templates})
        self._seen = self._fingerprint()

    def changed(self) -> bool:
        """Whether anything has changed since the last look, which this is from now on."""
        now, before = self._fingerprint(), self._seen
        self._seen = now
        return now != before

    async def changes(self, ending: asyncio.Event) -> AsyncIterator[None]:
        """Yield after every change, until `ending` is set."""
        there = [folder for folder in self._folders if folder.is_dir()]
        async for _ in awatch(
            *there,
            debounce=DEBOUNCE_MS,
            step=50,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
            stop_event=ending,
        ):
            if self.changed():
                yield

    def _fingerprint(self) -> Fingerprint:
        return frozenset(
            (str(path), status.st_mtime_ns, status.st_size, status.st_ino)
            for folder in self._folders
            for path in folder.rglob("*")
            if (status := _status(path)) is not None
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None  # gone between the listing and the look, or a symlink that leads nowhere
