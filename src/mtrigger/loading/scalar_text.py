"""Where a character of a value stands in its file: quotes, escapes, folded lines and `${…}` undone.

Pure. Used for mistakes that are found inside a text, such as the `=` in `when: amount = 5`.
"""

from mtrigger.loading.nodes import Place, Scalar

_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
} | {
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_HEX = {"x": 2, "u": 4, "U": 8}


def place_in(scalar: Scalar, line: int, column: int) -> Place:
    """The place in the file of `line` and `column` (from 1) within the scalar's value."""
    value = str(scalar.value)
    lines = value.split("\n")
    before = sum(len(text) + 1 for text in lines[: line - 1])
    return place_of(scalar, min(before + column - 1, len(value)))


def place_of(scalar: Scalar, offset: int) -> Place:
    """The place in the file of the character at `offset` of the scalar's value."""
    indices = _source_indices(scalar)
    if indices is None:
        return scalar.place
    return scalar.place.at(indices[min(_raw_offset(scalar, offset), len(indices) - 1)])


def _raw_offset(scalar: Scalar, offset: int) -> int:
    """The offset in the text as written for an offset in the filled-in value; inside a fill, where its `${`
    is."""
    shift = 0
    for fill in scalar.fills:
        if offset < fill.start:
            break
        if offset < fill.end:
            return fill.raw_start
        shift = fill.raw_start + len(fill.raw) - fill.end
    return offset + shift


def _source_indices(scalar: Scalar) -> list[int] | None:
    """For every character of the raw text (and its end) the index into the file; None if they disagree."""
    text = scalar.place.source.text
    place, end = scalar.place.index, scalar.end
    if scalar.style in ("|", ">"):
        newline = text.find("\n", place, end)
        place = end if newline < 0 else newline + 1
    elif scalar.style:
        place += 1
    indices: list[int] = []
    raw = scalar.raw
    while len(indices) < len(raw):
        if place >= end:
            if raw[len(indices) :].strip():
                return None
            indices.append(end)
            continue
        produced, width = _one(text, place, scalar.style)
        wanted = raw[len(indices)]
        if produced == wanted:
            indices.append(place)
            place += width
        elif wanted.isspace() and not produced.isspace():
            indices.append(place)  # a folded line end: the space or newline has no character of its own here
        elif produced.isspace() or not produced:
            place += width  # indentation, or a line end that was folded away
        else:
            return None
    return [*indices, min(place, end)]


def _one(text: str, place: int, style: str) -> tuple[str, int]:
    """The character that the file's text at `place` stands for, and how many characters it takes there."""
    if style == "'" and text.startswith("''", place):
        return "'", 2
    if style == '"' and text[place] == "\\" and place + 1 < len(text):
        sign = text[place + 1]
        if sign in _HEX:
            digits = text[place + 2 : place + 2 + _HEX[sign]]
            return chr(int(digits, 16)), 2 + len(digits)
        return _ESCAPES.get(sign, ""), 2
    return text[place], 1
