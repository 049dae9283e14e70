"""Every error that has a meaning of its own, and the exit code it ends the process with.

The tree:

    MtriggerError                    1   something that ends a command with one clear sentence
      SettingsError                 64   an option, an environment variable or an address is wrong
      RulesError                    64   rule files with mistakes (all of them, with file, line and column)
      DeploymentError               69   MongoDB cannot be reached, or cannot be watched as it stands
      OwnershipError                75   another process owns the stream
      PositionError                 78   the stored position needs an operator
      GroupError                    75   a group of a topic belongs to rules, or to members from Python
      SourceError                    1   a table cannot be read as its source says, or its rows not be stored
    ConnectionLostError                  a database that is read as a source does not answer, or not any more
    AckLostError                         a message is not this member's any more: it may be handed out again
    ConditionError                       a `when:` expression that cannot be read (where, what was expected)
    PermanentError                       raised by an action: trying again is pointless
    RetryLater(after)                    raised by an action: try again after `after` seconds
      NotBefore(after)                   a server asks for it: not earlier, and by the rule's delays

An action may raise anything else too: that is a transient failure, and the rule's retry policy decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class MtriggerError(Exception):
    """Ends a command: the message is one sentence with the way out, shown without a traceback."""

    exit_code = 1


class SettingsError(MtriggerError):
    """An option, an environment variable or an address is wrong."""

    exit_code = 64


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing wrong in one file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RulesError(MtriggerError):
    """Rule files with mistakes. `mistakes` holds every one of them, sorted by file and line."""

    exit_code = 64

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class DeploymentError(MtriggerError):
    """MongoDB cannot be reached, or cannot be watched as it stands (no replica set, no permission)."""

    exit_code = 69


class OwnershipError(MtriggerError):
    """Another process owns the stream: this one may not write any more, or not yet."""

    exit_code = 75


class PositionError(MtriggerError):
    """The stored position cannot be used as it is; going on would skip events without a word."""

    exit_code = 78


class GroupError(MtriggerError):
    """A group of a topic is not there, or belongs to rules or to members from Python, and one cannot have the
    other's."""


class AckLostError(Exception):
    """A message cannot be acknowledged: it is not this member's any more, and may be handed out again."""


class SourceError(MtriggerError):
    """A table cannot be read as its source says, or its rows cannot be stored: somebody has to mend
    something. Other tables go on."""


class ConnectionLostError(Exception):
    """The database of a source does not answer, or not any more: trying again later may help. Holds no
    secrets."""


class ConditionError(Exception):
    """A `when:` expression that cannot be read.

    `line` and `column` count from 1, within the expression. `expected` is a short phrase such as
    "a value" or "one of: and, or"; empty if there is nothing useful to say.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1, expected: str = "") -> None:
        self.message = message
        self.line = line
        self.column = column
        self.expected = expected
        super().__init__(message + (f" (expected {expected})" if expected else ""))


class PermanentError(Exception):
    """Raise it in an action when trying again is pointless: the delivery is dead at once."""


class RetryLater(Exception):  # noqa: N818 - reads as what it asks for: `raise RetryLater(after=60)`
    """Raise it in an action to be called again after `after` seconds, whatever the rule's delays say.

    The attempt counts: after the policy's last attempt the delivery is dead.
    """

    def __init__(self, after: float, reason: str = "") -> None:
        self.after = float(after)
        super().__init__(reason or f"asked to be tried again in {after:g} s")


class NotBefore(RetryLater):
    """The same, when somebody else asks for it (a server's `Retry-After`): not before `after` seconds, and
    not before the rule's delays say so either, or a server that always asks for a second would soon use up
    all attempts."""
