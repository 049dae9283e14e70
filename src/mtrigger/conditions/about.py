"""What the names in a condition are about: a document, or a message (then they are read from its body)."""

from typing import Literal

from mtrigger.message_paths import BODY, in_message

About = Literal["document", "message"]


def steps_of(names: tuple[str, ...], about: About) -> tuple[str, ...]:
    """Where the path `names` lies in the document. Raises ValueError for what a message does not have."""
    return in_message(names) if about == "message" else names


def jsonpath_of(text: str, about: About) -> str:
    """A JSONPath, in which `$` is what it is about, as one in the document."""
    return f"$.{BODY}{text[1:]}" if about == "message" else text
