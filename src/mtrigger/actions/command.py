"""The action `command`: a program of the user's.

No shell is involved: every argument is a template that becomes exactly one argument, whatever the document
holds. The event comes as JSON on standard input. Of mtrigger's own environment the program gets what every
program needs, and none of its secrets. Exit code 0 is delivery; 75 (EX_TEMPFAIL), a signal and the time limit
are failures that the rule's retry policy decides on; every other code is final.
"""

import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from errno import E2BIG, EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOEXEC, ENOTDIR
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.processes import PROCESSES, Ended, Program
from mtrigger.actions.services import Services
from mtrigger.actions.standard_message import standard_data
from mtrigger.actions.template_texts import text_mistakes
from mtrigger.config_types import Timeout
from mtrigger.errors import PermanentError
from mtrigger.redaction import redact_uri
from mtrigger.templates import SCOPE_NAMES, Templates, is_static, scope_of
from mtrigger.templates.values import extended_json

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: what mail programs and their filters have always meant by it."""

PASSED_ON = re.compile(r"PATH|HOME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|USER|LOGNAME|SHELL")
"""The variables of mtrigger's own environment that a program gets."""

_OWN_VARIABLES = ("MTRIGGER_RULE", "MTRIGGER_DELIVERY_ID", "MTRIGGER_ATTEMPT")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FINAL_ERRORS = frozenset({ENOENT, EACCES, ENOTDIR, ENOEXEC, ELOOP, ENAMETOOLONG, E2BIG})
_SHOWN_OF_OUTPUT = 200
_SHOWN_OF_ERRORS = 1_000
_SHORTEST_SECRET = 6  # hiding shorter values would garble what a program says


def _no_shell(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic takes a ValueError as the user's mistake
            'write it as a list: no shell is involved ([./notify.sh, "{{ document._id }}"])'
        )
    return value


class CommandConfig(ActionConfig):
    """A program that is run."""

    run: Annotated[tuple[str, ...], BeforeValidator(_no_shell)] = Field(
        min_length=1, description="The program and its arguments. Each argument is a template"
    )
    timeout: Timeout = Field(default=60.0, description="After this it is ended, and the attempt has failed")
    environment: dict[str, str] = Field(
        default_factory=dict, repr=False, description="Further variables. Values are templates"
    )
    directory: str | None = Field(
        default=None, min_length=1, description="The folder it runs in. Not a template"
    )


class CommandFailed(Exception):  # noqa: N818 - reads as what happened, like WebhookFailed
    """The program asked to be tried again, was killed, or took too long; the retry policy decides."""


class Command:
    """Runs the program, its templates compiled."""

    def __init__(self, config: CommandConfig, services: Services) -> None:
        templates = services.templates
        self._processes = services.processes
        self._name, *arguments = config.run
        self._arguments = [templates.text(source) for source in arguments]
        self._environment = {name: templates.text(value) for name, value in config.environment.items()}
        self._directory = config.directory
        self._timeout = config.timeout
        self._secrets = sorted(
            (value for value in config.environment.values() if is_static(value)), key=len, reverse=True
        )

    async def run(self, work: Work) -> str:
        """Run it; returns the first line that it printed. Raises PermanentError when it cannot be run or says
        that trying again is pointless, and CommandFailed."""
        program = self._program(work)
        try:
            ended = await self._processes.run(program, self._timeout)
        except OSError as error:
            if error.errno in _FINAL_ERRORS:
                raise PermanentError(f"{self._name} cannot be run: {error.strerror}") from None
            raise
        return self._judged(ended)

    def preview(self, work: Work) -> Preview:
        """The command as one could type it; the values of variables may be secrets and are left out."""
        program = self._program(work)
        line = shlex.join([self._name, *(part.decode() for part in program.arguments[1:])])
        variables = "\n".join(f"{name}=***" for name in self._environment)
        parts = {
            "Command": line,
            "Environment": variables,
            "Directory": self._directory or "",
            "Standard input": program.stdin.decode(),
        }
        shown = {heading: text for heading, text in parts.items() if text}
        return Preview(f"command: {line[:_SHOWN_OF_OUTPUT]}", shown)

    def _program(self, work: Work) -> Program:
        scope = scope_of(work.scope)
        file = find_program(self._name)
        if file is None:
            raise PermanentError(not_found(self._name))
        if self._directory is not None and not Path(self._directory).is_dir():
            raise PermanentError(f"there is no folder `{self._directory}`")
        rendered = enumerate((template.render(scope) for template in self._arguments), start=1)
        arguments = [_argument(text, f"run[{place}]") for place, text in rendered]
        environment = passed_on(os.environ)
        for name, template in self._environment.items():
            environment[name.encode()] = _argument(template.render(scope), f"environment.{name}")
        own = (work.rule, work.delivery_id, str(work.attempt))
        environment.update(
            (name.encode(), value.encode()) for name, value in zip(_OWN_VARIABLES, own, strict=True)
        )
        stdin = extended_json({**standard_data(work), "event": work.scope["event"]}) + "\n"
        encoded = stdin.encode("utf-8", "replace")
        return Program(file, [os.fsencode(self._name), *arguments], environment, self._directory, encoded)

    def _judged(self, ended: Ended) -> str:
        if ended.code == 0:
            return self._shown(ended.stdout.strip().partition("\n")[0])[:_SHOWN_OF_OUTPUT]
        said = self._shown(" ".join(ended.stderr.split()))[-_SHOWN_OF_ERRORS:]
        told = f": {said}" if said else ""
        if ended.code is None:
            raise CommandFailed(f"{self._name} took longer than {self._timeout:g} s and was ended{told}")
        if ended.code < 0:
            raise CommandFailed(f"{self._name} was ended by {_signal_name(-ended.code)}{told}")
        text = f"{self._name} ended with exit code {ended.code}{told}"
        raise CommandFailed(text) if ended.code == TRY_AGAIN else PermanentError(text)

    def _shown(self, text: str) -> str:
        """What a program said, without the secrets that it was given."""
        for value in self._secrets:
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, "***")
        return redact_uri(text)


def find_program(name: str) -> str | None:
    """The executable file called `name`: on the PATH, or where its path leads from the current directory."""
    found = shutil.which(name)
    return os.path.abspath(found) if found is not None else None  # noqa: PTH100 - resolve() would follow links


def not_found(name: str) -> str:
    """What to say about a program that is not there."""
    if "/" not in name:
        return f"there is no program `{name}` on the PATH"
    path = Path(name)
    if path.is_file():
        return f"`{name}` cannot be executed; make it executable: chmod +x {shlex.quote(name)}"
    where = "" if path.is_absolute() else ", looked for in the directory that mtrigger runs in"
    return f"there is no program `{name}`{where}"


def passed_on(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """What of `environment` a program gets."""
    return {
        os.fsencode(name): os.fsencode(value)
        for name, value in environment.items()
        if PASSED_ON.fullmatch(name)
    }


def _argument(text: str, key: str) -> bytes:
    if "\0" in text:
        raise PermanentError(f"{key}: holds a NUL character, which no argument and no variable can hold")
    return text.encode("utf-8", "replace")


def _signal_name(number: int) -> str:
    with suppress(ValueError):  # a signal without a name
        return signal.Signals(number).name
    return f"signal {number}"


def _mistakes(config: CommandConfig, templates: Templates) -> Iterator[ConfigMistake]:
    name, *arguments = config.run
    if not is_static(name):
        yield ConfigMistake(("run", 0), "the program is fixed: only its arguments can be templates")
    elif find_program(name) is None:
        yield ConfigMistake(("run", 0), not_found(name))
    for place, source in enumerate(arguments, start=1):
        yield from text_mistakes(source, ("run", place), templates)
    for variable, value in config.environment.items():
        yield from text_mistakes(value, ("environment", variable), templates)
        if not _VARIABLE.fullmatch(variable):
            yield ConfigMistake(("environment", variable), f"`{variable}` cannot be the name of a variable")
        if variable in _OWN_VARIABLES:
            yield ConfigMistake(("environment", variable), f"`{variable}` is set by mtrigger itself")
    if config.directory is not None and not Path(config.directory).is_dir():
        yield ConfigMistake(("directory",), f"there is no folder `{config.directory}`")
    if config.concurrency > PROCESSES:
        yield ConfigMistake(
            ("concurrency",),
            f"{PROCESSES} programs run at the same time at most, those of all rules together; "
            f"write {PROCESSES} or less",
        )


def _reads(config: CommandConfig, templates: Templates) -> frozenset[str] | None:
    """Standard input holds all there is to say about a change."""
    return SCOPE_NAMES


KIND = ActionKind(
    "command", CommandConfig, _mistakes, _reads, Command, shorthand="run", shorthand_takes="list"
)
