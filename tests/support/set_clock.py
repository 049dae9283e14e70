"""A time of day that a test sets, for commands that are made to believe it by libfaketime.

Only the time of day is another one: the clocks that count seconds go on as they do.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

_LIBRARIES = ("/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


def library_or_skip() -> Path:
    """libfaketime. Skips the test where it is not installed; in CI that is an error."""
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.removeprefix("/"))]
    if not found:
        if os.environ.get("CI"):
            pytest.fail("libfaketime is not installed (on Debian: apt-get install faketime)")
        pytest.skip("libfaketime is not installed")
    return found[0]


class SetClock:
    """The time of day of one machine, right until it is set. `environment` makes a command believe it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._library = library_or_skip()
        self.set("+0")

    def set(self, offset: str) -> None:
        """Set it, such as "-1d": that much off the right time, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for the command."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",  # else it is looked at every ten seconds
            "DONT_FAKE_MONOTONIC": "1",
        }
