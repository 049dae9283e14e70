"""A YAML language server, the one most editors use, and a small client that asks it what an editor would.

The server is an npm package. It is installed when the tests first need it and kept in the user's cache;
nothing of it is part of this project.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Self

import pytest

from support.cache import cache_folder

PACKAGE = "yaml-language-server"
VERSION = "1.25.0"  # the last one before it asks for a newer node than Debian 12 has
PATIENCE = 60.0
SETTINGS = {
    "yaml": {
        "validate": True,
        "completion": True,
        "hover": True,
        "schemaStore": {"enable": False},  # else it fetches a catalogue of schemas from the web
        "kubernetesCRDStore": {"enable": False},
    }
}

Message = dict[str, Any]


def server_or_skip() -> list[str]:
    """The command that starts the server. Skips where it cannot be had; in CI that is an error."""
    node, npm = shutil.which("node"), shutil.which("npm")
    folder = cache_folder() / f"{PACKAGE}-{VERSION}"
    try:
        if node is None or npm is None:
            raise FileNotFoundError("node and npm are not installed (Debian: nodejs, npm)")
        if not folder.is_dir():
            _install(npm, folder)
    except (subprocess.SubprocessError, OSError) as error:
        if os.environ.get("CI"):
            raise
        said = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"the YAML language server cannot be had: {said.strip().splitlines()[-1]}")
    return [node, str(folder / "node_modules" / PACKAGE / "bin" / PACKAGE), "--stdio"]


def _install(npm: str, folder: Path) -> None:
    """Install into `folder`, all at once: another worker may be doing the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        subprocess.run(
            [
                *(npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"),
                *("--prefix", temporary, f"{PACKAGE}@{VERSION}"),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        try:
            Path(temporary).rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        Path(temporary).mkdir(exist_ok=True)  # what is left to be removed


@dataclass(frozen=True, slots=True)
class Underlined:
    """A mistake as the editor marks it: what is underlined, where it begins (from 1), and why."""

    text: str
    line: int
    column: int
    message: str


class Editor:
    """What an editor asks of the server, about files on disk. One question at a time."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._messages: Queue[Message | None] = Queue()
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=_read_messages, args=(self._process.stdout, self._messages), daemon=True
        )
        self._reader.start()
        self._numbers = 0
        self._marked: dict[str, list[Message]] = {}

    def __enter__(self) -> Self:
        try:
            self._introduce()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _introduce(self) -> None:
        """Say what we can, and wait until the server has asked for its settings and taken them."""
        folders = [{"uri": self._folder.as_uri(), "name": self._folder.name}]
        capabilities = {
            "workspace": {"configuration": True, "workspaceFolders": True},
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "hover": {"contentFormat": ["markdown"]},
            },
        }
        about = {"rootUri": self._folder.as_uri(), "workspaceFolders": folders, "capabilities": capabilities}
        self._ask("initialize", {"processId": os.getpid(), **about})
        self._tell("initialized", {})
        while self._take().get("method") != "workspace/configuration":
            pass
        self._ask("textDocument/documentSymbol", {"textDocument": {"uri": "file:///none.yaml"}})

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()

    def underlined(self, file: Path) -> list[Underlined]:
        """What the editor marks in `file`, from above to below."""
        self._open(file)
        while file.as_uri() not in self._marked:
            self._take()
        lines = file.read_text(encoding="utf-8").splitlines()
        found = []
        for mark in self._marked[file.as_uri()]:
            start, end = mark["range"]["start"], mark["range"]["end"]
            within = lines[start["line"]] if start["line"] < len(lines) else ""
            last = end["character"] if end["line"] == start["line"] else len(within)
            text = within[start["character"] : last]
            found.append(Underlined(text, start["line"] + 1, start["character"] + 1, mark["message"]))
        return sorted(found, key=lambda mark: (mark.line, mark.column))

    def offered(self, file: Path, line: int, column: int) -> list[str]:
        """What the editor offers at a place of `file` (line and column from 1)."""
        answer = self._at("completion", file, line, column)
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return [str(item["label"]) for item in items]

    def hover(self, file: Path, line: int, column: int) -> str:
        """What the editor tells of the word at a place of `file` (line and column from 1)."""
        answer = self._at("hover", file, line, column)
        contents = answer["contents"] if answer else ""
        return str(contents["value"] if isinstance(contents, dict) else contents)

    def _at(self, question: str, file: Path, line: int, column: int) -> Any:
        self._open(file)
        place = {"line": line - 1, "character": column - 1}
        about = {"textDocument": {"uri": file.as_uri()}, "position": place}
        return self._ask(f"textDocument/{question}", about)

    def _open(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        self._marked.pop(file.as_uri(), None)
        document = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})

    def _ask(self, method: str, params: Message) -> Any:
        self._numbers += 1
        number = self._numbers
        self._write({"id": number, "method": method, "params": params})
        while True:
            message = self._take()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message.get("result")

    def _tell(self, method: str, params: Message) -> None:
        self._write({"method": method, "params": params})

    def _take(self) -> Message:
        """The next message; what the server wants to know is answered."""
        try:
            message = self._messages.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError("the language server does not answer") from None
        assert message is not None, "the language server has ended"
        method = message.get("method")
        if method == "textDocument/publishDiagnostics":
            self._marked[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif method is not None and "id" in message:
            self._write({"id": message["id"], "result": _answer(method, message.get("params") or {})})
        return message

    def _write(self, message: Message) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()


def _answer(method: str, params: Mapping[str, Any]) -> Any:
    """What an editor with our settings answers."""
    if method != "workspace/configuration":
        return None
    return [SETTINGS.get(item.get("section", ""), {}) for item in params["items"]]


def _read_messages(stream: IO[bytes], messages: Queue[Message | None]) -> None:
    """Put what comes into `messages`, and None at the end."""
    while header := stream.readline():
        length = 0
        while header.strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            header = stream.readline()
        messages.put(json.loads(stream.read(length)))
    messages.put(None)
