"""A mistake at a place of a condition's text, before it is turned into a line and a column."""


class MisuseError(Exception):
    """`place` counts characters from the start of the text; `expected` is a short phrase or empty."""

    def __init__(self, message: str, place: int, expected: str = "") -> None:
        self.message = message
        self.place = place
        self.expected = expected
        super().__init__(message)
