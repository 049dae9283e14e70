"""Whatever the quotes and the folding, a character of a value is found again in its file."""

from pathlib import Path

import pytest

from mtrigger.loading.interpolation import Surroundings, fill_in
from mtrigger.loading.nodes import Mapping, Report, Scalar, Source
from mtrigger.loading.scalar_text import place_in, place_of
from mtrigger.loading.yaml_source import read_documents


def scalar_of(text: str, environ: dict[str, str] | None = None) -> Scalar:
    """The value of the key `k`."""
    (document,) = read_documents(Source("f", text), Report())
    document = fill_in(document, Surroundings(environ or {}, Path()), Report())
    assert isinstance(document, Mapping)
    node = document.get("k")
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    "text",
    [
        "k: one two X three\n",
        "k:   one\n   two\n\n   three X\n",
        "k: 'it''s an X'\n",
        "k: 'it''s\n  an X'\n",
        'k: "a \\"quoted\\" \\u00e9\\t\\x41 X"\n',
        'k: "folded\n    line X"\n',
        'k: "escaped \\\n    line X"\n',
        "k: |\n  first\n    second X\n",
        "k: |2-\n    first\n  second X\n",
        "k: >-\n  first\n  second\n\n  third X\n  fourth\n",
        "# ü comment\nk: ü X\n",
        "j: 1\nk: a X\n",
        "k: a\r\n  b X\r\n",
    ],
)
def test_a_character_is_found_in_its_file(text: str) -> None:
    """The `X` of the value is the `X` of the file."""
    scalar = scalar_of(text)
    place = place_of(scalar, scalar.value.index("X"))
    assert place.index == text.index("X")
    before = text[: place.index]
    assert (place.line, place.column) == (before.count("\n") + 1, len(before) - before.rfind("\n") - 1 + 1)


@pytest.mark.parametrize(
    "text",
    [
        "k: ${A} X\n",
        "k: 'it''s ${A} and ${A} X'\n",
        "k: $${A} X\n",
        "k: |\n  ${A}\n  ${A} X\n",
        'k: "\\t${A} X"\n',
    ],
)
def test_a_character_after_a_filled_in_value_is_found(text: str) -> None:
    """However long or short what was filled in is."""
    for value in ("", "a much longer value than its name"):
        scalar = scalar_of(text, {"A": value})
        assert place_of(scalar, scalar.value.rindex("X")).index == text.rindex("X")


def test_a_character_inside_a_filled_in_value_is_at_its_placeholder() -> None:
    """There is no other place in the file for it."""
    text = "k: a ${A} b\n"
    assert place_of(scalar_of(text, {"A": "long value"}), 6).index == text.index("${A}")


def test_lines_and_columns_of_a_value_become_those_of_the_file() -> None:
    """Line 2, column 3 of a block is further right and down in its file."""
    place = place_in(scalar_of("x: 1\nk: |\n    one\n    two\n"), 2, 3)
    assert (place.line, place.column) == (4, 7)


def test_the_end_of_a_value_has_a_place_too() -> None:
    """Where more was expected."""
    assert place_of(scalar_of("k: abc\n"), 3).column == 7
