"""Where tests keep what they have fetched: in the user's cache, never within the project."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for it, which may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtrigger-tests"
