"""What was held back since the last time: how many, and a sentence for templates that do not say so."""

from mtrigger.actions.base import Work

HELD_BACK = "held_back"
"""The name in `Work.scope`: how many deliveries like this one were held back since the last that was not."""


def held_back(work: Work) -> int:
    """How many, 0 where nothing is ever held back."""
    count: int = work.scope.get(HELD_BACK) or 0
    return count


def held_back_note(work: Work, message: str) -> str:
    """A sentence on it, "" if there was none; `message` is what the reader gets: a mail, a message."""
    count = held_back(work)
    if not count:
        return ""
    return f"{count} more like this {'was' if count == 1 else 'were'} held back since the last {message}."
