"""Which `mongod` there is to start, and why one that was started ended at once."""

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path

from mtrigger.errors import DeploymentError

EXIT_ADDRESS_IN_USE = 48
_EXIT_FOLDER_IN_USE = 100

_LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}

_WAY_OUT = (
    "install it with `pip install 'mtrigger[embedded]'`, install MongoDB,"
    " or name a running deployment with --uri"
)


def find_mongod() -> Path:
    """The `mongod` to start: the one on the PATH, else the one of the `embedded` extra.

    Raises DeploymentError when there is none, or when it may not be executed.
    """
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path)
    # The wheel installs into the package `fiftyone`; looking for the parent package alone imports nothing.
    package = importlib.util.find_spec("fiftyone")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return _executable(binary)
    raise DeploymentError(f"there is no `mongod` on this machine: {_WAY_OUT}")


def _executable(binary: Path) -> Path:
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(0o755)
        except OSError as error:
            raise DeploymentError(
                f"{binary} may not be executed ({error.strerror}): run `chmod +x {binary}` as its owner"
            ) from error
    return binary


def why_it_ended(code: int, log: Path) -> str:
    """One sentence for the user about a server that did not start: what is wrong and what to do."""
    text = log.read_text(errors="replace")
    if missing := re.search(r"error while loading shared libraries: ([^:\s]+)", text):
        library = missing[1]
        package = _LIBRARY_PACKAGES.get(library)
        remedy = f"run `apt-get install {package}`" if package else "install the package that has it"
        return f"mongod needs the shared library {library}, which this machine does not have: {remedy}"
    if code == _EXIT_FOLDER_IN_USE and "DBPathInUse" in text:
        return f"the data folder {log.parent} is in use by another mongod: stop it, or choose another folder"
    if code == 128 + signal.SIGILL:
        return (
            "this processor lacks instructions that mongod needs (AVX, since MongoDB 5):"
            " name a running deployment with --uri"
        )
    said = [line for line in text.splitlines() if re.search(r'"s":"[FE]"', line)]
    detail = said[-1] if said else text.strip().rpartition("\n")[2]
    return (
        f"the embedded MongoDB ended at its start with code {code}: see {log}. It said last: {detail[:500]}"
    )
