"""Where the driver's own tests come from: PyMongo's source distribution, of the version that is installed.

It is fetched when the tests run and kept in the user's cache; nothing of it is part of this project.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pymongo
import pytest

from support.cache import cache_folder

FILES = [
    "change-streams",
    "change-streams-clusterTime",
    "change-streams-disambiguatedPaths",
    "change-streams-errors",
    "change-streams-nsType",
    "change-streams-pre_and_post_images",
    "change-streams-resume-allowlist",
    "change-streams-resume-errorLabels",
    "change-streams-showExpandedEvents",
]
"""The unified tests of change streams, without `.json`."""

_WITHIN = "test/change_streams/unified"


def suite_or_skip() -> Path:
    """The folder of the unified tests. Skips where it cannot be had; in CI that is an error."""
    folder = cache_folder() / f"pymongo-{pymongo.version}"
    if not folder.is_dir():
        try:
            _fetch(folder)
        except (subprocess.SubprocessError, OSError) as error:
            if os.environ.get("CI"):
                raise
            said = getattr(error, "stderr", "") or str(error)
            pytest.skip(f"PyMongo's source distribution cannot be fetched: {said.strip().splitlines()[-1]}")
    return folder


def _fetch(folder: Path) -> None:
    """Fetch and unpack into `folder`, all at once: another worker may be doing the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-binary", "pymongo", f"pymongo=={pymongo.version}", "--dest", temporary),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        (archive,) = Path(temporary).glob("pymongo-*.tar.gz")
        unpacked = Path(temporary) / "unified"
        unpacked.mkdir()
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                path = Path(member.name)
                source = tar.extractfile(member) if path.match(f"*/{_WITHIN}/*.json") else None
                if source is not None:
                    (unpacked / path.name).write_bytes(source.read())
        try:
            unpacked.rename(folder)
        except OSError:
            if not folder.is_dir():  # else the other worker was quicker
                raise
